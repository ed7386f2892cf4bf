import {
  ERESTARTNOHAND,
  SYS_accept,
  SYS_accept4,
  SYS_epoll_pwait,
  SYS_epoll_pwait2,
  SYS_epoll_wait,
  SYS_io_getevents,
  SYS_recvfrom,
  SYS_recvmmsg,
  SYS_recvmsg,
  SYS_rt_sigtimedwait,
  SYS_semop,
  SYS_semtimedop,
} from '../../linux/abi.ts';
import { ERRNO } from '../../linux/errno.ts';
import { userRegs } from '../../linux/layouts.ts';
import type { Memory } from '../../linux/memory.ts';

/** x86-64 system call numbers that abi.ts has no other use for (asm/unistd_64.h) */
const SYS_msgrcv = 70;
const SYS_io_pgetevents = 333;

/**
 * Calls that return EINTR when a ptrace stop interrupts them, although no signal came (signal(7), "Interruption of
 * system calls and library functions by stop signals"), and that have done nothing by then: starting them again is
 * right. Not in the list is what has an effect before it waits (connect, close).
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
  SYS_recvfrom,
  SYS_recvmsg,
  SYS_recvmmsg,
  SYS_accept,
  SYS_accept4,
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
