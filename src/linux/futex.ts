/** futex(2): threads of this process that wait for a word of memory. */
import { FUTEX_PRIVATE_FLAG, FUTEX_WAIT, FUTEX_WAKE, SYS_futex } from './abi.ts';
import { timespec } from './layouts.ts';
import { type Memory, scratch } from './memory.ts';
import { libc } from './native.ts';

const SECOND_NS = 1e9;
const ALL = 2 ** 31 - 1;
let timeout: Memory | undefined;

/** Waits while the 32-bit word at `address` is `value`, for at most `timeoutNs`; may return early for no reason. */
export function futexWait(address: number, value: number, timeoutNs: number): void {
  timeout ??= scratch(timespec.sizeBytes);
  const seconds = Math.floor(timeoutNs / SECOND_NS);
  timeout.setWord(timespec.at.tv_sec, seconds);
  timeout.setWord(timespec.at.tv_nsec, timeoutNs - seconds * SECOND_NS);
  libc.syscall(SYS_futex, address, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, value, timeout.address, 0, 0);
}

/** Wakes all threads that wait for the word at `address`. Never waits itself. */
export function futexWake(address: number): void {
  libc.syscall(SYS_futex, address, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, ALL, 0, 0, 0);
}
