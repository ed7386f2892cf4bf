/** Clocks as numbers of nanoseconds: exact up to 2^53, 104 days; off by at most 256 ns for today's wall clock. */

import { CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME } from './abi.ts';
import { timespec } from './layouts.ts';
import { type Memory, scratch } from './memory.ts';
import { libc } from './native.ts';

const SECOND_NS = 1e9;
let memory: Memory | undefined;
// of `memory`, at hand for the clock that the loop reads all the time: seconds at 0, nanoseconds at 8
let words: Uint32Array;
let address = 0;

function prepare(): void {
  memory = scratch(timespec.sizeBytes);
  words = memory.uint32;
  address = memory.address;
}

/** Nanoseconds since boot without time in suspend (CLOCK_MONOTONIC); makes no system call and no object. */
export function monotonicNs(): number {
  if (memory === undefined) prepare();
  libc.clock_gettime(CLOCK_MONOTONIC, address);
  return words[0]! * SECOND_NS + words[2]!;
}

/** Nanoseconds since boot, time in suspend included (CLOCK_BOOTTIME). */
export function boottimeNs(): number {
  if (memory === undefined) prepare();
  libc.clock_gettime(CLOCK_BOOTTIME, address);
  return words[0]! * SECOND_NS + words[2]!;
}

/** Wall clock since 1970 in nanoseconds (CLOCK_REALTIME), exact. */
export function realtimeNs(): bigint {
  if (memory === undefined) prepare();
  libc.clock_gettime(CLOCK_REALTIME, address);
  return BigInt(words[0]!) * 1_000_000_000n + BigInt(words[2]!);
}
