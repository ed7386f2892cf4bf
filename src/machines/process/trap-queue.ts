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
import { PAGE_BYTES } from './pages.ts';
import { taskIds } from './tasks.ts';

/** A range of blocks that a thread is about to destroy. */
interface Removal {
  readonly first: number;
  readonly count: number;
  /** the engine knows of it */
  told: boolean;
  acknowledged: boolean;
}

const FAULTS_AT_ONCE = 64;
const LOOKED_AT_EACH = 16;
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
    if (this.#isAcknowledged) this.#letGo();
    this.#tell(traps);
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
    if (this.#removals.length === 0) this.#readEvent();
    else if (this.#isAcknowledged) this.#letGo();
  }

  get #isAcknowledged(): boolean {
    return this.#removals.length > 0 && this.#removals.every((removal) => removal.acknowledged);
  }

  /**
   * Reads the events of those whose ranges are copied. The newest event comes first (fs/userfaultfd.c adds it at the head), so
   * before any is read, everybody who has sent one by now has to be known: who has come since is told first.
   * Who comes in this very moment is let go uncopied, and what they destroy is found unprotected and listed as lost.
   */
  #letGo(): void {
    while (this.#removals.length > 0) {
      const known = this.#removals.length;
      const waiting = this.#findRemovals();
      if (this.#removals.length > known) return;
      // Who has gone on before, by an event of another range, is not waited for.
      this.#keep(({ first, count }) => waiting.some((one) => one.first === first && one.count === count));
      // A look takes 20 us a thread: with many, all that were seen are read at once.
      const events =
        waiting.length > LOOKED_AT_EACH ? this.#removals.length : Math.min(1, this.#removals.length);
      for (let event = 0; event < events; event++) if (!this.#readEvent() || !this.#letGoOne()) return;
    }
  }

  /** Forgets the removal that the event was of; false where it was of none that is known. */
  #letGoOne(): boolean {
    const first = this.#userfaultfd.rangeStart(0) / PAGE_BYTES;
    const exact = this.#removals.findIndex((each) => each.first === first);
    // Of a call across mappings each has an event of its own.
    const index =
      exact >= 0
        ? exact
        : this.#removals.findIndex((each) => first > each.first && first < each.first + each.count);
    if (index >= 0) this.#removals.splice(index, 1);
    return index >= 0;
  }

  #keep(stays: (removal: Removal) => boolean): void {
    for (let index = this.#removals.length - 1; index >= 0; index--)
      if (!stays(this.#removals[index]!)) this.#removals.splice(index, 1);
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
    // Nobody of ours: another process advises (process_madvise). The range can't be known without reading.
    if (this.#findRemovals().length === 0) this.#readEvent();
    this.#tell(traps);
  }

  /** All who are about to destroy something now; who was not known is known from here on. */
  #findRemovals(): Removal[] {
    const waiting: Removal[] = [];
    for (const tid of taskIds(this.#pid)) {
      const range = removalOf(this.#pid, tid);
      if (range === undefined) continue;
      waiting.push(range);
      if (!this.#removals.some(({ first, count }) => first === range.first && count === range.count))
        this.#removals.push(range);
    }
    return waiting;
  }

  /** Tells of those who have not been told of. */
  #tell(traps: TrapBatch): void {
    for (const removal of this.#removals) {
      if (removal.told || traps.length === traps.capacity) continue;
      removal.told = true;
      traps.add(removal.first, removal.count, 'remove');
    }
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

/**
 * The range of the madvise(2) in which a thread waits for its event to be read: proc_pid_syscall(5), and proc_pid_wchan(5) to
 * tell it from one that has been let on and destroys at this moment. Without symbols the kernel does not say ("0").
 */
function removalOf(pid: number, tid: number): Removal | undefined {
  const task = `/proc/${pid}/task/${tid}`;
  const [call, start, length, advice] = readIfThere(`${task}/syscall`).split(' ');
  if (Number(call) !== SYS_madvise || !REMOVING.has(Number(advice))) return undefined;
  const place = readIfThere(`${task}/wchan`);
  if (place !== '0' && !place.startsWith('userfaultfd_')) return undefined;
  const first = Math.floor(Number(start) / PAGE_BYTES);
  const count = Math.ceil(Number(length) / PAGE_BYTES);
  return { first, count, told: false, acknowledged: false };
}

function readIfThere(path: string): string {
  try {
    return readProcText(path);
  } catch {
    return '';
  }
}
