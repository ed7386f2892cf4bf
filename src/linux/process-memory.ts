/**
 * Memory of another process through /proc/PID/mem.
 *
 * Not by process_vm_readv: that pins pages, and pinning unshares the copy-on-write pages of forked families.
 */

import { O_CLOEXEC, O_RDWR } from './abi.ts';
import { ERRNO } from './errno.ts';
import { check } from './failure.ts';
import { closeFile, openFile } from './file.ts';
import { errno, libc } from './native.ts';

/** Memory of one process. It stays that of the address space at opening: after exec or exit, reads give 0 bytes. */
export class ProcessMemory implements Disposable {
  readonly fd: number;
  #closed = false;

  /** @throws LivecoreError SYSTEM_CALL: EACCES without the right to trace, ENOENT when there is no such process */
  constructor(pid: number) {
    const path = `/proc/${pid}/mem`;
    this.fd = check(openFile(path, O_RDWR | O_CLOEXEC), `open ${path}`, 'openat', { pid, path });
  }

  /**
   * Copies `length` bytes at `address` of the process to `to`, an address of ours.
   *
   * @returns how many bytes were copied: less than `length` when what follows cannot be read (not mapped, beyond the end
   * of a file); or a negative errno when nothing could: -EIO
   */
  read(address: number, to: number, length: number): number {
    let done = 0;
    while (done < length) {
      const count = libc.pread(this.fd, to + done, length - done, address + done);
      if (count > 0) {
        done += count;
        continue;
      }
      if (count === 0) return done;
      const error = errno();
      if (error !== ERRNO.EINTR) return done > 0 ? done : -error;
    }
    return done;
  }

  /** Copies bytes of ours to the process, also where it may not write itself. Results as of {@link read}. */
  write(address: number, from: number, length: number): number {
    let done = 0;
    while (done < length) {
      const count = libc.pwrite(this.fd, from + done, length - done, address + done);
      if (count > 0) {
        done += count;
        continue;
      }
      if (count === 0) return done;
      const error = errno();
      if (error !== ERRNO.EINTR) return done > 0 ? done : -error;
    }
    return done;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFile(this.fd);
  }
}
