import type { TrapBatch } from '../../engine/machine.ts';
import {
  MADV_DONTNEED,
  MADV_DONTNEED_LOCKED,
  MADV_FREE,
  MADV_REMOVE,
  POLLIN,
  SYS_madvise,
  UFFD_EVENT_PAGEFAULT,
  UFFD_EVENT_REMOVE,
} from '../../linux/abi.ts';
import { PollSet } from '../../linux/poll.ts';
import { readProcText } from '../../linux/proc-file.ts';
import type { Userfaultfd } from '../../linux/userfaultfd.ts';
import { taskIds } from './hold.ts';
import { PAGE_BYTES } from './pages.ts';

/** A range of blocks that a thread is about to destroy. */
interface Removal {
  readonly first: number;
  readonly count: number;
  acknowledged: boolean;
}

const FAULTS_AT_ONCE = 64;
/** advice that is told as a removal (mm/madvise.c: userfaultfd_remove) */
const REMOVING: ReadonlySet<number> = new Set([MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_DONTNEED_LOCKED]);

/**
 * The userfaultfd as a queue of traps.
 *
 * Faults and events come through the same descriptor, faults first. Reading an event of madvise(DONTNEED) and its
 * like lets the caller go on and destroy, so it must not be read before the range is copied. How many faults wait is
 * in fdinfo ("pending"), which counts no events: so only so many messages are read, and when there are none but the
 * descriptor is readable, an event waits. Its range is learned from the thread's system call, and it is read when
 * the range has been acknowledged.
 */
export class TrapQueue {
  readonly #pid: number;
  readonly #userfaultfd: Userfaultfd;
  readonly #poll: PollSet = new PollSet(1);
  readonly #removals: Removal[] = [];
  /** faults that were read while an event was fetched */
  readonly #stash: number[] = [];

  constructor(pid: number, userfaultfd: Userfaultfd) {
    this.#pid = pid;
    this.#userfaultfd = userfaultfd;
    this.#poll.set(0, userfaultfd.fd, POLLIN);
  }

  /** As Machine.takeTraps; `granule` as the machine's. */
  take(traps: TrapBatch, timeoutNs: number, granule: (block: number) => number): void {
    traps.length = 0;
    while (this.#stash.length > 0) addFault(traps, this.#stash.pop()!, granule);
    // An event that waits keeps the descriptor readable: no use in sleeping on it.
    const timeout = traps.length > 0 || this.#removals.length > 0 ? 0 : timeoutNs;
    if (this.#poll.wait(timeout) <= 0) return;
    const faults = this.#userfaultfd.pending();
    if (faults > 0) this.#takeFaults(traps, Math.min(faults, FAULTS_AT_ONCE), granule);
    else if (this.#removals.length === 0) this.#takeRemovals(traps);
  }

  /** The range was copied: once all that were told are, their events are read, and their senders go on. */
  acknowledge(first: number, count: number): void {
    for (const removal of this.#removals) {
      if (removal.first === first && removal.count === count) removal.acknowledged = true;
    }
    if (!this.#removals.every((removal) => removal.acknowledged)) return;
    const events = Math.max(1, this.#removals.length);
    this.#removals.length = 0;
    for (let event = 0; event < events; event++) if (!this.#readEvent()) return;
  }

  /** Reads everything that waits: faults are kept for the next take, events let their senders go on. Returns how many. */
  drain(removed: (first: number, count: number) => void): number {
    this.#removals.length = 0;
    for (let total = 0; ; ) {
      const count = this.#userfaultfd.read(FAULTS_AT_ONCE);
      if (count <= 0) return total;
      total += count;
      for (let index = 0; index < count; index++) {
        if (this.#userfaultfd.event(index) === UFFD_EVENT_PAGEFAULT) {
          this.#stash.push(Math.floor(this.#userfaultfd.faultAddress(index) / PAGE_BYTES));
        } else if (this.#userfaultfd.event(index) === UFFD_EVENT_REMOVE) {
          const first = this.#userfaultfd.rangeStart(index) / PAGE_BYTES;
          removed(first, this.#userfaultfd.rangeEnd(index) / PAGE_BYTES - first);
        }
      }
    }
  }

  #takeFaults(traps: TrapBatch, limit: number, granule: (block: number) => number): void {
    const count = this.#userfaultfd.read(limit);
    for (let index = 0; index < count; index++) {
      // An event among them means that a fault went away in between (its thread got a signal); it is on its way now,
      // and what it destroys before it was copied will be found unprotected and listed as lost.
      if (this.#userfaultfd.event(index) !== UFFD_EVENT_PAGEFAULT) continue;
      addFault(traps, Math.floor(this.#userfaultfd.faultAddress(index) / PAGE_BYTES), granule);
    }
  }

  /** An event waits: finds who is about to destroy what. */
  #takeRemovals(traps: TrapBatch): void {
    for (const tid of taskIds(this.#pid)) {
      const range = removalOf(this.#pid, tid);
      if (range === undefined || this.#removals.some((other) => other.first === range.first)) continue;
      this.#removals.push(range);
      traps.add(range.first, range.count, 'remove');
    }
    // Nobody of ours: another process advises (process_madvise). The range can't be known without reading.
    if (this.#removals.length === 0) this.#readEvent();
  }

  /** Reads one event; faults that come first are kept. False when none is there (any more). */
  #readEvent(): boolean {
    for (;;) {
      if (this.#userfaultfd.read(1) <= 0) return false;
      if (this.#userfaultfd.event(0) !== UFFD_EVENT_PAGEFAULT) return true;
      this.#stash.push(Math.floor(this.#userfaultfd.faultAddress(0) / PAGE_BYTES));
    }
  }
}

function addFault(traps: TrapBatch, block: number, granule: (block: number) => number): void {
  const count = granule(block);
  traps.add(block - (block % count), count, 'write');
}

/** The range of the madvise(2) that a thread is in, if it is in one: proc_pid_syscall(5). */
function removalOf(pid: number, tid: number): Removal | undefined {
  let text: string;
  try {
    text = readProcText(`/proc/${pid}/task/${tid}/syscall`);
  } catch {
    return undefined;
  }
  const [call, start, length, advice] = text.split(' ');
  if (Number(call) !== SYS_madvise || !REMOVING.has(Number(advice))) return undefined;
  const first = Math.floor(Number(start) / PAGE_BYTES);
  return { first, count: Math.ceil(Number(length) / PAGE_BYTES), acknowledged: false };
}
