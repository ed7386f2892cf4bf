/**
 * How this process stands in the system: session, signals, locked memory, priority, processors. Functions throw
 * LivecoreError SYSTEM_CALL; those that change something return what it was, to be given back.
 */

import { setField } from '../bytes/struct.ts';
import {
  MCL_CURRENT,
  MCL_FUTURE,
  MCL_ONFAULT,
  O_CLOEXEC,
  O_WRONLY,
  PR_SET_NAME,
  PR_SET_PDEATHSIG,
  PR_SET_TIMERSLACK,
  PRIO_PROCESS,
  SIG_IGN,
  SIGTSTP,
  SIGTTIN,
  SIGTTOU,
  SYS_sched_setattr,
} from './abi.ts';
import { check } from './failure.ts';
import { closeFile, openFile, writeFile } from './file.ts';
import { rlimit, schedAttr } from './layouts.ts';
import { type Memory, scratch } from './memory.ts';
import { errno, libc } from './native.ts';

const CPU_MASK_BYTES = 1024;
const MEMORY_BYTES = CPU_MASK_BYTES;
let memory: Memory | undefined;

function argument(): Memory {
  memory ??= scratch(MEMORY_BYTES);
  return memory;
}

function checked(result: number, action: string, syscall: string): number {
  return check(result < 0 ? -errno() : result, action, syscall);
}

/** Begins a session of its own, without a terminal. Fails (EPERM) for the leader of a process group. */
export function startSession(): number {
  return checked(libc.setsid(), 'start a session', 'setsid');
}

/**
 * Lets no terminal stop this process. Ignored, not blocked: a mask is one thread's, and V8's threads would take the
 * signal. SIGSTOP cannot be ignored.
 */
export function ignoreTerminalStops(): void {
  for (const signal of [SIGTSTP, SIGTTIN, SIGTTOU]) ignoreSignal(signal);
}

/** Ignores a signal in the whole process, and in what it executes. */
export function ignoreSignal(signal: number): void {
  checked(Math.min(libc.signal(signal, SIG_IGN), 0), `ignore signal ${signal}`, 'signal');
}

/**
 * Has the kernel send `signal` when the parent's thread that started us ends. Where the parent may be gone already, ask
 * for its pid afterwards.
 */
export function setParentDeathSignal(signal: number): void {
  checked(libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0), 'tie to the parent', 'prctl(PR_SET_PDEATHSIG)');
}

/** Names this thread, as ps shows it; cut to 15 bytes. */
export function setThreadName(name: string): void {
  const bytes = new TextEncoder().encode(name).subarray(0, 15);
  const { bytes: target, address } = argument();
  target.fill(0, 0, 16);
  target.set(bytes);
  checked(libc.prctl(PR_SET_NAME, address, 0, 0, 0), 'name the thread', 'prctl(PR_SET_NAME)');
}

/** Lets this thread's sleeps end on time: by default the kernel may add 50 us (PR_SET_TIMERSLACK(2const)). */
export function setTimerSlackNs(slackNs: number): void {
  checked(libc.prctl(PR_SET_TIMERSLACK, slackNs, 0, 0, 0), 'set the timer slack', 'prctl(PR_SET_TIMERSLACK)');
}

/**
 * Keeps all memory of this process, as it is and as it comes, from being swapped or reclaimed. Pages are locked when
 * they are first touched: Node reserves far more than it uses.
 */
export function lockMemory(): void {
  checked(libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT), 'lock memory', 'mlockall');
}

/** Undoes {@link lockMemory}. */
export function unlockMemory(): void {
  checked(libc.munlockall(), 'unlock memory', 'munlockall');
}

/** Sets the nice value of a thread (0: the calling one). Returns what it was. */
export function setPriority(nice: number, tid = 0): number {
  // -1 is a nice value too, so its result tells no error; setpriority below fails for the same reasons
  const before = libc.getpriority(PRIO_PROCESS, tid);
  checked(libc.setpriority(PRIO_PROCESS, tid, nice), `set priority ${nice}`, 'setpriority');
  return before;
}

/**
 * Sets the nice value and the slice of a thread (0: the calling one) under SCHED_OTHER (sched_setattr(2)).
 *
 * A thread that wakes with a shorter slice than the one that runs preempts it at once; with an equal one it waits until
 * that one's slice is over, 3 ms, whatever its nice value (kernel/sched/features.h, RUN_TO_PARITY and PREEMPT_SHORT,
 * 6.12). Kernels before ignore the slice. It is a property of the thread, and ends with it.
 */
export function setSlice(nice: number, sliceNs: number, tid = 0): void {
  const { address, view, bytes } = argument();
  bytes.fill(0, 0, schedAttr.sizeBytes);
  setField(schedAttr, view, 0, 'size', schedAttr.sizeBytes);
  setField(schedAttr, view, 0, 'sched_nice', nice);
  setField(schedAttr, view, 0, 'sched_runtime', sliceNs);
  const result = libc.syscall(SYS_sched_setattr, tid, address, 0, 0, 0, 0);
  checked(result, `set the slice of ${tid === 0 ? 'this thread' : `thread ${tid}`}`, 'sched_setattr');
}

