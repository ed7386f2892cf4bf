/** Writes that are begun now and reported later, by what this kernel allows. */
import { AioQueue } from './aio.ts';
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
 * A queue for `depth` writes of up to `piecesMax` pieces each: by io_uring, which never waits; where that is forbidden by
 * AIO, which waits where a file system has to allocate blocks.
 */
export function openWriteQueue(depth: number, piecesMax: number): WriteQueue {
  try {
    return new UringQueue(depth, piecesMax);
  } catch {
    return new AioQueue(depth, piecesMax);
  }
}
