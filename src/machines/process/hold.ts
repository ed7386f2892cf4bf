import { LivecoreError } from '../../errors.ts';
import {
  KCMP_VM,
  PTRACE_EVENT_CLONE,
  PTRACE_EVENT_EXEC,
  PTRACE_EVENT_VFORK,
  PTRACE_O_TRACECLONE,
  PTRACE_O_TRACEEXEC,
  PTRACE_O_TRACEVFORK,
} from '../../linux/abi.ts';
import { monotonicNs } from '../../linux/clock.ts';
import { ERRNO } from '../../linux/errno.ts';
import { failure } from '../../linux/failure.ts';
import { userRegs } from '../../linux/layouts.ts';
import { type Memory, scratch } from '../../linux/memory.ts';
import { compareTasks } from '../../linux/pidfd.ts';
import { sleepNs } from '../../linux/poll.ts';
import type { TaskList } from '../../linux/proc-tasks.ts';
import {
  detach,
  eventMessage,
  getRegisters,
  interrupt,
  seize,
  setRegisters,
  WaitStatus,
} from '../../linux/ptrace.ts';
import { isInterruptedCall, restartInterruptedCall } from './interrupted-calls.ts';
import { RegisterStore } from './register-store.ts';
import { canWrite, isOurs } from './tasks.ts';

/** New threads stop as they are born, and are held with the rest; so are vfork's children, which share the memory. */
const OPTIONS = PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;

/**
 * A thread may have been woken on our CPU, and stops only when we leave it: a timer of 3 us has expired before that, and
 * the thread then waits for a tick, 4 ms.
 */
const NAP_NS = 25_000;
/** a thread that runs on another CPU stops this soon after it was asked: not worth a nap */
const SPIN_NS = 40_000;
/** what a thread adds to a hold, measured (docs/performance.md) */
export const HOLD_THREAD_NS = 14_000;
/** for a task of somebody else to stop, so that it can go on */
const DISMISSAL_NS = 50_000_000;

/** A task of the target while it is held. */
interface HeldTask {
  readonly tid: number;
  stopped: boolean;
  /** intercepted on its way to the task; delivered when it goes on */
  signal: number;
  /** known to need nothing but to be let go */
  goesOn: boolean;
}

/**
 * Stops every task that writes the target's memory, and lets all go again.
 *
 * If we die: the kernel ends the trace and every task goes on, from whatever stop it was in, with the signal it was
 * stopped for (ptrace(2), "Detaching"). Calls that return EINTR for a stop return it in that case.
 */
export class Hold implements Disposable {
  readonly #pid: number;
  /** tasks outside the thread group that share the memory, found before */
  readonly #sharers: readonly number[];
  readonly #list: TaskList;
  readonly #traced: ReadonlySet<number>;
  readonly #spared: ReadonlySet<number>;
  readonly #tasks = new Map<number, HeldTask>();
  readonly #status: WaitStatus = new WaitStatus();
  readonly #registers: Memory = scratch(userRegs.sizeBytes);
  readonly registers: RegisterStore = new RegisterStore();
  #running = 0;
  /** when the first task was asked to stop, and when the last one was let go */
  beginNs = 0;
  endNs = 0;

  /**
   * @param list the threads of the process, whatever its number has come to mean
   * @param sharers tasks outside the thread group that share the memory
   * @param traced tasks that this thread traces already, and has asked to stop
   * @param spared tasks that are stopped already, by somebody else of us
   */
  constructor(
    pid: number,
    list: TaskList,
    sharers: readonly number[],
    traced: ReadonlySet<number> = new Set(),
    spared: ReadonlySet<number> = new Set(),
  ) {
    this.#pid = pid;
    this.#list = list;
    this.#sharers = sharers;
    this.#traced = traced;
    this.#spared = spared;
  }

  /** how many tasks there are */
  get size(): number {
    return this.#tasks.size;
  }

