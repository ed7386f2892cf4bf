/** Writes that are begun now and reported later, by what this kernel allows. */
import {
  CEPH_SUPER_MAGIC,
  CIFS_SUPER_MAGIC,
  F_GETFL,
  FUSE_SUPER_MAGIC,
  NFS_SUPER_MAGIC,
  O_DIRECT,
  SMB2_SUPER_MAGIC,
  V9FS_MAGIC,
} from './abi.ts';
import { AioQueue } from './aio.ts';
import { controlFile, fileSystemSpace } from './file.ts';
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
  /** What the file of `fd` occupies, or a negative errno; never waits: of a kept one it tells what was found last. */
  occupied(fd: number): number;
  /**
   * Where a second thread writes, that alone has the file from now on: `fd` of the process is of nothing, so that whatever
   * becomes of the process, its end does not wait for the file system: closing a descriptor does (FUSE_FLUSH), and comes
   * before a userfaultfd is let go.
   */
  keep(fd: number): void;
  /** Undoes {@link keep}. Closes a descriptor, so it may wait as well. */
  giveBack(fd: number): void;
}

/** File systems that are served by somebody: by a process, which may be the target, or by another machine. */
const SERVED: ReadonlySet<number> = new Set([
  CEPH_SUPER_MAGIC,
  CIFS_SUPER_MAGIC,
  FUSE_SUPER_MAGIC,
  NFS_SUPER_MAGIC,
  SMB2_SUPER_MAGIC,
  V9FS_MAGIC,
]);

/**
 * A queue for `depth` writes of up to `piecesMax` pieces each to the file of `fd`. Opened for direct writes to a disk: by
 * io_uring, which never waits; where that is forbidden by AIO, which waits where a file system has to allocate blocks. Other
 * files: by a second thread.
 *
 * @param closedUpTo a second thread keeps no descriptor from 0 to this one
 */
export function openWriteQueue(
  fd: number,
  depth: number,
  piecesMax: number,
  closedUpTo?: number,
): WriteQueue {
  const direct = (controlFile(fd, F_GETFL, 0) & O_DIRECT) !== 0 && !SERVED.has(fileSystemSpace(fd).type);
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
