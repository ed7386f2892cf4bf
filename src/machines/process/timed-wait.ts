import { SYS_epoll_pwait, SYS_epoll_wait } from '../../linux/abi.ts';
import { monotonicNs } from '../../linux/clock.ts';
import { userRegs } from '../../linux/layouts.ts';
import type { Memory } from '../../linux/memory.ts';
import { sleepNs } from '../../linux/poll.ts';
import { readProcText } from '../../linux/proc-file.ts';
import { getAffinity, setAffinity } from '../../linux/session.ts';
import { timeoutOf } from './interrupted-calls.ts';

const NS_PER_MS = 1_000_000;
/** a nap that ends with a fresh `exec_start` of our own */
const NAP_NS = 20_000;
const ARGUMENTS = 6;
/** where struct user_regs_struct has the arguments of a call, in order (syscall(2)) */
const ARGUMENT_REGISTERS = (['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'] as const).map(
  (name) => userRegs.at[name],
);

/** A call that may have a timeout, as it was seen before the thread was stopped. */
export interface TimedWait {
  readonly tid: number;
  readonly call: number;
  readonly args: readonly bigint[];
  /** when it began, by the clock of the CPU that it began on */
  readonly began: { readonly cpu: number; readonly ns: number };
  /** how often the thread had gone to sleep by then, this time included: another wait has another number */
  readonly sleeps: number;
}

/** What the scheduler tells of a task. */
interface Slept {
  /** when it was last given a CPU or left it, by that CPU's clock */
  readonly lastRanNs: number;
  readonly sleeps: number;
}

/**
 * Since when threads sleep, so that a wait that our stop interrupts can end when it would have: the kernel does not say
 * how long it has waited, and started again as it was it would wait its whole timeout.
 *
 * The scheduler tells when a thread last ran (`se.exec_start` of /proc/PID/task/TID/sched), by the clock of the CPU it
 * ran on, which leaves out time that the host took. How far that is behind CLOCK_MONOTONIC is measured on each CPU; it
 * only grows, so measured before the sleep began it makes that too early, and after it too late.
 */
export class SleepClock {
  readonly #offsets = new Map<number, number>();

  /** Measures the clocks of the CPUs we may run on, some 60 us each. Where the kernel does not tell, it knows nothing. */
  constructor() {
    this.#measure(getAffinity());
  }

  /** The wait in a call that may have a timeout that a thread sleeps in, if it does. It does not notice. Takes 60 us. */
  observe(tid: number): TimedWait | undefined {
    const wait = observeOne(tid);
    return wait !== undefined && this.#offsets.has(wait.began.cpu) ? wait : undefined;
  }

  /** Since when it waits, CLOCK_MONOTONIC; too early where the host has taken time since the clock was measured. */
  sinceNs({ began }: TimedWait): number {
    return began.ns + (this.#offsets.get(began.cpu) ?? Number.POSITIVE_INFINITY);
  }

  /**
   * Measures the clocks of some CPUs again. Whoever runs there is interrupted, and we come from there with cold caches: not
   * before a hold.
   */
  measure(cpus: ReadonlySet<number>): void {
    this.#measure([...cpus].filter((cpu) => this.#offsets.has(cpu)));
  }

  #measure(cpus: readonly number[]): void {
    if (cpus.length === 0) return;
    const allowed = getAffinity();
    try {
      for (const cpu of cpus) {
        setAffinity([cpu]);
        this.#offsets.set(cpu, Math.min(offsetHere(), offsetHere()));
      }
    } catch {
      // CONFIG_SCHED_DEBUG is off (before 6.15 it was an option).
      this.#offsets.clear();
    } finally {
      setAffinity(allowed);
    }
  }
}

/**
 * How far the clock of the CPU that we run on is behind. Too large by what we waited for meanwhile: a wait may then end too
 * late, not too early.
 */
function offsetHere(): number {
  sleepNs(NAP_NS);
  const { lastRanNs } = sleptOf(process.pid);
  return monotonicNs() - lastRanNs;
}

function observeOne(tid: number): TimedWait | undefined {
  try {
    const [name, ...words] = readProcText(`/proc/${tid}/syscall`).split(' ');
    const call = Number(name);
    if (timeoutOf(call) === undefined) return undefined;
    const args = words.slice(0, ARGUMENTS).map(BigInt);
    const { lastRanNs, sleeps } = sleptOf(tid);
    return { tid, call, args, began: { cpu: cpuOf(tid), ns: lastRanNs }, sleeps };
  } catch {
    return undefined;
  }
}

/** Whether a thread's registers are those of this very call: it may have begun another since it was seen. */
export function isCallOf(registers: Memory, wait: TimedWait): boolean {
  const { view } = registers;
  return (
    view.getInt32(userRegs.at.orig_rax, true) === wait.call &&
    ARGUMENT_REGISTERS.every((at, index) => view.getBigUint64(at, true) === wait.args[index])
  );
}

/**
 * Shortens a wait that is about to start again to the time that remains of it, where a register has its timeout.
 *
 * @param sinceNs since when it waits
 * @returns false where none has
 */
export function shortenWait(registers: Memory, wait: TimedWait, sinceNs: number): boolean {
  if (wait.call !== SYS_epoll_wait && wait.call !== SYS_epoll_pwait) return false;
  const timeoutMs = registers.view.getInt32(userRegs.at.r10, true);
  if (timeoutMs <= 0) return true;
  const leftMs = Math.ceil((sinceNs - monotonicNs()) / NS_PER_MS) + timeoutMs;
  registers.view.setBigInt64(userRegs.at.r10, BigInt(Math.min(timeoutMs, Math.max(0, leftMs))), true);
  return true;
}

/** How often a task has gone to sleep by itself; a stop counts as well. Throws where it is gone. */
export function sleepsOf(tid: number): number {
  return sleptOf(tid).sleeps;
}

function sleptOf(tid: number): Slept {
  const text = readProcText(`/proc/${tid}/sched`);
  const ran = /^se\.exec_start\s*:\s*(\d+)\.(\d{6})/m.exec(text);
  const sleeps = /^nr_voluntary_switches\s*:\s*(\d+)/m.exec(text);
  if (ran === null || sleeps === null) throw new Error('no se.exec_start');
  return { lastRanNs: Number(ran[1]) * NS_PER_MS + Number(ran[2]), sleeps: Number(sleeps[1]) };
}

/** Field 39 of proc_pid_stat(5): the CPU it last ran on. */
function cpuOf(tid: number): number {
  const text = readProcText(`/proc/${tid}/stat`);
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[36]);
}
