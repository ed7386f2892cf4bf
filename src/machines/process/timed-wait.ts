import { SYS_epoll_pwait, SYS_epoll_wait } from '../../linux/abi.ts';
import { monotonicNs } from '../../linux/clock.ts';
import { userRegs } from '../../linux/layouts.ts';
import type { Memory } from '../../linux/memory.ts';
import { sleepNs } from '../../linux/poll.ts';
import { readProcText } from '../../linux/proc-file.ts';
import { getAffinity, setAffinity } from '../../linux/session.ts';

const NS_PER_MS = 1_000_000;
/** a nap that ends with a fresh `exec_start` of our own */
const NAP_NS = 20_000;

/** A call that waits until a point in time, as it was seen before the thread was stopped. */
export interface TimedWait {
  readonly call: number;
  readonly timeoutMs: number;
  /** CLOCK_MONOTONIC; may be late, not early */
  readonly deadlineNs: number;
}

/** The same, in the clock of the CPU on which the thread went to sleep. */
interface SeenWait extends TimedWait {
  readonly cpu: number;
}

/**
 * Since when threads sleep, so that a wait that our stop interrupts can be given the time that remains: epoll_wait
 * does not say how long it has waited, and started again as it was it would wait its whole timeout.
 *
 * The scheduler tells when a thread last ran (`se.exec_start` of /proc/PID/task/TID/sched), by the clock of the CPU it
 * ran on, which leaves out time that the host took. How far that is behind CLOCK_MONOTONIC is measured on each CPU. It
 * only grows: so it is measured after the sleep began, or the wait would end too early.
 */
export class SleepClock {
  /**
   * The timed waits that threads sleep in, by thread. They do not notice.
   *
   * Takes 60 us for each thread, and for each CPU on which one that waits went to sleep.
   */
  observe(tids: Iterable<number>): Map<number, TimedWait> {
    const seen = new Map<number, SeenWait>();
    for (const tid of tids) {
      const wait = see(tid);
      if (wait !== undefined) seen.set(tid, wait);
    }
    const waits = new Map<number, TimedWait>();
    if (seen.size === 0) return waits;
    const offsets = measure(new Set([...seen.values()].map(({ cpu }) => cpu)));
    for (const [tid, { cpu, ...wait }] of seen) {
      const offset = offsets.get(cpu);
      if (offset !== undefined) waits.set(tid, { ...wait, deadlineNs: wait.deadlineNs + offset });
    }
    return waits;
  }
}

/** Shortens a wait that is about to start again to the time that remains of it. */
export function shortenWait(registers: Memory, wait: TimedWait): void {
  const call = registers.view.getInt32(userRegs.at.orig_rax, true);
  const timeoutMs = registers.view.getInt32(userRegs.at.r10, true);
  // It may have begun another wait since it was seen.
  if (call !== wait.call || timeoutMs !== wait.timeoutMs) return;
  const leftMs = Math.ceil((wait.deadlineNs - monotonicNs()) / NS_PER_MS);
  registers.view.setBigInt64(userRegs.at.r10, BigInt(Math.min(timeoutMs, Math.max(0, leftMs))), true);
}

function see(tid: number): SeenWait | undefined {
  try {
    const [name, , , , timeout] = readProcText(`/proc/${tid}/syscall`).split(' ');
    const call = Number(name);
    if (call !== SYS_epoll_wait && call !== SYS_epoll_pwait) return undefined;
    const timeoutMs = Number(timeout) | 0;
    if (timeoutMs <= 0) return undefined;
    return { call, timeoutMs, deadlineNs: lastRanNs(tid) + timeoutMs * NS_PER_MS, cpu: cpuOf(tid) };
  } catch {
    return undefined;
  }
}

/**
 * How far the clocks of CPUs are behind. We end on the CPU that we came from: who runs on the others is to be held next, and needs
 * them for that. Where the kernel does not tell (CONFIG_SCHED_DEBUG, an option before 6.15), nothing is known.
 */
function measure(cpus: ReadonlySet<number>): Map<number, number> {
  const offsets = new Map<number, number>();
  const allowed = getAffinity();
  const own = cpuOf(process.pid);
  const others = [...cpus].filter((cpu) => cpu !== own && allowed.includes(cpu));
  try {
    for (const cpu of [...others, own]) {
      setAffinity([cpu]);
      if (cpus.has(cpu)) offsets.set(cpu, offsetHere());
    }
  } catch {
    offsets.clear();
  } finally {
    setAffinity(allowed);
  }
  return offsets;
}

/** Too large by what we waited for meanwhile: a wait may then end too late, not too early. */
function offsetHere(): number {
  sleepNs(NAP_NS);
  const ranNs = lastRanNs(process.pid);
  return monotonicNs() - ranNs;
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
