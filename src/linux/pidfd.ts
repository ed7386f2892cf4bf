/** Processes and threads by descriptor, which no other process can come to mean. Results are as in file.ts. */

import { PIDFD_THREAD, SYS_kcmp, SYS_pidfd_getfd, SYS_pidfd_open, SYS_pidfd_send_signal } from './abi.ts';
import { errno, libc } from './native.ts';

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