  /** Seizes all tasks, which they do not feel. */
  seize(): void {
    while (this.#seizeNew() > 0);
    if (this.#tasks.size === 0 && this.#spared.size === 0)
      throw gone(this.#pid, 'it has no thread that can be stopped');
    this.registers.reserve(this.#tasks.size);
  }

  /** Asks all seized tasks to stop. Most have when this returns: a task that runs on another CPU stops in some us. */
  begin(): void {
    this.beginNs = monotonicNs();
    for (const task of this.#tasks.values()) this.#interrupt(task);
    do this.#collectAll();
    while (this.#running > 0 && monotonicNs() - this.beginNs < SPIN_NS);
  }

  /** Takes the reports of tasks that have stopped; true when all have. */
  look(): boolean {
    if (this.#running > 0) this.#collectAll();
    // A thread has to run to stop, perhaps on our CPU, which we have at a higher priority.
    if (this.#running > 0) sleepNs(NAP_NS);
    // Whoever was born meanwhile is traced already and stops by itself: it only has to be known.
    return this.#running === 0 && this.#adoptNew() === 0;
  }

  /** Goes through what {@link capture} does, with no effect: no task that runs can be read (ESRCH). */
  rehearse(tasksMax: number): void {
    let count = 0;
    for (const { tid } of this.#tasks.values()) if (count++ < tasksMax) this.registers.rehearse(tid);
  }

  /** Reads the registers of all tasks. Inside the hold. */
  capture(): void {
    this.registers.clear();
    const own = this.#tasks.get(this.#pid);
    if (own !== undefined) this.#captureTask(own);
    for (const task of this.#tasks.values()) if (task !== own) this.#captureTask(task);
  }

  /** Lets all go. A task that has not stopped yet is waited for first: only a stopped one can be let go. */
  release(): void {
    if (this.#tasks.size === 0) return;
    for (const task of this.#tasks.values()) if (task.stopped) this.#letGo(task);
    this.endNs = monotonicNs();
    this.#tasks.clear();
    this.#running = 0;
  }

  /** Whether somebody was asked to stop and has not yet. */
  get pending(): boolean {
    return this.#running > 0;
  }

  /** Lets go who has stopped, and keeps those who have not until they do: call again until it says true. */
  releaseStopped(): boolean {
    for (const task of this.#tasks.values()) {
      if (!task.stopped) this.#collect(task);
      if (!task.stopped) continue;
      this.#letGo(task);
      this.#tasks.delete(task.tid);
    }
    this.endNs = monotonicNs();
    return this.#tasks.size === 0;
  }

  [Symbol.dispose](): void {
    this.release();
    this.registers[Symbol.dispose]();
  }

  #seizeNew(): number {
    const found: HeldTask[] = [];
    for (const tid of [...this.#listed(), ...this.#sharers]) {
      if (this.#tasks.has(tid) || this.#spared.has(tid)) continue;
      const result = this.#traced.has(tid) ? 0 : seize(tid, OPTIONS);
      if (result === -ERRNO.ESRCH) continue;
      if (result === -ERRNO.EPERM && !canWrite(this.#pid, tid)) continue;
      // Born since its parent was seized: it stops by itself.
      if (result < 0 && !(result === -ERRNO.EPERM && isOurs(tid)))
        throw failure(`trace thread ${tid}`, 'ptrace(PTRACE_SEIZE)', result, { pid: this.#pid, tid });
      found.push(this.#add(tid));
    }
    this.#letStrangersGo(found);
    return found.filter(({ tid }) => this.#tasks.has(tid)).length;
  }

  #listed(): number[] {
    const count = Math.max(0, this.#list.read());
    return Array.from({ length: count }, (_, index) => this.#list.id(index));
  }

  /**
   * A task is seized by its number, which may have come to mean another process' since it was looked up. Nothing can be that of
   * a seized one: so now it is certain whose it is, and whoever is not the target's goes on.
   */
  #letStrangersGo(seized: readonly HeldTask[]): void {
    const listed = new Set(this.#listed());
    // A list that is read while threads end may leave some out.
    for (const task of seized) if (!listed.has(task.tid) && !this.#isOwn(task.tid)) this.#dismiss(task);
  }

  #isOwn(tid: number): boolean {
    return this.#list.has(tid) || (this.#sharers.includes(tid) && this.#sharesMemory(tid));
  }

  #sharesMemory(tid: number): boolean {
    return compareTasks(this.#pid, tid, KCMP_VM) === 0;
  }

  /** Only a stopped task can be let go. */
  #dismiss(task: HeldTask): void {
    this.#interrupt(task);
    const deadlineNs = monotonicNs() + DISMISSAL_NS;
    while (this.#tasks.has(task.tid) && !task.stopped && monotonicNs() < deadlineNs) {
      this.#collect(task);
      if (!task.stopped) sleepNs(NAP_NS);
    }
    if (task.stopped) this.#letGo(task);
    if (this.#tasks.has(task.tid)) this.#forget(task);
  }

  /** Tasks that the kernel attached for us when they were born. */
  #adoptNew(): number {
    let found = 0;
    const count = this.#list.read();
    for (let index = 0; index < count; index++) {
      const tid = this.#list.id(index);
      if (this.#tasks.has(tid) || this.#spared.has(tid) || !canWrite(this.#pid, tid)) continue;
      // Already ours: the seizure fails. If not (it was born before its parent was seized), it succeeds.
      const seized = seize(tid, OPTIONS) === 0;
      const task = this.#add(tid);
      if (seized && !this.#isOwn(tid)) {
        this.#dismiss(task);
        continue;
      }
      if (seized) this.#interrupt(task);
      found++;
    }
    return found;
  }

  #add(tid: number): HeldTask {
    const task: HeldTask = { tid, stopped: false, signal: 0, goesOn: false };
    this.#tasks.set(tid, task);
    this.#running++;
    return task;
  }

  #interrupt(task: HeldTask): void {
    if (interrupt(task.tid) < 0) this.#forget(task);
  }

  #forget(task: HeldTask): void {
    this.#tasks.delete(task.tid);
    if (!task.stopped) this.#running--;
  }

  #captureTask(task: HeldTask): void {
    const registers = this.registers.read(task.tid, task.signal);
    task.goesOn = registers !== undefined && !isInterruptedCall(registers);
  }

  #collectAll(): void {
    for (const task of this.#tasks.values()) if (!task.stopped) this.#collect(task);
  }

  #collect(task: HeldTask): void {
    const status = this.#status;
    const result = status.wait(task.tid);
    if (result === 0) return;
    if (result < 0 || !status.stopped) {
      this.#forget(task);
      return;
    }
    task.stopped = true;
    this.#running--;
    // An event is not a signal; neither is a group stop, in which the task stays when we let it go.
    if (status.event === 0) task.signal = status.stopSignal;
    if (status.event === PTRACE_EVENT_CLONE || status.event === PTRACE_EVENT_VFORK) this.#born(task.tid);
    if (status.event === PTRACE_EVENT_EXEC) throw gone(this.#pid, 'it executed another program');
  }

  /** A child outside the thread group: held if it shares the memory, else let go at once. */
  #born(parent: number): void {
    const tid = eventMessage(parent);
    if (tid <= 0 || this.#tasks.has(tid)) return;
    const task = this.#add(tid);
    if (this.#sharesMemory(tid)) return;
    while (this.#status.wait(tid) === 0);
    detach(tid, 0);
    this.#forget(task);
  }

  #letGo(task: HeldTask): void {
    const { tid, signal } = task;
    if (!task.goesOn) this.#restartCall(tid);
    detach(tid, signal);
  }

  /** Where the stop has interrupted a call that would say so: it is started again. */
  #restartCall(tid: number): void {
    const registers = this.#registers;
    if (getRegisters(tid, registers.address) < 0) return;
    if (restartInterruptedCall(registers)) setRegisters(tid, registers.address);
  }
}

function gone(pid: number, why: string): LivecoreError {
  return new LivecoreError('TARGET_GONE', `process ${pid} can no longer be captured: ${why}`, { pid });
}
