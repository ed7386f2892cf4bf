/**
 * ptrace(2) and wait4(2) of one thread each. Functions return 0 (or what they document) or a negative errno; -ESRCH
 * means that the thread is gone or is not stopped.
 *
 * The tracer is a thread, not a process: all of this must be called by the thread that seized.
 */

import {
  __WALL,
  PTRACE_CONT,
  PTRACE_DETACH,
  PTRACE_EVENT_STOP,
  PTRACE_GET_RSEQ_CONFIGURATION,
  PTRACE_GET_SYSCALL_INFO,
  PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG,
  PTRACE_GETEVENTMSG,
  PTRACE_GETREGS,
  PTRACE_GETREGSET,
  PTRACE_GETSIGINFO,
  PTRACE_GETSIGMASK,
  PTRACE_INTERRUPT,
  PTRACE_LISTEN,
  PTRACE_SEIZE,
  PTRACE_SETOPTIONS,
  PTRACE_SETREGS,
  PTRACE_SETREGSET,
  PTRACE_SETSIGINFO,
  PTRACE_SETSIGMASK,
  PTRACE_SINGLESTEP,
  PTRACE_SYSCALL,
  SIGTRAP,
  WNOHANG,
} from './abi.ts';
import { ERRNO } from './errno.ts';
import { iovec, rseqConfiguration, sudConfig, syscallInfo } from './layouts.ts';
import { type Memory, scratch } from './memory.ts';
import { errno, libc } from './native.ts';

const SIGSET_BYTES = 8;

let argumentMemory: Memory | undefined;
function argument(): Memory {
  argumentMemory ??= scratch(64);
  return argumentMemory;
}

function request(code: number, tid: number, address: number, data: number): number {
  const result = libc.ptrace(code, tid, address, data);
  return result < 0 ? -errno() : result;
}

/** Begins to trace a thread without stopping it. `options`: PTRACE_O_*. */
export function seize(tid: number, options: number): number {
  return request(PTRACE_SEIZE, tid, 0, options);
}

/** Ends tracing; the stopped thread goes on, and gets `signal` where that is not 0. */
export function detach(tid: number, signal = 0): number {
  return request(PTRACE_DETACH, tid, 0, signal);
}

/** Asks a seized thread to stop; it reports PTRACE_EVENT_STOP. */
export function interrupt(tid: number): number {
  return request(PTRACE_INTERRUPT, tid, 0, 0);
}

/** Lets a stopped thread go on, and gives it `signal` where that is not 0. */
export function resume(tid: number, signal = 0): number {
  return request(PTRACE_CONT, tid, 0, signal);
}

/** Lets a thread that is in a group stop stay in it, as it would without a tracer. */
export function listen(tid: number): number {
  return request(PTRACE_LISTEN, tid, 0, 0);
}

/** Lets a stopped thread execute one instruction. */
export function singleStep(tid: number, signal = 0): number {
  return request(PTRACE_SINGLESTEP, tid, 0, signal);
}

/** Lets a stopped thread go on to the next entry to or exit from a system call. */
export function resumeToSyscall(tid: number, signal = 0): number {
  return request(PTRACE_SYSCALL, tid, 0, signal);
}

/** Replaces the options of {@link seize}. */
export function setOptions(tid: number, options: number): number {
  return request(PTRACE_SETOPTIONS, tid, 0, options);
}

/** Message of the last PTRACE_EVENT_* stop: tid of the new thread, exit status. */
export function eventMessage(tid: number): number {
  const memory = argument();
  const result = request(PTRACE_GETEVENTMSG, tid, 0, memory.address);
  return result < 0 ? result : memory.word(0);
}

/** Reads the general registers into memory laid out as `userRegs`. */
export function getRegisters(tid: number, address: number): number {
  return request(PTRACE_GETREGS, tid, 0, address);
}

/** Writes the general registers. Setting orig_rax to -1 keeps the kernel from restarting an interrupted call. */
export function setRegisters(tid: number, address: number): number {
  return request(PTRACE_SETREGS, tid, 0, address);
}

/**
 * Reads a register set.
 *
 * @param type NT_PRSTATUS, NT_PRFPREG, NT_X86_XSTATE...
 * @returns how many bytes the kernel wrote, at most `length`; -EINVAL or -ENODEV for a set that the CPU has not
 */
