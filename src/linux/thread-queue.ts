/**
 * Writes by a second thread, for files whose writes can wait in the caller: those not opened for direct writes. io_uring
 * would do them without a thread of ours, but its workers share our descriptor table, and a process that is killed waits
 * for them before it closes that (io_uring_files_cancel comes first in do_exit): a file system that hangs would then
 * keep a userfaultfd open, and so a target's writers waiting, after SIGKILL. It is also forbidden in many containers.
 */
import { Worker } from 'node:worker_threads';
import { LivecoreError } from '../errors.ts';
import { O_CLOEXEC, O_RDWR } from './abi.ts';
import { ERRNO } from './errno.ts';
import { check } from './failure.ts';
import { closeFile, occupiedBytes, openFile, replaceDescriptor } from './file.ts';
import { futexWait, futexWake } from './futex.ts';
import { MappedMemory } from './memory.ts';
import { loadNative } from './native.ts';
import { openThreadPidfd, takeDescriptor } from './pidfd.ts';
import { READY, ThreadMemory, WORD } from './thread-memory.ts';
import type { WriteQueue } from './write-queue.ts';
import type { ThreadStart } from './write-thread.ts';

const START_NS = 10e9;
const NAP_NS = 100e6;

/** A queue of up to `depth` gathering writes, which are done in their order. See UringQueue for what each member does. */
export class ThreadQueue implements WriteQueue {
  readonly depth: number;
  readonly piecesMax: number;
  readonly #memory: MappedMemory;
  readonly #shared: ThreadMemory;
  readonly #worker: Worker;
  #asked = 0;
  #reported = 0;
  #reportedBefore = 0;
  /** the descriptor that the thread alone has, or -1 */
  #kept = -1;
  #closed = false;

  /**
   * Returns when the thread is there. It knows the descriptors of before, and none that is opened later.
   *
   * @param closedUpTo the thread keeps no descriptor from 0 to this one; those that Node itself uses come after
   * @throws LivecoreError SYSTEM_CALL where there can be no thread
   */
  constructor(depth: number, piecesMax: number, closedUpTo = 2) {
    if (depth < 1) throw failed(ERRNO.EINVAL);
    loadNative();
    this.depth = depth;
    this.piecesMax = piecesMax;
    this.#memory = new MappedMemory(ThreadMemory.bytes(depth, piecesMax), { populate: true });
    this.#shared = new ThreadMemory(this.#memory, depth, piecesMax);
    const { address, length } = this.#memory;
    const start: ThreadStart = { address, length, depth, piecesMax, closedUpTo };
    const name = import.meta.url.endsWith('.ts') ? './write-thread.ts' : './write-thread.js';
    this.#worker = new Worker(new URL(name, import.meta.url), { workerData: start, execArgv: [] });
    this.#worker.unref();
    this.#worker.on('error', () => {});
    const state = this.#whenReady();
    if (state === READY) return;
    // Its memory stays: the thread may still come up.
    this.#shared.store(WORD.closing, 1);
    throw failed(state === 0 ? ERRNO.ETIMEDOUT : -state);
  }

  get pending(): number {
    return this.#asked - this.#reported;
  }

  setPiece(slot: number, index: number, address: number, length: number): void {
    this.#shared.setPiece(slot, index, address, length);
  }

  /** Begins a write; see UringQueue. Costs a system call only when the thread sleeps, and never waits. */
  write(slot: number, fd: number, pieces: number, offset: number): number {
    const shared = this.#shared;
    if (this.pending === this.depth) return -ERRNO.EAGAIN;
    shared.setRequest(slot, fd, pieces, offset);
    shared.setAskedSlot(this.#asked, slot);
    this.#asked++;
    shared.store(WORD.asked, this.#asked | 0);
    this.#wakeThread();
    return 0;
  }

  reap(least = 0): number {
    const wanted = Math.min(least, this.pending);
    this.#reportedBefore = this.#reported;
    let count = this.#finished();
    while (count < wanted) {
      this.#sleep(count);
      count = this.#finished();
    }
    this.#reported += count;
    return count;
  }

  slot(index: number): number {
    return this.#shared.doneSlot(this.#reportedBefore + index);
  }

  result(index: number): number {
    return this.#shared.result(this.slot(index));
  }

  occupied(fd: number): number {
    if (fd !== this.#kept) return occupiedBytes(fd);
    this.#shared.store(WORD.look, 1);
    this.#wakeThread();
    return this.#shared.occupied;
  }

  keep(fd: number): void {
    const occupied = check(occupiedBytes(fd), 'look at the output', 'statx');
    const nothing = check(openFile('/dev/null', O_RDWR | O_CLOEXEC), 'open /dev/null', 'openat');
    const replaced = replaceDescriptor(nothing, fd);
    closeFile(nothing);
    check(replaced, 'leave the output to its thread', 'dup3');
    this.#shared.occupied = occupied;
    this.#shared.store(WORD.lookAt, fd);
    this.#kept = fd;
  }

  giveBack(fd: number): void {
    if (fd !== this.#kept) return;
    this.#kept = -1;
    const thread = check(openThreadPidfd(this.#shared.load(WORD.tid)), 'find the thread', 'pidfd_open');
    const taken = takeDescriptor(thread, fd);
    closeFile(thread);
    check(taken, 'take the output back from its thread', 'pidfd_getfd');
    const replaced = replaceDescriptor(taken, fd);
    closeFile(taken);
    check(replaced, 'take the output back from its thread', 'dup3');
  }

  /** Waits for what is under way, then ends the thread. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    while (this.pending > 0) this.reap(1);
    this.#shared.store(WORD.closing, 1);
    this.#wakeThread();
    // The thread still looks at the memory, so that is unmapped when it has ended.
    this.#worker.once('exit', () => this.#memory[Symbol.dispose]());
  }

  /** How many were finished and not reported yet. */
  #finished(): number {
    return (this.#shared.load(WORD.done) - this.#reported) | 0;
  }

  #wakeThread(): void {
    const shared = this.#shared;
    if (shared.load(WORD.threadSleeps) === 0) return;
    shared.store(WORD.threadSleeps, 0);
    futexWake(shared.addressOf(WORD.threadSleeps));
  }

  /** Until more than `finished` are, or for no reason. */
  #sleep(finished: number): void {
    const shared = this.#shared;
    shared.store(WORD.ownerSleeps, 1);
    if (this.#finished() === finished) futexWait(shared.addressOf(WORD.ownerSleeps), 1, NAP_NS);
    shared.store(WORD.ownerSleeps, 0);
  }

  #whenReady(): number {
    const shared = this.#shared;
    const deadline = process.hrtime.bigint() + BigInt(START_NS);
    while (shared.load(WORD.state) === 0 && process.hrtime.bigint() < deadline)
      futexWait(shared.addressOf(WORD.state), 0, NAP_NS);
    return shared.load(WORD.state);
  }
}

function failed(errno: number): LivecoreError {
  return new LivecoreError('SYSTEM_CALL', 'start a thread for writes: it did not come up', { errno });
}
