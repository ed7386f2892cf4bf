/** ppoll(2) on a fixed set of descriptors. */

import { ERRNO } from './errno.ts';
import { pollfd, timespec } from './layouts.ts';
import { type Memory, scratch } from './memory.ts';
import { errno, libc } from './native.ts';

const ENTRY_BYTES = pollfd.sizeBytes;
const SECOND_NS = 1e9;

let nothing: PollSet | undefined;

/** Sleeps, or less when a signal comes. The thread's timer slack (50 us) adds to it. */
export function sleepNs(durationNs: number): void {
  nothing ??= new PollSet(0);
  nothing.wait(durationNs);
}

/** Descriptors to wait for. Waiting allocates nothing. */
export class PollSet {
  readonly #entries: Memory;
  readonly #entriesAddress: number;
  readonly #timeout: Memory = scratch(timespec.sizeBytes);
  readonly #timeoutAddress: number = this.#timeout.address;
  #timeoutNs = 0;
  readonly #count: number;

  /** @param size how many descriptors there is room for; unset places are skipped */
  constructor(size: number) {
    this.#entries = scratch(size * ENTRY_BYTES);
    this.#entriesAddress = this.#entries.address;
    this.#count = size;
    for (let index = 0; index < size; index++) this.clear(index);
  }

  /** Waits at place `index` for `events` (POLLIN...) of `fd`. */
  set(index: number, fd: number, events: number): void {
    this.#entries.int32[index * 2] = fd;
    this.#entries.int32[index * 2 + 1] = events;
  }

  /** Waits for nothing at place `index`. */
  clear(index: number): void {
    this.set(index, -1, 0);
  }

  /**
   * Waits until a descriptor is ready.
   *
   * @param timeoutNs nanoseconds; 0 only asks; below 0 waits for ever
   * @returns how many are ready; 0 when time is up, or when a signal came; a negative errno
   */
  wait(timeoutNs: number): number {
    // glibc hands the kernel a copy, so the struct stays as it is for the next wait of the same length
    if (timeoutNs !== this.#timeoutNs) this.#setTimeout(timeoutNs);
    const timeout = timeoutNs < 0 ? 0 : this.#timeoutAddress;
    const ready = libc.ppoll(this.#entriesAddress, this.#count, timeout, 0);
    if (ready >= 0) return ready;
    const error = errno();
    if (error !== ERRNO.EINTR) return -error;
    // a failed ppoll leaves revents as they were
    for (let index = 0; index < this.#count; index++) this.#entries.int32[index * 2 + 1]! &= 0xffff;
    return 0;
  }

  #setTimeout(timeoutNs: number): void {
    this.#timeoutNs = timeoutNs;
    const seconds = Math.max(0, Math.floor(timeoutNs / SECOND_NS));
    this.#timeout.setWord(timespec.at.tv_sec, seconds);
    this.#timeout.setWord(timespec.at.tv_nsec, Math.max(0, timeoutNs - seconds * SECOND_NS));
  }

  /** What is ready at place `index`: bits of POLLIN..., POLLERR, POLLHUP, POLLNVAL; 0 for nothing. */
  ready(index: number): number {
    return this.#entries.int32[index * 2 + 1]! >>> 16;
  }
}