export function getRegisterSet(tid: number, type: number, address: number, length: number): number {
  const memory = argument();
  memory.setWord(iovec.at.iov_base, address);
  memory.setWord(iovec.at.iov_len, length);
  const result = request(PTRACE_GETREGSET, tid, type, memory.address);
  return result < 0 ? result : memory.word(iovec.at.iov_len);
}

/** Writes a register set. */
export function setRegisterSet(tid: number, type: number, address: number, length: number): number {
  const memory = argument();
  memory.setWord(iovec.at.iov_base, address);
  memory.setWord(iovec.at.iov_len, length);
  return request(PTRACE_SETREGSET, tid, type, memory.address);
}

/** Reads the siginfo (128 bytes) of the stop: -EINVAL in a group stop, as told apart from PTRACE_EVENT_STOP. */
export function getSignalInfo(tid: number, address: number): number {
  return request(PTRACE_GETSIGINFO, tid, 0, address);
}

/** Writes the siginfo of the signal that the stop is about. */
export function setSignalInfo(tid: number, address: number): number {
  return request(PTRACE_SETSIGINFO, tid, 0, address);
}

/** Reads the blocked signals, 8 bytes. */
export function getSignalMask(tid: number, address: number): number {
  return request(PTRACE_GETSIGMASK, tid, SIGSET_BYTES, address);
}

/** Writes the blocked signals, 8 bytes. */
export function setSignalMask(tid: number, address: number): number {
  return request(PTRACE_SETSIGMASK, tid, SIGSET_BYTES, address);
}

/** Reads where the thread's rseq area is, laid out as `rseqConfiguration`; size 0 where there is none. */
export function getRseqConfiguration(tid: number, address: number): number {
  return request(PTRACE_GET_RSEQ_CONFIGURATION, tid, rseqConfiguration.sizeBytes, address);
}

/** Reads the thread's syscall user dispatch (6.4; -EIO before), laid out as `sudConfig`; mode 0 where it is off. */
export function getSyscallUserDispatch(tid: number, address: number): number {
  return request(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, tid, sudConfig.sizeBytes, address);
}

/** Reads what system call the stop is about, laid out as `syscallInfo`. Returns the bytes available. */
export function getSyscallInfo(tid: number, address: number): number {
  return request(PTRACE_GET_SYSCALL_INFO, tid, syscallInfo.sizeBytes, address);
}

/** Status of a thread as wait4(2) reports it. Allocate once, use for every wait. */
export class WaitStatus {
  readonly #memory: Memory = scratch(8);
  /** the raw status word */
  raw = 0;

  /**
   * Takes the next report of a thread (or, with -1, of any).
   *
   * @param options WNOHANG, or 0 to wait
   * @returns the thread id; 0 when there is nothing to report (WNOHANG); a negative errno
   */
  wait(tid: number, options: number = WNOHANG): number {
    for (;;) {
      const result = libc.wait4(tid, this.#memory.address, options | __WALL, 0);
      if (result > 0) this.raw = this.#memory.int32[0]!;
      if (result >= 0) return result;
      const error = errno();
      if (error !== ERRNO.EINTR) return -error;
    }
  }

  /** It ended by exit. */
  get exited(): boolean {
    return (this.raw & 0x7f) === 0;
  }

  /** Status it exited with. */
  get exitCode(): number {
    return (this.raw >> 8) & 0xff;
  }

  /** It was ended by {@link endSignal}. */
  get signalled(): boolean {
    return (this.raw & 0x7f) !== 0 && (this.raw & 0x7f) !== 0x7f;
  }

  get endSignal(): number {
    return this.raw & 0x7f;
  }

  /** It stopped. */
  get stopped(): boolean {
    return (this.raw & 0xff) === 0x7f;
  }

  /** Signal of the stop, with 0x80 in it for a system call under PTRACE_O_TRACESYSGOOD. */
  get stopSignal(): number {
    return (this.raw >> 8) & 0xff;
  }

  /** PTRACE_EVENT_* of the stop, 0 for a signal's. */
  get event(): number {
    return this.raw >> 16;
  }

  /** The stop that {@link interrupt} (or a new thread's start) makes; with another signal it is a group stop. */
  get interrupted(): boolean {
    return this.stopped && this.event === PTRACE_EVENT_STOP && this.stopSignal === SIGTRAP;
  }
}
