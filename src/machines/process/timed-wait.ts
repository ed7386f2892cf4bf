import { SYS_epoll_pwait, SYS_epoll_wait } from '../../linux/abi.ts';
import { monotonicNs } from '../../linux/clock.ts';
import { userRegs } from '../../linux/layouts.ts';
import type { Memory } from '../../linux/memory.ts';
import { sleepNs } from '../../linux/poll.ts';
import { readProcText } from '../../linux/proc-file.ts';
import { getAffinity, setAffinity } from '../../linux/session.ts';

const NS_PER_MS = 1_000_000;
const INFINITE = -1;
/** a nap that ends with a fresh `exec_start` of our own */
const NAP_NS = 20_000;

/** A call that waits until a point in time, as it was seen before the thread was stopped. */
export interface TimedWait {
  readonly call: number;
  readonly timeoutMs: number;
  /** CLOCK_MONOTONIC */
  readonly deadlineNs: number;
}

/**
 * Since when threads sleep, so that a wait that our stop interrupts can be given the time that remains: epoll_wait
 * does not say how long it has waited, and started again as it was it would wait its whole timeout.
 *
 * The scheduler tells when a thread last ran (`se.exec_start` of /proc/PID/task/TID/sched), by the clock of the CPU it
 * ran on, which leaves out time that the host took. How far that is from CLOCK_MONOTONIC is measured on each CPU.
 */
export class SleepClock {
  readonly #offsets = new Map<number, number>();

  /** Measures the clocks of the CPUs we may run on, some 60 us each. Where the kernel does not tell, it knows nothing. */
  constructor() {
    const cpus = getAffinity();
    try {
      for (const cpu of cpus) {
        setAffinity([cpu]);
        sleepNs(NAP_NS);
        const now = monotonicNs();
        this.#offsets.set(cpu, now - lastRanNs(process.pid));
      }
    } catch {
      // CONFIG_SCHED_DEBUG is off (before 6.15 it was an option).
      this.#offsets.clear();
    } finally {
      setAffinity(cpus);
    }
  }

  /** The timed wait that a thread sleeps in, if it sleeps in one. The thread does not notice. */
  observe(tid: number): TimedWait | undefined {
    try {
      const [name, , , , timeout] = readProcText(`/proc/${tid}/syscall`).split(' ');
      const call = Number(name);
      if (call !== SYS_epoll_wait && call !== SYS_epoll_pwait) return undefined;
      const timeoutMs = Number(timeout) | 0;
      const offset = this.#offsets.get(cpuOf(tid));
      if (timeoutMs <= 0 || offset === undefined) return undefined;
      return { call, timeoutMs, deadlineNs: lastRanNs(tid) + offset + timeoutMs * NS_PER_MS };
    } catch {
      return undefined;
    }
  }
}

/** Shortens a wait that is about to start again to the time that remains of it. */
export function shortenWait(registers: Memory, wait: TimedWait): void {
  const call = registers.view.getInt32(userRegs.at.orig_rax, true);
  const timeoutMs = registers.view.getInt32(userRegs.at.r10, true);
  // It may have begun another wait since it was seen.
  if (call !== wait.call || timeoutMs !== wait.timeoutMs || timeoutMs === INFINITE) return;
  const leftMs = Math.ceil((wait.deadlineNs - monotonicNs()) / NS_PER_MS);
  registers.view.setBigInt64(userRegs.at.r10, BigInt(Math.min(timeoutMs, Math.max(0, leftMs))), true);
}

/** When a task was last given a CPU or left it, by that CPU's clock. */
function lastRanNs(tid: number): number {
  const text = readProcText(`/proc/${tid}/sched`);
  const value = /^se\.exec_start\s*:\s*(\d+)\.(\d{6})/m.exec(text);
  if (value === null) throw new Error('no se.exec_start');
  return Number(value[1]) * NS_PER_MS + Number(value[2]);
}

/** Field 39 of proc_pid_stat(5): the CPU it last ran on. */
function cpuOf(tid: number): number {
  const text = readProcText(`/proc/${tid}/stat`);
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[36]);
}
