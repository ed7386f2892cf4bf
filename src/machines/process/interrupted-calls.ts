import {
  ERESTARTNOHAND,
  SYS_accept,
  SYS_accept4,
  SYS_connect,
  SYS_epoll_pwait,
  SYS_epoll_pwait2,
  SYS_epoll_wait,
  SYS_io_getevents,
  SYS_io_pgetevents,
  SYS_io_uring_enter,
  SYS_msgrcv,
  SYS_pread64,
  SYS_preadv,
  SYS_preadv2,
  SYS_pwrite64,
  SYS_pwritev,
  SYS_pwritev2,
  SYS_read,
  SYS_readv,
  SYS_recvfrom,
  SYS_recvmmsg,
  SYS_recvmsg,
  SYS_rt_sigtimedwait,
  SYS_semop,
  SYS_semtimedop,
  SYS_sendmmsg,
  SYS_sendmsg,
  SYS_sendto,
  SYS_write,
  SYS_writev,
} from '../../linux/abi.ts';
import { ERRNO } from '../../linux/errno.ts';
import { userRegs } from '../../linux/layouts.ts';
import type { Memory } from '../../linux/memory.ts';

/**
 * Calls that return EINTR when a ptrace stop interrupts them, although no signal came (signal(7), "Interruption of
 * system calls and library functions by stop signals"). On a socket it is a timeout that makes the difference
 * (sock_intr_errno in include/net/sock.h).
 *
 * Started again they do what they would have done. Those that have an effect before they wait return what they have
 * done so far; connect goes on waiting for the same connection (__inet_stream_connect in net/ipv4/af_inet.c), and what
 * io_uring_enter had submitted is not in the ring any more. Not so close.
 */
const CALLS: ReadonlySet<number> = new Set([
  SYS_epoll_wait,
  SYS_epoll_pwait,
  SYS_epoll_pwait2,
  SYS_rt_sigtimedwait,
  SYS_semop,
  SYS_semtimedop,
  SYS_msgrcv,
  SYS_io_getevents,
  SYS_io_pgetevents,
  SYS_io_uring_enter,
  SYS_recvfrom,
  SYS_recvmsg,
  SYS_recvmmsg,
  SYS_accept,
  SYS_accept4,
  SYS_sendto,
  SYS_sendmsg,
  SYS_sendmmsg,
  SYS_connect,
  // On sockets, and on files whose system asks a process that may answer EINTR (FUSE).
  SYS_read,
  SYS_readv,
  SYS_write,
  SYS_writev,
  SYS_pread64,
  SYS_preadv,
  SYS_preadv2,
  SYS_pwrite64,
  SYS_pwritev,
  SYS_pwritev2,
]);

/** Whether our stop made a call return EINTR that is to be started again. */
export function isInterruptedCall(registers: Memory): boolean {
  const result = registers.view.getInt32(userRegs.at.rax, true);
  return result === -ERRNO.EINTR && CALLS.has(registers.view.getInt32(userRegs.at.orig_rax, true));
}

/**
 * Where our stop made a call return EINTR, puts ERESTARTNOHAND in its place. The kernel then decides as for
 * pause(2): start again if no handler runs, EINTR if a signal came as well. So a real signal's EINTR stays.
 *
 * @param registers as read inside the stop; changed where needed
 * @returns whether they were changed and have to be written
 */
export function restartInterruptedCall(registers: Memory): boolean {
  if (!isInterruptedCall(registers)) return false;
  registers.view.setBigInt64(userRegs.at.rax, BigInt(-ERESTARTNOHAND), true);
  return true;
}
