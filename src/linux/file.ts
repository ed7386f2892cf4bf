/** Files by descriptor. Functions return the result or a negative errno unless their comment says that they throw. */

import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_FOLLOW,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  RENAME_NOREPLACE,
  STATX_BLOCKS,
  STATX_DIOALIGN,
} from './abi.ts';
import { ERRNO } from './errno.ts';
import { check } from './failure.ts';
import { statfs, statx } from './layouts.ts';
import { type Memory, scratch } from './memory.ts';
import { callLater, errno, libc } from './native.ts';

/** stat(2): st_blocks counts 512 bytes, whatever the file system's block is. */
const STAT_BLOCK_BYTES = 512;

/** open(2), tried again when a signal interrupts it (possible on FIFOs, network file systems). */
export function openFile(path: string, flags: number, mode = 0): number {
  for (;;) {
    const fd = libc.openat(AT_FDCWD, path, flags, mode);
    if (fd >= 0) return fd;
    const error = errno();
    if (error !== ERRNO.EINTR) return -error;
  }
}

/** close(2). On Linux the descriptor is gone whatever it returns, EINTR included: never try again. */
export function closeFile(fd: number): number {
  return libc.close(fd) < 0 ? -errno() : 0;
}

/**
 * Makes `to` a descriptor of what `from` is one of, in one step (dup3(2)); what it was of before is closed, which may wait
 * for its file system. Close-on-exec.
 */
export function replaceDescriptor(from: number, to: number): number {
  return retried(() => libc.dup3(from, to, O_CLOEXEC));
}

/** read(2): one read, tried again on EINTR only; may be short. */
export function readFile(fd: number, address: number, length: number): number {
  for (;;) {
    const count = libc.read(fd, address, length);
    if (count >= 0) return count;
    const error = errno();
    if (error !== ERRNO.EINTR) return -error;
  }
}

/** pread(2): one read, tried again on EINTR only; may be short. */
export function readFileAt(fd: number, address: number, length: number, offset: number): number {
  for (;;) {
    const count = libc.pread(fd, address, length, offset);
    if (count >= 0) return count;
    const error = errno();
    if (error !== ERRNO.EINTR) return -error;
  }
}

/** Writes all of it at `offset`. Returns `length` or a negative errno, after which part may have been written. */
export function writeFileAt(fd: number, address: number, length: number, offset: number): number {
  let done = 0;
  while (done < length) {
    const count = libc.pwrite(fd, address + done, length - done, offset + done);
    if (count > 0) {
      done += count;
      continue;
    }
    const error = count === 0 ? ERRNO.EIO : errno();
    if (error !== ERRNO.EINTR) return -error;
  }
  return length;
}

/** write(2): one write, tried again on EINTR only; may be short. */
export function writeFile(fd: number, address: number, length: number): number {
  for (;;) {
    const count = libc.write(fd, address, length);
    if (count >= 0) return count;
    const error = errno();
    if (error !== ERRNO.EINTR) return -error;
  }
}

/** ftruncate(2) */
export function truncateFile(fd: number, lengthBytes: number): number {
  return retried(() => libc.ftruncate(fd, lengthBytes));
}

/** fallocate(2) */
export function allocateFile(fd: number, mode: number, offset: number, length: number): number {
  return retried(() => libc.fallocate(fd, mode, offset, length));
}

/**
 * Gives the space of a part of a file back: it reads as zeros from then on.
 *
 * @returns 0, or a negative errno: -EOPNOTSUPP where the file system has no such holes
 */
export function punchHole(fd: number, offset: number, length: number): number {
  return allocateFile(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

/** The same on another thread, since a file system may take its time. False where it failed. */
export async function punchHoleLater(fd: number, offset: number, length: number): Promise<boolean> {
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  return (await callLater('fallocate', fd, mode, offset, length)) === 0;
}

/** fsync(2): an error is reported once and the data may be gone; never try again but for EINTR. */
export function syncFile(fd: number): number {
  return retried(() => libc.fsync(fd));
}

/** Gives the file of `fd` (opened with O_TMPFILE) a name, which must not exist (-EEXIST). */
export function linkFile(fd: number, path: string): number {
  // by /proc, since AT_EMPTY_PATH asks for CAP_DAC_READ_SEARCH (open(2), O_TMPFILE)
  return retried(() => libc.linkat(AT_FDCWD, `/proc/self/fd/${fd}`, AT_FDCWD, path, AT_SYMLINK_FOLLOW));
}

/** Renames to a name that must not exist (-EEXIST); -EINVAL where the file system cannot promise that. */
export function renameFileExclusive(from: string, to: string): number {
  return retried(() => libc.renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE));
}

/** Removes a name. */
export function unlinkFile(path: string): number {
  return retried(() => libc.unlinkat(AT_FDCWD, path, 0));
}

/** Makes the names in a directory durable. */
export function syncDirectory(path: string): number {
  const fd = openFile(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fd;
  const result = syncFile(fd);
  closeFile(fd);
  return result;
}

/** fcntl(2) with an integer argument. */
export function controlFile(fd: number, command: number, argument: number): number {
  return retried(() => libc.fcntl(fd, command, argument));
}

/** What a file system has left. */
export interface FileSystemSpace {
  /** magic number of its type, linux/magic.h */
  readonly type: number;
  readonly blockBytes: number;
  /** what an unprivileged user may still take */
  readonly availableBytes: number;
}

let statfsMemory: Memory | undefined;

/** Free space of the file system of `fd`. Throws. */
export function fileSystemSpace(fd: number): FileSystemSpace {
  statfsMemory ??= scratch(statfs.sizeBytes);
  const memory = statfsMemory;
  check(
    retried(() => libc.fstatfs(fd, memory.address)),
    'ask for free space',
    'fstatfs',
  );
  const blockBytes = memory.word(statfs.at.f_bsize);
  return {
    type: memory.word(statfs.at.f_type),
    blockBytes,
    availableBytes: memory.word(statfs.at.f_bavail) * blockBytes,
  };
}

let statxMemory: Memory | undefined;

/** What a file occupies, in bytes, or a negative errno. Allocates nothing. */
export function occupiedBytes(fd: number): number {
  statxMemory ??= scratch(statx.sizeBytes);
  const memory = statxMemory;
  const result = retried(() => libc.statx(fd, '', AT_EMPTY_PATH, STATX_BLOCKS, memory.address));
  return result < 0 ? result : memory.word(statx.at.stx_blocks) * STAT_BLOCK_BYTES;
}

/**
 * What O_DIRECT asks of the address and of the position and length: the larger of both in bytes; 0 when the file has no
 * O_DIRECT, or a negative errno. Kernels before 6.1 and some file systems do not say: -ENODATA.
 */
export function directAlignment(fd: number): number {
  statxMemory ??= scratch(statx.sizeBytes);
  const memory = statxMemory;
  const result = retried(() => libc.statx(fd, '', AT_EMPTY_PATH, STATX_DIOALIGN, memory.address));
  if (result < 0) return result;
  if ((memory.uint32[statx.at.stx_mask >>> 2]! & STATX_DIOALIGN) === 0) return -ERRNO.ENODATA;
  const forMemory = memory.uint32[statx.at.stx_dio_mem_align >>> 2]!;
  const forOffset = memory.uint32[statx.at.stx_dio_offset_align >>> 2]!;
  return Math.max(forMemory, forOffset);
}

function retried(call: () => number): number {
  for (;;) {
    const result = call();
    if (result >= 0) return result;
    const error = errno();
    if (error !== ERRNO.EINTR) return -error;
  }
}
