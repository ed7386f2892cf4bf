/** Clocks as numbers of nanoseconds: exact up to 2^53, 104 days; off by at most 256 ns for today's wall clock. */

import { CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME } from './abi.ts';
import { type Memory, scratch } from './memory.ts';
import { libc } from './native.ts';

const SECOND_NS = 1e9;
let memory: Memory | undefined;

function read(clock: number): Memory {
  memory ??= scratch(16);
  libc.clock_gettime(clock, memory.address);
  return memory;
}

/** Nanoseconds since boot without time in suspend (CLOCK_MONOTONIC); makes no system call and no object. */
export function monotonicNs(): number {
  const time = read(CLOCK_MONOTONIC);
  return time.word(0) * SECOND_NS + time.uint32[2]!;
}

/** Nanoseconds since boot, time in suspend included (CLOCK_BOOTTIME). */
export function boottimeNs(): number {
  const time = read(CLOCK_BOOTTIME);
  return time.word(0) * SECOND_NS + time.uint32[2]!;
}

/** Wall clock since 1970 in nanoseconds (CLOCK_REALTIME), exact. */
export function realtimeNs(): bigint {
  const time = read(CLOCK_REALTIME);
  return time.bigUint64[0]! * 1_000_000_000n + time.bigUint64[1]!;
}
