/** Writes that are begun now and reported later, by what this kernel allows. */
import { F_GETFL, O_DIRECT } from './abi.ts';
import { AioQueue } from './aio.ts';
import { controlFile } from './file.ts';
import { ThreadQueue } from './thread-queue.ts';
import { UringQueue } from './uring.ts';

/** A queue of gathering writes; one contract, several kernels' ways. See {@link UringQueue} for what each member does. */
export interface WriteQueue extends Disposable {
  readonly depth: number;
  readonly piecesMax: number;
  readonly pending: number;
  setPiece(slot: number, index: number, address: number, length: number): void;
  write(slot: number, fd: number, pieces: number, offset: number): number;
  reap(least?: number): number;
  slot(index: number): number;
  result(index: number): number;
}

/**
 * A queue for `depth` writes of up to `piecesMax` pieces each to the file of `fd`. Opened for direct writes: by io_uring,
 * which never waits; where that is forbidden by AIO, which waits where a file system has to allocate blocks. Other files:
 * by a second thread.
 *
 * @param closedUpTo a second thread keeps no descriptor from 0 to this one
 */
export function openWriteQueue(
  fd: number,
  depth: number,
  piecesMax: number,
  closedUpTo?: number,
): WriteQueue {
  const direct = (controlFile(fd, F_GETFL, 0) & O_DIRECT) !== 0;
  return (
    (direct ? undefined : attempt(() => new ThreadQueue(depth, piecesMax, closedUpTo))) ??
    attempt(() => new UringQueue(depth, piecesMax)) ??
    new AioQueue(depth, piecesMax)
  );
}

function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}
