/**
 * A kernel timer that kills this process unless it is fed: for a loop that others wait for. It needs no thread and no
 * scheduling of ours, and fires also while the process is stopped (SIGSTOP, a debugger) or stuck in JavaScript.
 */

import { CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGKILL } from './abi.ts';
import { check } from './failure.ts';
import { itimerspec, sigevent } from './layouts.ts';
import { type Memory, scratch } from './memory.ts';
import { errno, libc } from './native.ts';

const SECOND_NS = 1e9;
const TIMER_AT = 64;
const SETTING_AT = 72;
const VALUE_SECONDS = SETTING_AT + itimerspec.at['it_value.tv_sec'];
const VALUE_NANOSECONDS = SETTING_AT + itimerspec.at['it_value.tv_nsec'];

/** Kills this process `timeout` after the last {@link feed}; disarmed until the first. */
export class Watchdog implements Disposable {
  readonly #memory: Memory = scratch(TIMER_AT + 8 + itimerspec.sizeBytes);
  readonly #timer: number;
  #closed = false;

  /** @throws LivecoreError SYSTEM_CALL: EAGAIN at the limit of pending signals (RLIMIT_SIGPENDING) */
  constructor() {
    const memory = this.#memory;
    memory.bytes.fill(0);
    memory.view.setInt32(sigevent.at.sigev_signo, SIGKILL, true);
    memory.view.setInt32(sigevent.at.sigev_notify, SIGEV_SIGNAL, true);
    const result = libc.timer_create(CLOCK_MONOTONIC, memory.address, memory.address + TIMER_AT);
    check(result < 0 ? -errno() : 0, 'create the watchdog', 'timer_create');
    this.#timer = memory.word(TIMER_AT);
  }

  /** Lives for another `timeoutNs` from now; 0 disarms. Returns 0 or a negative errno. */
  feed(timeoutNs: number): number {
    const seconds = Math.floor(timeoutNs / SECOND_NS);
    this.#memory.setWord(VALUE_SECONDS, seconds);
    this.#memory.setWord(VALUE_NANOSECONDS, timeoutNs - seconds * SECOND_NS);
    return libc.timer_settime(this.#timer, 0, this.#memory.address + SETTING_AT, 0) < 0 ? -errno() : 0;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    libc.timer_delete(this.#timer);
  }
}
