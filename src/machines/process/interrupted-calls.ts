import {
  ERESTARTNOHAND,
  SO_RCVTIMEO,
  SO_SNDTIMEO,
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

/** Where a call has its timeout, and what it returns when that has passed. */
export interface Timeout {
  /**
   * an int of milliseconds among the arguments; the address of a timespec there; of the io_uring_getevents_arg; or an
   * option of the socket that is the first argument
   */
  readonly in: 'milliseconds' | 'timespec' | 'io_uring' | 'socket';
  /** which argument, counted from 0; for a socket which option */
  readonly at: number;
  readonly result: number;
}

const timespecAt = (at: number, result: number): Timeout => ({ in: 'timespec', at, result });
const MILLISECONDS: Timeout = { in: 'milliseconds', at: 3, result: 0 };
const RECEIVING: Timeout = { in: 'socket', at: SO_RCVTIMEO, result: -ERRNO.EAGAIN };
const SENDING: Timeout = { in: 'socket', at: SO_SNDTIMEO, result: -ERRNO.EAGAIN };

/**
 * Calls that return EINTR when a ptrace stop interrupts them, although no signal came (signal(7), "Interruption of
 * system calls and library functions by stop signals"), with their timeouts. On a socket it is the timeout that makes the
 * difference (sock_intr_errno in include/net/sock.h).
 *
 * Started again they do what they would have done. Those that have an effect before they wait return what they have
 * done so far; connect goes on waiting for the same connection (__inet_stream_connect in net/ipv4/af_inet.c), and what
 * io_uring_enter had submitted is not in the ring any more. Not so close.
 */
const CALLS: ReadonlyMap<number, Timeout | undefined> = new Map<number, Timeout | undefined>([
  [SYS_epoll_wait, MILLISECONDS],
  [SYS_epoll_pwait, MILLISECONDS],
  [SYS_epoll_pwait2, timespecAt(3, 0)],
  [SYS_rt_sigtimedwait, timespecAt(2, -ERRNO.EAGAIN)],
  [SYS_semop, undefined],
  [SYS_semtimedop, timespecAt(3, -ERRNO.EAGAIN)],
  [SYS_msgrcv, undefined],
  [SYS_io_getevents, timespecAt(4, 0)],
  [SYS_io_pgetevents, timespecAt(4, 0)],
  [SYS_io_uring_enter, { in: 'io_uring', at: 4, result: -ERRNO.ETIME }],
  [SYS_recvfrom, RECEIVING],
  [SYS_recvmsg, RECEIVING],
  [SYS_recvmmsg, RECEIVING],
  [SYS_read, RECEIVING],
  [SYS_readv, RECEIVING],
  [SYS_accept, RECEIVING],
  [SYS_accept4, RECEIVING],
  [SYS_sendto, SENDING],
  [SYS_sendmsg, SENDING],
  [SYS_sendmmsg, SENDING],
  [SYS_write, SENDING],
  [SYS_writev, SENDING],
  [SYS_connect, { in: 'socket', at: SO_SNDTIMEO, result: -ERRNO.EINPROGRESS }],
  // Files whose system asks a process (FUSE) may let it answer EINTR.
  [SYS_pread64, undefined],
  [SYS_preadv, undefined],
  [SYS_preadv2, undefined],
  [SYS_pwrite64, undefined],
  [SYS_pwritev, undefined],
  [SYS_pwritev2, undefined],
]);

/** The timeout of a call that our stop would cut short, or undefined. */
export function timeoutOf(call: number): Timeout | undefined {
  return CALLS.get(call);
}

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

/**
 * Lets a call that our stop interrupted return.
 *
 * @param result a value, or a negative errno
 */
export function endInterruptedCall(registers: Memory, result: number): void {
  registers.view.setBigInt64(userRegs.at.rax, BigInt(result), true);
  // Nothing is to be started again (arch/x86/kernel/signal.c, arch_do_signal_or_restart).
  registers.view.setBigInt64(userRegs.at.orig_rax, -1n, true);
}
