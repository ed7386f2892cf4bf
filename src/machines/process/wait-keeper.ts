import { IORING_ENTER_ABS_TIMER, IORING_ENTER_EXT_ARG } from '../../linux/abi.ts';
import { monotonicNs } from '../../linux/clock.ts';
import { closeFile } from '../../linux/file.ts';
import { ioUringGetEventsArg, timespec, userRegs } from '../../linux/layouts.ts';
import { type Memory, scratch } from '../../linux/memory.ts';
import { openThreadPidfd, takeDescriptor } from '../../linux/pidfd.ts';
import { sleepNs } from '../../linux/poll.ts';
import { detach, getRegisters, interrupt, seize, setRegisters, WaitStatus } from '../../linux/ptrace.ts';
import { socketTimeoutNs } from '../../linux/socket.ts';
import {
  endInterruptedCall,
  isInterruptedCall,
  restartInterruptedCall,
  timeoutOf,
} from './interrupted-calls.ts';
import { isCallOf, SleepClock, shortenWait, sleepsOf, type TimedWait } from './timed-wait.ts';

const NS_PER_S = 1_000_000_000;
/** from being seen until its call waits again a thread goes to sleep in the stop, and in the call */
const SLEEPS_OF_A_STOP = 2;
/** a thread that sleeps stops as soon as it gets a CPU */
const SETTLE_NS = 2_000_000;
const NAP_NS = 25_000;

/** A wait that goes on since our stop, and that ends too late if nobody ends it. */
interface KeptWait extends TimedWait {
  readonly deadlineNs: number;
  /** what its call returns then */
  readonly result: number;
}

/**
 * Lets waits that our stops interrupt end when they would have.
 *
 * epoll_wait has its timeout in a register, and starts again with what remains. The others have it in memory that is not
 * ours to change, or in a socket that others use. They start again as they were; and when their time has come while we
 * are here, the thread is stopped once more, for its call to return what it would have. It is stopped only if it has not
 * run since: a wait that began later is another.
 *
 * If we die: a wait that is not at its end goes on with its whole timeout, from its new start. Between the stop and the
 * registers its call returns EINTR, as for any debugger that goes away.
 */
export class WaitKeeper implements Disposable {
  readonly #read: (address: number, to: number, length: number) => number;
  readonly #clock: SleepClock = new SleepClock();
  readonly #registers: Memory = scratch(userRegs.sizeBytes);
  readonly #words: Memory = scratch(ioUringGetEventsArg.sizeBytes);
  readonly #status: WaitStatus = new WaitStatus();
  /** started again since the last look; their timeouts are not read yet */
  #restarted: TimedWait[] = [];
  readonly #kept = new Map<number, KeptWait>();
  /** asked to stop, for their wait is over */
  readonly #stopping = new Map<number, KeptWait>();
  /** when {@link keep} has something to do next */
  #nextNs = Number.POSITIVE_INFINITY;

  /** @param read copies memory of the target to an address of ours; returns how many bytes. Never waits for anybody. */
  constructor(read: (address: number, to: number, length: number) => number) {
    this.#read = read;
  }

  /** The timed waits that threads sleep in, by thread, before they are stopped. */
  observe(tids: Iterable<number>): Map<number, TimedWait> {
    const waits = new Map<number, TimedWait>();
    for (const tid of tids) {
      const wait = this.#clock.observe(tid);
      if (wait === undefined) continue;
      const kept = this.#kept.get(tid) ?? this.#restarted.find((one) => one.tid === tid);
      // It is in the same wait still that a stop of ours has interrupted.
      waits.set(tid, kept?.sleeps === wait.sleeps ? { ...wait, began: kept.began } : wait);
    }
    return waits;
  }

