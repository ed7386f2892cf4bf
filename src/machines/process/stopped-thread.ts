import { LivecoreError } from '../../errors.ts';
import {
  NT_X86_XSTATE,
  PTRACE_EVENT_CLONE,
  PTRACE_O_TRACECLONE,
  SIGTRAP,
  SYS_exit,
} from '../../linux/abi.ts';
import { monotonicNs } from '../../linux/clock.ts';
import { ERRNO } from '../../linux/errno.ts';
import { check } from '../../linux/failure.ts';
import { rseqConfiguration, userRegs } from '../../linux/layouts.ts';
import { MappedMemory, type Memory } from '../../linux/memory.ts';
import { sleepNs } from '../../linux/poll.ts';
import {
  detach,
  eventMessage,
  getRegisterSet,
  getRegisters,
  getRseqConfiguration,
  getSignalMask,
  interrupt,
  resume,
  resumeToSyscall,
  seize,
  setOptions,
  setRegisters,
  setSignalMask,
  WaitStatus,
} from '../../linux/ptrace.ts';
import { restartInterruptedCall } from './interrupted-calls.ts';
import { canWrite } from './tasks.ts';

const STOP_LIMIT_NS = 200_000_000;
const CALL_LIMIT_NS = 500_000_000;
/** Looks without sleeping at first; then the thread may need the CPU that we look on. */
const SPIN_NS = 15_000;
/** long enough to really leave the CPU: see hold.ts */
const NAP_NS = 25_000;
const XSTATE_BYTES = 16 * 1024;

/** Arguments of a system call, in order; missing ones are 0. */
export type CallArguments = readonly number[];

/**
 * One thread of the target that we stopped for a moment, with its state saved. Disposing of it puts that state back
 * and lets it go; the interrupted system call continues as if nothing had been.
 *
 * Calls run with PTRACE_SYSCALL, never by single-stepping: when the tracer dies the kernel takes back the former, and
 * leaves the trap flag of the latter set (kernel/ptrace.c, __ptrace_unlink), which kills the target.
 */
export class StoppedThread implements Disposable {
  readonly tid: number;
  readonly registers: Memory;
  readonly signalMask: Memory;
  readonly xstate: Memory;
  xstateBytes = 0;
  /** a signal that could not be blocked and came while the thread carried a call: delivered on the way out */
  #signal = 0;
  #stopped = false;
  #options = 0;
  readonly #memory: MappedMemory;
  readonly #call: Memory;
  readonly #status: WaitStatus = new WaitStatus();

  private constructor(tid: number) {
    this.tid = tid;
    this.#memory = new MappedMemory(1024 + XSTATE_BYTES, { populate: true });
    this.registers = this.#memory.slice(0, 256);
    this.#call = this.#memory.slice(256, 256);
    this.signalMask = this.#memory.slice(512, 64);
    this.xstate = this.#memory.slice(1024, XSTATE_BYTES);
  }

  /**
   * Seizes and stops a thread.
   *
   * @param options PTRACE_O_*, none that stops it elsewhere than on its way out of the kernel: registers that are changed
   *   inside a system call are those of the call, and a clone(2) would be made twice
   * @returns undefined when the thread did not stop in time (it sleeps uninterruptibly): it stays seized, will stop
   *   when it wakes, and is in `strays` for whoever holds the process next
   * @throws LivecoreError SYSTEM_CALL: EPERM when another tracer has it or the right is missing, ESRCH when it is gone
   */
  static stop(pid: number, tid: number, options: number, strays: Set<number>): StoppedThread | undefined {
    const result = seize(tid, options);
    if (result === -ERRNO.EPERM && !canWrite(pid, tid)) throw ended(tid);
    check(result, `trace thread ${tid}`, 'ptrace(PTRACE_SEIZE)', { tid });
    const thread = StoppedThread.adopt(tid, strays, true);
    if (thread === undefined) return undefined;
    thread.#options = options;
    return thread;
  }

