import { NT_X86_XSTATE } from '../../linux/abi.ts';
import { siginfo, userRegs } from '../../linux/layouts.ts';
import { MappedMemory, type Memory } from '../../linux/memory.ts';
import { getRegisterSet, getRegisters, getSignalInfo, getSignalMask } from '../../linux/ptrace.ts';

/** The general registers, the signal mask, the siginfo and the XSAVE area of a thread, in this order. */
const MASK_AT = 256;
const SIGINFO_AT = 320;
const XSTATE_AT = 512;
/** AMX's tiles take the area to 11,008 bytes; what a CPU has beyond that is cut, and reported by its length */
const XSTATE_ROOM = 12 * 1024;
const SLOT_BYTES = XSTATE_AT + XSTATE_ROOM;

/** Registers of one thread at T0. */
export interface ThreadRegisters {
  readonly tid: number;
  /** struct user_regs_struct */
  readonly general: Uint8Array;
  /** blocked signals, bit n-1 for signal n */
  readonly signalMask: bigint;
  /** XSAVE area; its first 512 bytes are the FXSAVE image (NT_PRFPREG) */
  readonly xstate: Uint8Array;
  /** signal that was about to be delivered, 0 for none */
  readonly signal: number;
  readonly siginfo: Uint8Array;
}

/** Registers of all threads, read inside the hold into memory that was there before. */
export class RegisterStore implements Disposable {
  #memory: MappedMemory | undefined;
  readonly #slots: Memory[] = [];
  readonly #tids: number[] = [];
  readonly #signals: number[] = [];
  readonly #xstateBytes: number[] = [];

  /** Makes room for so many threads. Before the hold. */
  reserve(threads: number): void {
    if (threads <= this.#slots.length) return;
    const room = threads + 16;
    this[Symbol.dispose]();
    this.#memory = new MappedMemory(room * SLOT_BYTES, { populate: true });
    for (let slot = 0; slot < room; slot++)
      this.#slots.push(this.#memory.slice(slot * SLOT_BYTES, SLOT_BYTES));
  }

  clear(): void {
    this.#tids.length = 0;
  }

  /**
   * Reads what a stopped thread has. A thread that is gone, or for which there is no room, is left out.
   *
   * @returns its general registers, laid out as `userRegs`, until the next reading
   */
  read(tid: number, signal: number): Memory | undefined {
    const at = this.#tids.length;
    const slot = this.#slots[at];
    if (slot === undefined || getRegisters(tid, slot.address) < 0) return undefined;
    if (signal !== 0) {
      slot.bytes.fill(0, SIGINFO_AT, SIGINFO_AT + siginfo.sizeBytes);
      getSignalInfo(tid, slot.address + SIGINFO_AT);
    }
    this.#readRest(tid, at, slot.address);
    this.#signals[at] = signal;
    this.#tids.push(tid);
    return slot;
  }

  /** The same calls for a thread that runs, where they fail: for the caches. */
  rehearse(tid: number): void {
    const slot = this.#slots[0]!;
    getRegisters(tid, slot.address);
    this.#readRest(tid, 0, slot.address);
  }

  #readRest(tid: number, at: number, address: number): void {
    getSignalMask(tid, address + MASK_AT);
    const bytes = getRegisterSet(tid, NT_X86_XSTATE, address + XSTATE_AT, XSTATE_ROOM);
    this.#xstateBytes[at] = Math.max(0, bytes);
  }

  /** Copies of all that was read, in the order of reading. */
  threads(): ThreadRegisters[] {
    return this.#tids.map((tid, at) => {
      const { bytes, bigUint64 } = this.#slots[at]!;
      const signal = this.#signals[at]!;
      return {
        tid,
        general: bytes.slice(0, userRegs.sizeBytes),
        signalMask: bigUint64[MASK_AT / 8]!,
        xstate: bytes.slice(XSTATE_AT, XSTATE_AT + this.#xstateBytes[at]!),
        signal,
        // Read only where there is a signal: in the hold every call counts.
        siginfo:
          signal === 0
            ? new Uint8Array(siginfo.sizeBytes)
            : bytes.slice(SIGINFO_AT, SIGINFO_AT + siginfo.sizeBytes),
      };
    });
  }

  [Symbol.dispose](): void {
    this.#slots.length = 0;
    this.clear();
    this.#memory?.[Symbol.dispose]();
    this.#memory = undefined;
  }
}