/**
 * Sets the nice value of the group that this session is scheduled as (sched(7), "The autogroup feature"): a session of its
 * own is one, and without this it has to share the CPUs evenly with every other session, whatever the nice values
 * inside. It ends with the session.
 */
export function setSessionPriority(nice: number): void {
  const path = '/proc/self/autogroup';
  const fd = check(openFile(path, O_WRONLY | O_CLOEXEC), `open ${path}`, 'openat', { path });
  const { address, bytes } = argument();
  const text = new TextEncoder().encode(String(nice));
  bytes.set(text);
  const result = writeFile(fd, address, text.length);
  closeFile(fd);
  check(result, `write ${path}`, 'write', { path });
}

/** Processors that a thread (0: the calling one) may run on. */
export function getAffinity(tid = 0): number[] {
  const { address, bytes } = argument();
  bytes.fill(0);
  checked(libc.sched_getaffinity(tid, CPU_MASK_BYTES, address), 'ask for processors', 'sched_getaffinity');
  const cpus: number[] = [];
  for (let cpu = 0; cpu < CPU_MASK_BYTES * 8; cpu++)
    if ((bytes[cpu >>> 3]! >>> (cpu & 7)) & 1) cpus.push(cpu);
  return cpus;
}

/** Sets them. Returns what they were. */
export function setAffinity(cpus: readonly number[], tid = 0): number[] {
  const before = getAffinity(tid);
  const { address, bytes } = argument();
  bytes.fill(0);
  for (const cpu of cpus) bytes[cpu >>> 3]! |= 1 << (cpu & 7);
  checked(libc.sched_setaffinity(tid, CPU_MASK_BYTES, address), 'choose processors', 'sched_setaffinity');
  return before;
}

/** Sets the scheduling policy (SCHED_OTHER...) of a thread (0: the calling one). Returns what it was. */
export function setScheduler(policy: number, priority = 0, tid = 0): number {
  const before = checked(libc.sched_getscheduler(tid), 'ask for the scheduling policy', 'sched_getscheduler');
  const { address, int32 } = argument();
  int32[0] = priority;
  checked(libc.sched_setscheduler(tid, policy, address), 'set the scheduling policy', 'sched_setscheduler');
  return before;
}

/** A resource limit; Infinity for none. */
export interface ResourceLimit {
  readonly soft: number;
  readonly hard: number;
}

const UNLIMITED = 2 ** 64;

/** Limit RLIMIT_* of a process (0: this one). */
export function getLimit(resource: number, pid = 0): ResourceLimit {
  const words = argument();
  checked(libc.prlimit(pid, resource, 0, words.address), 'ask for a limit', 'prlimit');
  const read = (offset: number): number => {
    const value = words.word(offset);
    return value >= UNLIMITED ? Number.POSITIVE_INFINITY : value;
  };
  return { soft: read(rlimit.at.rlim_cur), hard: read(rlimit.at.rlim_max) };
}

/** Sets the soft limit RLIMIT_* of a process (0: this one), up to its hard limit. Returns what it was. */
export function setSoftLimit(resource: number, soft: number, pid = 0): ResourceLimit {
  const before = getLimit(resource, pid);
  const words = argument();
  const write = (offset: number, value: number): void => {
    words.bigUint64[offset >>> 3] = value === Number.POSITIVE_INFINITY ? 2n ** 64n - 1n : BigInt(value);
  };
  write(rlimit.at.rlim_cur, Math.min(soft, before.hard));
  write(rlimit.at.rlim_max, before.hard);
  checked(libc.prlimit(pid, resource, words.address, 0), `set limit ${resource}`, 'prlimit');
  return before;
}

/**
 * Keeps the processors out of deep sleep (wake-up 35 -> 17 us measured) as long as it is held: the kernel undoes it at
 * the last close, so also when this process is killed.
 */
export class CpuLatency implements Disposable {
  #fd: number;

  /** @throws LivecoreError SYSTEM_CALL: EACCES for who is not root, ENOENT where containers hide the device */
  constructor() {
    const path = '/dev/cpu_dma_latency';
    this.#fd = check(openFile(path, O_WRONLY | O_CLOEXEC), `open ${path}`, 'openat', { path });
    const { address, int32 } = argument();
    // Documentation/power/pm_qos_interface.rst: four bytes, the microseconds of latency that are bearable
    int32[0] = 0;
    const result = writeFile(this.#fd, address, 4);
    if (result < 0) closeFile(this.#fd);
    check(result, `write ${path}`, 'write', { path });
  }

  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    closeFile(this.#fd);
    this.#fd = -1;
  }
}