  /** Takes a thread that is traced already, and stops by itself or is asked to. */
  static adopt(tid: number, strays: Set<number>, ask: boolean): StoppedThread | undefined {
    const thread = new StoppedThread(tid);
    if (ask) check(interrupt(tid), `stop thread ${tid}`, 'ptrace(PTRACE_INTERRUPT)', { tid });
    if (!thread.#waitForStop(STOP_LIMIT_NS)) {
      strays.add(tid);
      thread.#memory[Symbol.dispose]();
      return undefined;
    }
    thread.#stopped = true;
    thread.#letSignalsThrough();
    thread.#save();
    return thread;
  }

  /** A register of the saved state. */
  register(name: keyof typeof userRegs.at): number {
    return this.registers.word(userRegs.at[name]);
  }

  /**
   * Whether the thread is inside a restartable sequence. Executing anything else there would make the kernel forget
   * the sequence (kernel/rseq.c, rseq_ip_fixup), and the thread would go on in it after a migration.
   */
  inRestartableSequence(read: (address: number) => number): boolean {
    const size = getRseqConfiguration(this.tid, this.#call.address);
    const area = size > 0 ? this.#call.word(rseqConfiguration.at.rseq_abi_pointer) : 0;
    return area !== 0 && read(area + 8) !== 0;
  }

  /**
   * Blocks all signals for the thread, so that none is delivered while it carries calls of ours. Only once it would go
   * home by its frame, which has its own mask: with its own registers, and us dead, it would go on without signals for
   * ever.
   *
   * @param wayBack first address of the way to the frame
   * @param stack where the rest of that way begins
   */
  blockSignals(wayBack: number, stack: number): void {
    this.#point(wayBack, stack, 0, []);
    this.#call.bytes.fill(0xff, 0, 8);
    check(
      setSignalMask(this.tid, this.#call.address),
      `block signals of ${this.tid}`,
      'ptrace(PTRACE_SETSIGMASK)',
    );
  }

  /** Puts the saved signal mask and registers back, in this order: see {@link blockSignals}. */
  restore(): void {
    check(
      setSignalMask(this.tid, this.signalMask.address),
      `restore ${this.tid}`,
      'ptrace(PTRACE_SETSIGMASK)',
    );
    check(setRegisters(this.tid, this.registers.address), `restore ${this.tid}`, 'ptrace(PTRACE_SETREGS)');
  }

  /**
   * Executes one system call in the thread, at `rip` (a `syscall; ret`), with the stack pointer at a signal frame
   * that leads to where the thread should go if we die.
   *
   * @returns what the call returned: a value, or a negative errno
   */
  call(
    rip: number,
    frame: number,
    number: number,
    args: CallArguments,
    onClone?: (tid: number) => void,
  ): number {
    this.#point(rip, frame, number, args);
    for (let stops = 0; stops < 2; ) {
      this.#step();
      if (this.#status.event === PTRACE_EVENT_CLONE) onClone?.(eventMessage(this.tid));
      else if (this.#status.event === 0 && (this.#status.stopSignal & 0x7f) === SIGTRAP) stops++;
      else if (this.#status.event === 0) this.#signal = this.#status.stopSignal;
    }
    check(
      getRegisters(this.tid, this.#call.address),
      `read registers of ${this.tid}`,
      'ptrace(PTRACE_GETREGS)',
    );
    return Number(this.#call.view.getBigInt64(userRegs.at.rax, true));
  }

  /** From now on a thread that this one makes is traced, and stopped from birth. Not before: see {@link stop}. */
  traceChildren(): void {
    check(
      setOptions(this.tid, this.#options | PTRACE_O_TRACECLONE),
      `trace the helper of ${this.tid}`,
      'ptrace(PTRACE_SETOPTIONS)',
    );
  }

  /** Ends a thread that is ours: it executes exit(0), and is gone when this returns. */
  end(rip: number, frame: number): void {
    this.#point(rip, frame, SYS_exit, [0]);
    check(resume(this.tid), `end thread ${this.tid}`, 'ptrace(PTRACE_CONT)', { tid: this.tid });
    this.#stopped = false;
    const deadline = monotonicNs() + CALL_LIMIT_NS;
    while (monotonicNs() < deadline) {
      if (this.#status.wait(this.tid) < 0 || this.#status.exited || this.#status.signalled) return;
    }
    throw new LivecoreError('INJECTION_FAILED', `end thread ${this.tid}: it is still there`, {
      tid: this.tid,
    });
  }

  [Symbol.dispose](): void {
    if (this.#stopped) {
      this.#stopped = false;
      restartInterruptedCall(this.registers);
      setSignalMask(this.tid, this.signalMask.address);
      setRegisters(this.tid, this.registers.address);
      detach(this.tid, this.#signal);
    }
    this.#memory[Symbol.dispose]();
  }

  /** Where the thread goes on, on which stack, and with which call and arguments in its registers. */
  #point(rip: number, frame: number, number: number, args: CallArguments): void {
    const call = this.#call;
    call.bytes.set(this.registers.bytes.subarray(0, userRegs.sizeBytes));
    const [rdi = 0, rsi = 0, rdx = 0, r10 = 0, r8 = 0, r9 = 0] = args;
    const values = { rip, rsp: frame, rax: number, rdi, rsi, rdx, r10, r8, r9 } as const;
    for (const [name, value] of Object.entries(values)) {
      call.view.setBigInt64(userRegs.at[name as keyof typeof values], BigInt(value), true);
    }
    // No system call is to be started again for this state (arch/x86/kernel/signal.c, arch_do_signal_or_restart).
    call.view.setBigInt64(userRegs.at.orig_rax, -1n, true);
    check(setRegisters(this.tid, call.address), `inject into ${this.tid}`, 'ptrace(PTRACE_SETREGS)', {
      tid: this.tid,
    });
  }

  #step(): void {
    check(resumeToSyscall(this.tid), `inject into ${this.tid}`, 'ptrace(PTRACE_SYSCALL)', { tid: this.tid });
    if (!this.#waitForStop(CALL_LIMIT_NS)) {
      throw new LivecoreError(
        'INJECTION_FAILED',
        `inject into thread ${this.tid}: it did not come back in time`,
        {
          tid: this.tid,
        },
      );
    }
  }

  #waitForStop(limitNs: number): boolean {
    const begin = monotonicNs();
    for (;;) {
      const result = check(this.#status.wait(this.tid), `wait for thread ${this.tid}`, 'wait4', {
        tid: this.tid,
      });
      if (result > 0) {
        if (this.#status.stopped) return true;
        throw ended(this.tid);
      }
      const waited = monotonicNs() - begin;
      if (waited > limitNs) return false;
      if (waited > SPIN_NS) sleepNs(NAP_NS);
    }
  }

  /**
   * A stop in front of a signal's delivery: delivers it and takes the stop that follows, so that the signal keeps
   * its siginfo (re-injected later it would lose it). The stop that we asked for comes before the next signal.
   */
  #letSignalsThrough(): void {
    while (this.#status.event === 0) {
      check(resume(this.tid, this.#status.stopSignal), `stop thread ${this.tid}`, 'ptrace(PTRACE_CONT)');
      if (!this.#waitForStop(STOP_LIMIT_NS)) {
        throw new LivecoreError('INJECTION_FAILED', `stop thread ${this.tid}: it did not stop in time`, {
          tid: this.tid,
        });
      }
    }
  }

  #save(): void {
    const { tid } = this;
    check(getRegisters(tid, this.registers.address), `read registers of ${tid}`, 'ptrace(PTRACE_GETREGS)', {
      tid,
    });
    check(
      getSignalMask(tid, this.signalMask.address),
      `read signal mask of ${tid}`,
      'ptrace(PTRACE_GETSIGMASK)',
      { tid },
    );
    this.xstateBytes = check(
      getRegisterSet(tid, NT_X86_XSTATE, this.xstate.address, XSTATE_BYTES),
      `read FPU state of ${tid}`,
      'ptrace(PTRACE_GETREGSET)',
      { tid },
    );
  }
}

function ended(tid: number): LivecoreError {
  return new LivecoreError('TARGET_GONE', `thread ${tid} ended while it was being stopped`, { tid });
}