  /**
   * Where our stop made a call return EINTR, has it start again when the thread is let go.
   *
   * @param registers as read inside the stop; changed where needed
   * @param wait as observed before the stop
   * @param sleeps how often it will have gone to sleep when its call waits again, where that is not one simple stop later
   * @returns whether the registers were changed and have to be written
   */
  restart(registers: Memory, wait: TimedWait | undefined, sleeps?: number): boolean {
    const isSame = wait !== undefined && isCallOf(registers, wait);
    if (!restartInterruptedCall(registers)) return false;
    if (isSame && !shortenWait(registers, wait, this.#clock.sinceNs(wait))) {
      this.#restarted.push({ ...wait, sleeps: sleeps ?? wait.sleeps + SLEEPS_OF_A_STOP });
      this.#nextNs = 0;
    }
    return true;
  }

  /** Ends the waits whose time has come. To be called often; it is nothing where no wait is kept, and never waits. */
  keep(): void {
    if (this.#stopping.size > 0) this.#collect();
    const nowNs = monotonicNs();
    if (nowNs < this.#nextNs) return;
    this.#learn();
    this.#nextNs = Number.POSITIVE_INFINITY;
    for (const wait of [...this.#kept.values()]) {
      if (wait.deadlineNs > nowNs) this.#nextNs = Math.min(this.#nextNs, wait.deadlineNs);
      else this.#stop(wait);
    }
  }

  /** Goes on until no wait ends before `untilNs` (CLOCK_MONOTONIC) any more. */
  keepUntil(untilNs: number): void {
    for (;;) {
      this.keep();
      const nowNs = monotonicNs();
      const nextNs = this.#stopping.size > 0 ? nowNs + NAP_NS : this.#nextNs;
      if (nextNs > untilNs || nowNs > untilNs) return;
      sleepNs(Math.max(0, nextNs - nowNs));
    }
  }

  /** Has nobody traced any more, for somebody else to trace. Those who do not stop in time are put into `strays`. */
  settle(strays: Set<number>): void {
    const untilNs = monotonicNs() + SETTLE_NS;
    while (this.#stopping.size > 0 && monotonicNs() < untilNs) {
      this.#collect();
      if (this.#stopping.size > 0) sleepNs(NAP_NS);
    }
    for (const tid of this.#stopping.keys()) strays.add(tid);
    this.#stopping.clear();
  }

  [Symbol.dispose](): void {
    this.settle(new Set());
  }

  /** Reads the timeouts of what was started again. Not in a hold. */
  #learn(): void {
    if (this.#restarted.length === 0) return;
    const timeouts = new Map<TimedWait, number>();
    for (const wait of this.#restarted) {
      this.#kept.delete(wait.tid);
      const timeoutNs = this.#timeout(wait);
      if (timeoutNs !== undefined) timeouts.set(wait, timeoutNs);
    }
    this.#restarted = [];
    this.#clock.measure(new Set([...timeouts.keys()].map(({ began }) => began.cpu)));
    for (const [wait, timeoutNs] of timeouts) {
      const { result } = timeoutOf(wait.call)!;
      this.#kept.set(wait.tid, { ...wait, result, deadlineNs: this.#clock.sinceNs(wait) + timeoutNs });
    }
  }

  #timeout(wait: TimedWait): number | undefined {
    const { in: place, at } = timeoutOf(wait.call)!;
    return place === 'socket' ? socketTimeout(wait, at) : this.#timespec(wait, place, at);
  }

  #timespec(wait: TimedWait, place: string, at: number): number | undefined {
    let address = Number(wait.args[at]);
    if (place === 'io_uring') {
      const flags = Number(wait.args[3]);
      // A point in time is the same after any stop.
      if ((flags & IORING_ENTER_EXT_ARG) === 0 || (flags & IORING_ENTER_ABS_TIMER) !== 0) return undefined;
      if (!this.#readWords(address, ioUringGetEventsArg.sizeBytes)) return undefined;
      address = this.#words.word(ioUringGetEventsArg.at.ts);
    }
    if (address === 0 || !this.#readWords(address, timespec.sizeBytes)) return undefined;
    return this.#words.word(timespec.at.tv_sec) * NS_PER_S + this.#words.word(timespec.at.tv_nsec);
  }

  #readWords(address: number, length: number): boolean {
    return this.#read(address, this.#words.address, length) === length;
  }

  #stop(wait: KeptWait): void {
    this.#kept.delete(wait.tid);
    try {
      if (sleepsOf(wait.tid) !== wait.sleeps || seize(wait.tid, 0) < 0) return;
    } catch {
      return; // it has ended
    }
    this.#stopping.set(wait.tid, wait);
    interrupt(wait.tid);
    this.#collect();
    this.#nextNs = Math.min(this.#nextNs, this.#stopping.size > 0 ? 0 : this.#nextNs);
  }

  #collect(): void {
    const status = this.#status;
    for (const [tid, wait] of this.#stopping) {
      const result = status.wait(tid);
      if (result === 0) continue;
      this.#stopping.delete(tid);
      if (result > 0 && status.stopped) this.#end(wait, status.event === 0 ? status.stopSignal : 0);
    }
  }

  /** A stopped thread whose wait is over: its call returns, and it goes on. */
  #end(wait: KeptWait, signal: number): void {
    const { tid } = wait;
    const registers = this.#registers;
    if (getRegisters(tid, registers.address) === 0 && isInterruptedCall(registers)) {
      // The stop is one more sleep. With a signal on its way, the kernel decides what becomes of the call.
      if (signal === 0 && isCallOf(registers, wait) && sleepsOf(tid) === wait.sleeps + 1)
        endInterruptedCall(registers, wait.result);
      else restartInterruptedCall(registers);
      setRegisters(tid, registers.address);
    }
    detach(tid, signal);
  }
}

/**
 * How long a call on a socket waits: we have to have the socket to ask. For that moment a peer does not see it closed.
 */
function socketTimeout({ tid, args }: TimedWait, option: number): number | undefined {
  const thread = openThreadPidfd(tid);
  if (thread < 0) return undefined;
  const socket = takeDescriptor(thread, Number(args[0]));
  closeFile(thread);
  if (socket < 0) return undefined;
  const timeoutNs = socketTimeoutNs(socket, option);
  closeFile(socket);
  return timeoutNs > 0 ? timeoutNs : undefined;
}
