/**
 * The second thread of a ThreadQueue (thread-queue.ts starts it as a worker): takes requests in their order and does
 * each as an ordinary write, which may wait for its file system as long as that likes.
 */
import { workerData } from 'node:worker_threads';
import { CLOSE_RANGE_UNSHARE, SYS_close_range, SYS_gettid } from './abi.ts';
import { ERRNO } from './errno.ts';
import { occupiedBytes, writeFileAt } from './file.ts';
import { futexWait, futexWake } from './futex.ts';
import { iovec } from './layouts.ts';
import { Memory } from './memory.ts';
import { errno, libc, viewMemory } from './native.ts';
import { READY, ThreadMemory, WORD } from './thread-memory.ts';

/** What the thread is told. */
export interface ThreadStart {
  readonly address: number;
  readonly length: number;
  readonly depth: number;
  readonly piecesMax: number;
  readonly closedUpTo: number;
}

/** Between two looks at whether somebody wants this thread to end (worker.terminate()). */
const NAP_NS = 200_000_000;

function run(shared: ThreadMemory): void {
  for (let taken = 0; ; taken = (taken + 1) | 0) {
    while (shared.load(WORD.asked) === taken) {
      if (shared.load(WORD.closing) !== 0) return;
      look(shared);
      shared.store(WORD.threadSleeps, 1);
      // Looked at again: who asked in between did not see that we sleep.
      if (shared.load(WORD.asked) === taken && shared.load(WORD.closing) + shared.load(WORD.look) === 0)
        futexWait(shared.addressOf(WORD.threadSleeps), 1, NAP_NS);
      shared.store(WORD.threadSleeps, 0);
    }
    look(shared);
    const slot = shared.askedSlot(taken >>> 0);
    shared.setResult(slot, write(shared, slot));
    shared.setDoneSlot(taken >>> 0, slot);
    shared.store(WORD.done, (taken + 1) | 0);
    if (shared.load(WORD.ownerSleeps) !== 0) {
      shared.store(WORD.ownerSleeps, 0);
      futexWake(shared.addressOf(WORD.ownerSleeps));
    }
  }
}

/** Tells what the file occupies, if that is wanted. Not before: who asks again meanwhile gets another answer. */
function look(shared: ThreadMemory): void {
  if (shared.load(WORD.look) === 0) return;
  shared.store(WORD.look, 0);
  shared.occupied = occupiedBytes(shared.load(WORD.lookAt));
}

/** All pieces of a slot, or a negative errno. */
function write(shared: ThreadMemory, slot: number): number {
  const fd = shared.fd(slot);
  const offset = shared.offset(slot);
  const { address } = shared.memory;
  for (;;) {
    const written = libc.pwritev(fd, address + shared.vectorAt(slot, 0), shared.pieces(slot), offset);
    if (written >= 0) return finish(shared, slot, written);
    const error = errno();
    if (error !== ERRNO.EINTR) return -error;
  }
}

/** What a short write has left, a piece at a time. */
function finish(shared: ThreadMemory, slot: number, written: number): number {
  let before = 0;
  for (let piece = 0; piece < shared.pieces(slot); piece++) {
    const at = shared.vectorAt(slot, piece);
    const length = shared.memory.word(at + iovec.at.iov_len);
    const skipped = Math.min(length, Math.max(0, written - before));
    if (skipped < length) {
      const from = shared.memory.word(at + iovec.at.iov_base) + skipped;
      const position = shared.offset(slot) + before + skipped;
      const result = writeFileAt(shared.fd(slot), from, length - skipped, position);
      if (result < 0) return result;
    }
    before += length;
  }
  return before;
}

const start = workerData as ThreadStart;
const view = viewMemory(start.address, start.length);
const shared = new ThreadMemory(
  new Memory(start.address, view, 0, start.length),
  start.depth,
  start.piecesMax,
);
/*
 * A descriptor table of its own. A thread that a file system holds in the kernel outlives even SIGKILL, and with it the
 * table that it shares: were that the loop's, the userfaultfd in it would stay open, and the target's writers would wait
 * until the file system answers. The loop opens what belongs to a target after this.
 */
shared.store(WORD.tid, libc.syscall(SYS_gettid, 0, 0, 0, 0, 0, 0));
const result = libc.syscall(SYS_close_range, 0, start.closedUpTo, CLOSE_RANGE_UNSHARE, 0, 0, 0);
shared.store(WORD.state, result < 0 ? -errno() : READY);
futexWake(shared.addressOf(WORD.state));
if (result >= 0) run(shared);
