/** The robust futex lists that dying threads walk (get_robust_list(2), Documentation/locking/robust-futexes.rst). */

import { SYS_get_robust_list } from './abi.ts';
import { type Memory, scratch } from './memory.ts';
import { errno, libc } from './native.ts';

let memory: Memory | undefined;

/**
 * Where the head of a thread's robust list is.
 *
 * @returns its address, 0 for a thread that has none, or a negative errno
 */
export function robustListHead(tid: number): number {
  memory ??= scratch(16);
  const result = libc.syscall(SYS_get_robust_list, tid, memory.address, memory.address + 8, 0, 0, 0);
  return result < 0 ? -errno() : memory.word(0);
}
