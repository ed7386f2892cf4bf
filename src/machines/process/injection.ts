import { LivecoreError } from '../../errors.ts';
import {
  CLONE_FILES,
  CLONE_FS,
  CLONE_SIGHAND,
  CLONE_SYSVSEM,
  CLONE_THREAD,
  CLONE_VM,
  SYS_clone,
} from '../../linux/abi.ts';
import { errnoName } from '../../linux/errno.ts';
import { MappedMemory, type Memory } from '../../linux/memory.ts';
import type { ProcessMemory } from '../../linux/process-memory.ts';
import { setSlice } from '../../linux/session.ts';
import type { Gadgets } from './gadgets.ts';
import { FRAME_BYTES, frameStateBytes, writeExitFrame, writeReturnFrame } from './signal-frame.ts';
import { type CallArguments, StoppedThread } from './stopped-thread.ts';

/** Below the stack pointer a leaf function may keep 128 bytes (psABI 3.2.2). */
const RED_ZONE_BYTES = 128;
const DATA_BYTES = 256;
/** between what the stopped thread would overwrite first and the frame of the helper, see `Scratch` */
const GAP_BYTES = 1024;
const ALIGNMENT = 64;
const WORD_BYTES = 8;

/** A thread of ours or of the target in which system calls can be made. */
export interface Carrier {
  call(number: number, ...args: CallArguments): number;
}

/**
 * Memory of the target that we use for a moment: below the stack of the thread that we stopped, where by convention
 * nothing is kept. Its bytes are saved, and put back before the thread goes on.
 *
 * From the stack pointer downwards: the thread's way back, data of the calls, and deepest the helper's way out, so
 * that a thread which got home because we died would overwrite that last.
 */
class Scratch implements Disposable {
  readonly base: number;
  readonly length: number;
  /** where the stack pointer stands for a call: the way back begins here, and leads into the frame */
  readonly returnStack: number;
  readonly exitStack: number;
  readonly data: number;
  readonly #returnFrame: number;
  readonly #exitFrame: number;
  readonly #memory: ProcessMemory;
  readonly #saved: MappedMemory;
  readonly #buffer: MappedMemory;

