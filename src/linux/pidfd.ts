/** Processes and threads by descriptor, which no other process can come to mean. Results are as in file.ts. */

import { LivecoreError } from '../errors.ts';
import { PIDFD_THREAD, SYS_kcmp, SYS_pidfd_getfd, SYS_pidfd_open, SYS_pidfd_send_signal } from './abi.ts';
import { ERRNO } from './errno.ts';
import { check } from './failure.ts';
import { closeFile } from './file.ts';
import { errno, libc } from './native.ts';

/**
 * One process for good. Once a process has ended and was waited for, its number, and with it every path in /proc, may come
 * to mean another. So whoever opens or reads by the number asks afterwards whether it still was the process': a yes
 * vouches for all that was done by it before.
 */
export class ProcessHandle implements Disposable {
  readonly pid: number;
  readonly fd: number;
  #closed = false;

  /**
   * @param fd a pidfd of the process, which is closed with this
   * @throws LivecoreError SYSTEM_CALL: ESRCH when there is no such process
   */
  constructor(pid: number, fd: number = openPidfd(pid)) {
    this.pid = pid;
    this.fd = check(fd, `open process ${pid}`, 'pidfd_open', { pid });
  }

  /** Whether the number has meant this process until now. It has while nobody has waited for its end. */
  get holdsNumber(): boolean {
    return sendSignal(this.fd, 0) !== -ERRNO.ESRCH;
  }

  /** Throws TARGET_GONE where it may mean another by now. */
  requireNumber(): void {
    if (this.holdsNumber) return;
    const { pid } = this;
    throw new LivecoreError('TARGET_GONE', `process ${pid} has ended; its number may be another's by now`, {
      pid,
    });
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFile(this.fd);
  }
}

/** A descriptor of a process; close-on-exec. */
export function openPidfd(pid: number): number {
  return result(libc.syscall(SYS_pidfd_open, pid, 0, 0, 0, 0, 0));
}

/** A descriptor of a thread (6.9; -EINVAL before). With it {@link takeDescriptor} sees the thread's own table. */
export function openThreadPidfd(tid: number): number {
  return result(libc.syscall(SYS_pidfd_open, tid, PIDFD_THREAD, 0, 0, 0, 0));
}

/** Duplicates descriptor `fd` of another process into ours; close-on-exec. Needs the right to trace it. */
export function takeDescriptor(pidfd: number, fd: number): number {
  return result(libc.syscall(SYS_pidfd_getfd, pidfd, fd, 0, 0, 0, 0));
}

/** Sends a signal, 0 to ask whether it is still there (-ESRCH: no). */
export function sendSignal(pidfd: number, signal: number): number {
  return result(libc.syscall(SYS_pidfd_send_signal, pidfd, signal, 0, 0, 0, 0));
}

/**
 * Compares what two tasks have.
 *
 * @param type KCMP_VM, KCMP_FILES...; for KCMP_FILE the descriptors follow
 * @returns 0 when it is the same, 1 to 3 when not, or a negative errno (-EPERM without the right to trace both)
 */
export function compareTasks(first: number, second: number, type: number, fd1 = 0, fd2 = 0): number {
  return result(libc.syscall(SYS_kcmp, first, second, type, fd1, fd2, 0));
}

function result(value: number): number {
  return value < 0 ? -errno() : value;
}