  constructor(memory: ProcessMemory, thread: StoppedThread, gadgets: Gadgets) {
    const align = (address: number): number => address - (address % ALIGNMENT);
    const stateBytes = frameStateBytes(thread.xstate, thread.xstateBytes);
    const wayBytes = gadgets.wayBack.length * WORD_BYTES;
    this.#returnFrame = align(thread.register('rsp') - RED_ZONE_BYTES - FRAME_BYTES - stateBytes);
    this.returnStack = this.#returnFrame - wayBytes;
    this.data = align(this.returnStack - DATA_BYTES);
    this.#exitFrame = align(this.data - GAP_BYTES - FRAME_BYTES);
    this.exitStack = this.#exitFrame - wayBytes;
    this.base = this.exitStack;
    this.length =
      this.#returnFrame + FRAME_BYTES + Math.ceil(stateBytes / WORD_BYTES) * WORD_BYTES - this.base;
    this.#memory = memory;
    this.#saved = new MappedMemory(this.length);
    this.#buffer = new MappedMemory(this.length);
    if (memory.read(this.base, this.#saved.address, this.length) === this.length) return;
    this.#saved[Symbol.dispose]();
    this.#buffer[Symbol.dispose]();
    throw noRoom(thread.tid);
  }

  /** Writes both ways home. Until the thread's registers point there nothing reads them. */
  writeFrames(thread: StoppedThread, gadgets: Gadgets): void {
    const wayBytes = gadgets.wayBack.length * WORD_BYTES;
    const at = (address: number, length: number): Memory => this.#buffer.slice(address - this.base, length);
    const returnBytes = this.base + this.length - this.#returnFrame;
    writeReturnFrame(
      at(this.#returnFrame, returnBytes),
      this.#returnFrame,
      gadgets,
      thread.registers,
      thread.signalMask,
      thread.xstate,
      thread.xstateBytes,
    );
    writeExitFrame(at(this.#exitFrame, FRAME_BYTES), gadgets, thread.registers);
    gadgets.wayBack.forEach((word, index) => {
      at(this.returnStack, wayBytes).setWord(index * WORD_BYTES, word);
      at(this.exitStack, wayBytes).setWord(index * WORD_BYTES, word);
    });
    if (this.#memory.write(this.base, this.#buffer.address, this.length) !== this.length)
      throw noRoom(thread.tid);
  }

  /** Writes the data area of the target. */
  write(fill: (memory: Memory) => void): void {
    const local = this.#buffer.slice(this.data - this.base, DATA_BYTES);
    fill(local);
    this.#memory.write(this.data, local.address, DATA_BYTES);
  }

  /** Reads the data area of the target. */
  read(): Memory {
    const local = this.#buffer.slice(this.data - this.base, DATA_BYTES);
    this.#memory.read(this.data, local.address, DATA_BYTES);
    return local;
  }

  [Symbol.dispose](): void {
    this.#memory.write(this.base, this.#saved.address, this.length);
    this.#saved[Symbol.dispose]();
    this.#buffer[Symbol.dispose]();
  }
}

/**
 * System calls inside the target: one thread is stopped, and either carries them itself or makes a helper task that
 * does. Disposing of it leaves the target as it was.
 *
 * If we die:
 * - before the first call: the thread has its own registers, and only bytes below its stack are changed; or it goes home
 *   by its frame at once;
 * - inside a call: the thread finishes it, returns into its signal frame and so to where it was;
 * - while there is a helper: it finishes its call and exits by its own frame, closing what it holds.
 */
export class Injection implements Disposable {
  readonly thread: StoppedThread;
  readonly #gadgets: Gadgets;
  readonly #resources: DisposableStack;
  readonly #scratch: Scratch;
  #helperTid = 0;

  /** Takes ownership of the stopped thread. */
  constructor(memory: ProcessMemory, thread: StoppedThread, gadgets: Gadgets) {
    using building = new DisposableStack();
    this.thread = building.use(thread);
    this.#gadgets = gadgets;
    this.#scratch = building.use(new Scratch(memory, thread, gadgets));
    this.#scratch.writeFrames(thread, gadgets);
    this.#resources = building.move();
  }

  /** Thread id of the helper, 0 while there is none. */
  get helperTid(): number {
    return this.#helperTid;
  }

  /** Address in the target of 256 bytes that calls can point to. */
  get dataAddress(): number {
    return this.#scratch.data;
  }

  /** Fills the data area: `fill` gets our copy, which is written to the target as a whole. */
  write(fill: (memory: Memory) => void): void {
    this.#scratch.write(fill);
  }

  /** What the data area holds now. */
  read(): Memory {
    return this.#scratch.read();
  }

  /** The stopped thread as a carrier. Its own descriptors are the process': others may see what it opens. */
  carrier(): Carrier {
    this.#resources.defer(() => this.thread.restore());
    this.#blockSignals();
    return {
      call: (number, ...args) =>
        this.thread.call(this.#gadgets.syscallReturn, this.#scratch.returnStack, number, args),
    };
  }

  /**
   * Makes a helper: a task of the same memory, with all signals blocked, that executes nothing but our calls. It begins
   * with the process' descriptor table; `close_range(0, ~0, CLOSE_RANGE_UNSHARE)` gives it an empty one of its own.
   *
   * @returns undefined when the target may have no more threads (EAGAIN: RLIMIT_NPROC, pids cgroup)
   */
  makeHelper(): Carrier | undefined {
    const { thread } = this;
    const flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    const { syscallReturn } = this.#gadgets;
    const { returnStack, exitStack } = this.#scratch;
    let result: number;
    try {
      // The helper inherits the mask.
      this.#blockSignals();
      thread.traceChildren();
      result = thread.call(syscallReturn, returnStack, SYS_clone, [flags, exitStack], (tid) => {
        this.#helperTid = tid;
      });
    } finally {
      thread.restore();
    }
    if (result < 0) return undefined;
    const helper = StoppedThread.adopt(this.#helperTid, new Set(), false);
    if (helper === undefined)
      throw new LivecoreError('INJECTION_FAILED', 'the helper task did not appear', {});
    hasten(this.#helperTid);
    this.#resources.defer(() => {
      helper.end(syscallReturn, exitStack);
      helper[Symbol.dispose]();
    });
    return { call: (number, ...args) => helper.call(syscallReturn, exitStack, number, args) };
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }

  /** The way back is what `ret` finds after a call; without one its first step is the thread's next instruction. */
  #blockSignals(): void {
    const { wayBack, intoFrame } = this.#gadgets;
    this.thread.blockSignals(wayBack[0] ?? intoFrame, this.#scratch.returnStack + WORD_BYTES);
  }
}

/** The helper is ours, and a thread stands still as long as it lives: it need not wait for its turn on a CPU. */
function hasten(tid: number): void {
  try {
    setSlice(-20, 100_000, tid);
  } catch {
    // Without CAP_SYS_NICE it takes its turn.
  }
}

/** Throws for a negative result of an injected call. */
export function checkInjected(result: number, name: string, tid: number): number {
  if (result >= 0) return result;
  throw new LivecoreError('INJECTION_FAILED', `${name} in the target: ${errnoName(-result)}`, {
    tid,
    syscall: name,
    errno: -result,
  });
}

function noRoom(tid: number): LivecoreError {
  return new LivecoreError('INJECTION_FAILED', `inject into thread ${tid}: no room below its stack`, { tid });
}
