import { BLOCK_BYTES, BLOCK_SHIFT, blocksOf, high, isLegal, low } from './address.ts';
import {
  DATA_ACCESS_MISS,
  DATA_ACCESS_PROTECTION,
  exceptionOf,
  faultTypeOf,
  INSTRUCTION_ACCESS_MISS,
  type Instruction,
  type InstructionKind,
  type Program,
  swapBytes,
} from './instruction.ts';
import type { Memory } from './memory.ts';
import type { Observer } from './observer.ts';
import type { State } from './state.ts';
import { StoreBuffer, storeBufferWords } from './store-buffer.ts';
import { TLB_ENTRY_WORDS, Tlb } from './tlb.ts';
import type { TranslationTables } from './translation-tables.ts';
import { IE, pageNumberOf, SAVED_W, sizeOf, W } from './tte.ts';

/** Where a processor is within an instruction. */
export const Phase = {
  /** about to translate */
  ready: 0,
  /** in the TLB miss handler, the TSB had nothing: looks in the STT */
  walk: 1,
  /** in the TLB miss handler, holds a TTE of the STT: writes it to the TSB */
  tsb: 2,
  /** in the TLB miss handler, holds a TTE: loads it into the TLB */
  fill: 3,
  /** in the handler of data_access_protection */
  protection: 4,
  /** waits until the snapshot program has served its trap */
  wait: 5,
  /** about to throw a block away */
  remove: 6,
} as const;

// words of a processor's registers, from its offset on
const PC = 0;
const PHASE = 1;
const CONTEXT = 2;
const STOP = 3;
/** block + 1 that the processor waits for, 0: none */
const WAITS_FOR = 4;
const TOLD = 5;
const LATCH = 6;
/** stores of the program that reached memory */
const LANDED = 8;
const EXCEPTION = 9;
const FAULT_TYPE = 10;
const REGISTERS = 11;
const REGISTER_COUNT = 8;
const BUFFER = REGISTERS + REGISTER_COUNT;

/** The numbers of a processor that a shape chooses. */
export interface ProcessorShape {
  readonly tlbEntries: number;
  readonly storeBufferEntries: number;
  /** words of a block store: 16, which is 64 bytes, on the real chip */
  readonly lineWords: number;
}

/** How many words of the state a processor takes. */
export function processorWords(shape: ProcessorShape): number {
  return BUFFER + storeBufferWords(shape.storeBufferEntries) + 2 * shape.tlbEntries * TLB_ENTRY_WORDS;
}

/** What all processors share. */
export interface Surroundings {
  readonly state: State;
  readonly memory: Memory;
  readonly tables: TranslationTables;
  /** place in the state of the word that says that a snapshot runs */
  readonly activeAt: number;
  /** place in the state of one word a block: 1 destroyed before T0, 2 after */
  readonly destroyedAt: number;
  /** place of the word that is 1 from T0 on */
  readonly instantAt: number;
  /** place of the word that an `event` sets */
  readonly eventAt: number;
}

/**
 * A processor 12: it runs its program an atomic step at a time, so that whoever schedules it can let anything
 * happen between any two. Loads read memory past their own store buffer 59, stores leave it in order (total store
 * order), atomics wait for it to be empty. The software TLB miss handler and the handler of data_access_protection
 * are part of it, each access of theirs a step.
 *
 * The I-Cache, D-Cache and E-Cache are left out: they are coherent ("snoops", "writebacks"), so they change when
 * something happens and never what is read. What is not coherent on the real chip is here: the TLBs and the store
 * buffer. For the same reason CP and CV are kept, passed on, and used only where the MMU itself does.
 */
export class Processor {
  readonly number: number;
  readonly program: Program & { readonly instructions: Instruction[] };
  readonly instructionTlb: Tlb;
  readonly dataTlb: Tlb;
  observer: Observer | undefined;

  readonly #around: Surroundings;
  readonly #state: State;
  readonly #offset: number;
  readonly #storeBuffer: StoreBuffer;
  readonly #lineWords: number;
  readonly #kinds: InstructionKind[];
  #vaHigh: Uint32Array;
  #vaLow: Uint32Array;
  #values: Uint32Array;
  readonly #supervisor: boolean;

  constructor(around: Surroundings, offset: number, shape: ProcessorShape, number: number, program: Program) {
    this.number = number;
    this.program = { ...program, instructions: [...program.instructions] };
    this.#around = around;
    this.#state = around.state;
    this.#offset = offset;
    this.#storeBuffer = new StoreBuffer(around.state, offset + BUFFER, shape.storeBufferEntries);
    this.#lineWords = shape.lineWords;
    const tlbs = offset + BUFFER + storeBufferWords(shape.storeBufferEntries);
    this.dataTlb = new Tlb(around.state, tlbs, shape.tlbEntries, 'data');
    const second = tlbs + shape.tlbEntries * TLB_ENTRY_WORDS;
    this.instructionTlb = new Tlb(around.state, second, shape.tlbEntries, 'instruction');
    const { instructions } = program;
    this.#kinds = instructions.map((instruction) => instruction.kind);
    this.#vaHigh = Uint32Array.from(instructions, (instruction) => high(instruction.va ?? 0n));
    this.#vaLow = Uint32Array.from(instructions, (instruction) => low(instruction.va ?? 0n));
    this.#values = Uint32Array.from(instructions, (instruction) => instruction.value ?? 0);
    this.#supervisor = program.supervisor ?? false;
    this.#set(CONTEXT, program.context ?? 0);
  }

  /** Gives it one more instruction, after the last one. */
  append(instruction: Instruction): void {
    const at = this.#kinds.length;
    if (at === this.#values.length) {
      const [vaHigh, vaLow, values] = [this.#vaHigh, this.#vaLow, this.#values];
      const capacity = Math.max(16, 2 * at);
      this.#vaHigh = new Uint32Array(capacity);
      this.#vaLow = new Uint32Array(capacity);
      this.#values = new Uint32Array(capacity);
      this.#vaHigh.set(vaHigh);
      this.#vaLow.set(vaLow);
      this.#values.set(values);
    }
    this.program.instructions.push(instruction);
    this.#kinds.push(instruction.kind);
    this.#vaHigh[at] = high(instruction.va ?? 0n);
    this.#vaLow[at] = low(instruction.va ?? 0n);
    this.#values[at] = instruction.value ?? 0;
  }

  // What the outside sees of it -------------------------------------------------------------------------------

  get pc(): number {
    return this.#get(PC);
  }
  get phase(): number {
    return this.#get(PHASE);
  }
  get context(): number {
    return this.#get(CONTEXT);
  }
  get buffered(): number {
    return this.#storeBuffer.length;
  }
  /** number of stores that reached memory */
  get landed(): number {
    return this.#get(LANDED);
  }
  get stopped(): boolean {
    return this.#get(STOP) === 1;
  }
  /** the block it waits for, or -1 */
  get waitsFor(): number {
    return this.#get(PHASE) === Phase.wait ? this.#get(WAITS_FOR) - 1 : -1;
  }
  /** whether it waits to be let on to remove memory */
  get removing(): boolean {
    return this.#get(PHASE) === Phase.wait && this.#kinds[this.pc] === 'remove';
  }
  /** whether the snapshot program was told of the trap that it waits for */
  get told(): boolean {
    return this.#get(TOLD) === 1;
  }
  /** an index of EXCEPTIONS: what the last instruction that failed met */
  get exception(): number {
    return this.#get(EXCEPTION);
  }
  /** the FT field of the fault status register (Manual, table 6-13) */
  get faultType(): number {
    return this.#get(FAULT_TYPE);
  }
  /** what the program loaded into a register: instruction n loads register n modulo 8 */
  register(index: number): number {
    return this.#get(REGISTERS + (index % REGISTER_COUNT));
  }
  get done(): boolean {
    return this.pc === this.#kinds.length && this.buffered === 0;
  }
  /** The store that waits longest in the store buffer. */
  oldestStore(): { block: number; word: number; value: number } {
    return this.#storeBuffer.oldest();
  }

  // What the snapshot program does to it, by a cross call -------------------------------------------------------

  /** Asks it to stop at the next instruction, or lets it go on. */
  setStop(stop: number): void {
    this.#set(STOP, stop);
  }
  /** Whether it stands between two instructions: cross calls are taken there, not within a handler. */
  get interruptible(): boolean {
    const phase = this.phase;
    // A handler that waits for a locked entry lets itself be interrupted: its caller may hold the lock.
    if (phase === Phase.walk) return this.#entryBusy();
    return phase === Phase.ready || phase === Phase.wait || phase === Phase.protection;
  }
  /** Whether it is stopped and no store of its own can still land. */
  get held(): boolean {
    if (!this.stopped || this.buffered > 0) return false;
    const phase = this.phase;
    if (phase === Phase.wait) return !(this.program.instructions[this.pc]?.inKernel ?? false);
    return phase === Phase.ready || phase === Phase.protection;
  }
  /** The trap that it waits for and that nobody was told of: `block + 1`, negative for a removal; 0: none. */
  takeTrap(): number {
    if (this.#get(PHASE) !== Phase.wait || this.#get(TOLD) === 1) return 0;
    this.#set(TOLD, 1);
    const block = this.#get(WAITS_FOR);
    return this.#kinds[this.pc] === 'remove' ? -block : block;
  }
  /** Ends its wait for a block of a range: for writers the instruction is tried again, a removal goes on. */
  wake(first: number, count: number, removal: boolean): void {
    const block = this.waitsFor;
    if (block < first || block >= first + count || (this.#kinds[this.pc] === 'remove') !== removal) return;
    this.#set(PHASE, removal ? Phase.remove : Phase.ready);
    this.#set(WAITS_FOR, 0);
    this.#set(TOLD, 0);
  }

  // Its own steps -------------------------------------------------------------------------------------------------

  canDrain(): boolean {
    return this.#storeBuffer.length > 0;
  }

  /** Lets the oldest store reach memory. */
  drain(): void {
    this.#landed(this.#storeBuffer.drain(this.#around.memory));
  }

  canStep(): boolean {
    const words = this.#state.words;
    const offset = this.#offset;
    const phase = words[offset + PHASE]!;
    if (phase !== Phase.ready) {
      if (phase === Phase.walk) return !this.#entryBusy();
      if (phase === Phase.protection) return words[offset + STOP] === 0 && !this.#entryBusy();
      return phase !== Phase.wait;
    }
    const pc = words[offset + PC]!;
    if (pc === this.#kinds.length || words[offset + STOP] === 1) return false;
    const { length: buffered, entries } = this.#storeBuffer;
    switch (this.#kinds[pc]) {
      case 'store':
        return buffered < entries;
      case 'block-store':
        return buffered + this.#lineWords <= entries;
      case 'swap':
      case 'barrier':
      case 'remove':
      case 'destroy':
      case 'switch':
        return buffered === 0;
      default:
        return true;
    }
  }

  /** Makes one atomic step. */
  step(): void {
    switch (this.#get(PHASE)) {
      case Phase.ready:
        this.#execute();
        return;
      case Phase.walk:
        this.#walk();
        return;
      case Phase.tsb:
        this.#fillTsb();
        return;
      case Phase.fill:
        this.#fillTlb();
        return;
      case Phase.protection:
        this.#protection();
        return;
      case Phase.remove:
        this.#throwAway();
        return;
    }
  }

  /** Runs alone until `accesses` instructions are done or it can't go on; returns how many were. */
  run(accesses: number): number {
    let pc = this.pc;
    let done = 0;
    while (done < accesses) {
      if (this.canDrain()) this.drain();
      if (!this.canStep()) break;
      this.step();
      const now = this.pc;
      if (now !== pc) done++;
      pc = now;
    }
    return done;
  }

  #execute(): void {
    const pc = this.#get(PC);
    switch (this.#kinds[pc]!) {
      case 'barrier':
        this.#next();
        return;
      case 'switch':
        this.#set(CONTEXT, this.program.instructions[pc]!.context ?? 0);
        this.#next();
        return;
      case 'event':
        this.#state.words[this.#around.eventAt] = 1;
        this.#next();
        return;
      case 'fetch':
        this.#access(this.instructionTlb, pc);
        return;
      default:
        this.#access(this.dataTlb, pc);
        return;
    }
  }

  /** Translates and makes the access of an instruction; a trap leads to its handler. */
  #access(tlb: Tlb, pc: number): void {
    const words = this.#state.words;
    const kind = this.#kinds[pc]!;
    const vaHigh = this.#vaHigh[pc]!;
    const vaLow = this.#vaLow[pc]!;
    if (!isLegal(vaHigh)) {
      this.#fault(exceptionOf(kind), kind === 'fetch' ? 0x40 : 0x20);
      return;
    }
    const entry = tlb.lookup(vaHigh, vaLow, words[this.#offset + CONTEXT]!);
    if (entry < 0) {
      this.#miss(vaHigh, vaLow);
      return;
    }
    const dataHigh = words[entry + 3]!;
    const dataLow = words[entry + 4]!;
    const faultType = faultTypeOf(kind, dataHigh, dataLow, this.#supervisor);
    if (faultType !== 0) {
      this.#fault(exceptionOf(kind), faultType);
      return;
    }
    // Of a large page the offset's bits of PA are "ignored during normal translation".
    const inPage = blocksOf(sizeOf(dataHigh)) - 1;
    const block = (pageNumberOf(dataHigh, dataLow) & ~inPage) + ((vaLow >>> BLOCK_SHIFT) & inPage);
    const word = (vaLow & (BLOCK_BYTES - 1)) >>> 2;
    if (kind === 'load' || kind === 'load-no-fault' || kind === 'fetch') {
      this.observer?.processorRead?.(this.number, pc, block, word);
      const value = this.#load(block, word);
      words[this.#offset + REGISTERS + (pc & (REGISTER_COUNT - 1))] =
        dataHigh & IE ? swapBytes(value) : value;
      this.#next();
      return;
    }
    if (kind === 'remove' || kind === 'destroy') {
      this.#throw(kind, block);
      return;
    }
    if ((dataLow & W) === 0) {
      words[this.#offset + PHASE] = Phase.protection;
      return;
    }
    const value = dataHigh & IE ? swapBytes(this.#values[pc]!) : this.#values[pc]!;
    this.#write(kind, pc, block, word, value);
    this.#next();
  }

  #write(kind: InstructionKind, pc: number, block: number, word: number, value: number): void {
    const { memory } = this.#around;
    if (kind === 'swap') {
      this.#set(REGISTERS + (pc & (REGISTER_COUNT - 1)), memory.read(block, word));
      memory.write(block, word, value);
      this.#landed(block);
      return;
    }
    const count = kind === 'block-store' ? this.#lineWords : 1;
    for (let index = 0; index < count; index++) {
      this.#storeBuffer.push(block, word + index, value + index);
    }
  }

  #load(block: number, word: number): number {
    const value = this.#storeBuffer.find(block, word);
    return value >= 0 ? value : this.#around.memory.read(block, word);
  }

  // The software TLB miss handler ---------------------------------------------------------------------------------

  /** "On a TLB miss the MMU 28 immediately traps to software". First the TSB, one load of both words. */
  #miss(vaHigh: number, vaLow: number): void {
    const at = this.#around.tables.probe(vaHigh, vaLow, this.context);
    if (at < 0) {
      this.#set(PHASE, Phase.walk);
      return;
    }
    this.#latch(this.#state.words[at + 2]!, this.#state.words[at + 3]!);
    this.#set(PHASE, Phase.fill);
  }

  #walk(): void {
    const { tables } = this.#around;
    const pc = this.pc;
    const index = tables.find(this.#vaHigh[pc]!, this.#vaLow[pc]!, this.context);
    if (index < 0) {
      this.#set(PHASE, Phase.ready);
      this.#fault(this.#kinds[pc] === 'fetch' ? INSTRUCTION_ACCESS_MISS : DATA_ACCESS_MISS, 0);
      return;
    }
    this.#latch(tables.dataHigh(index), tables.dataLow(index));
    this.#set(PHASE, Phase.tsb);
  }

  #entryBusy(): boolean {
    const pc = this.pc;
    return this.#around.tables.isBusy(this.#vaHigh[pc]!, this.#vaLow[pc]!, this.context);
  }

  #fillTsb(): void {
    const pc = this.pc;
    const { tables } = this.#around;
    tables.fill(this.#vaHigh[pc]!, this.#vaLow[pc]!, this.context, this.#get(LATCH), this.#get(LATCH + 1));
    this.#set(PHASE, Phase.fill);
  }

  #fillTlb(): void {
    const pc = this.pc;
    const tlb = this.#kinds[pc] === 'fetch' ? this.instructionTlb : this.dataTlb;
    const vaHigh = this.#vaHigh[pc]!;
    const vaLow = this.#vaLow[pc]!;
    const dataHigh = this.#get(LATCH);
    if (this.observer !== undefined && tlb.overlaps(vaHigh, vaLow, sizeOf(dataHigh), this.context)) {
      this.observer.multipleMatch(this.number);
    }
    tlb.load(vaHigh, vaLow, this.context, dataHigh, this.#get(LATCH + 1));
    this.#latch(0, 0);
    this.#set(PHASE, Phase.ready);
  }

  // The handler of data_access_protection: "this trap points to part of the snapshot program code" -------------------

  /**
   * Under the lock of the table: where W is granted by now the TLB was stale, and the access is tried again;
   * where the snapshot program cleared it, the processor waits for it; else nobody may write here.
   * The entry in the TLB is demapped in each case, or loading it again would make a multiple match
   * (Manual, section 6.9.9).
   */
  #protection(): void {
    const { tables } = this.#around;
    const pc = this.pc;
    const vaHigh = this.#vaHigh[pc]!;
    const vaLow = this.#vaLow[pc]!;
    const index = tables.find(vaHigh, vaLow, this.context);
    const dataLow = index < 0 ? 0 : tables.dataLow(index);
    this.dataTlb.demap(vaHigh, vaLow, this.context);
    if ((dataLow & W) !== 0) {
      const at = tables.probe(vaHigh, vaLow, this.context);
      if (at >= 0) this.#state.words[at + 3] = dataLow;
      this.#set(PHASE, Phase.ready);
    } else if ((dataLow & SAVED_W) !== 0) {
      const inPage = blocksOf(sizeOf(tables.dataHigh(index))) - 1;
      this.#wait((tables.pageNumber(index) & ~inPage) + ((vaLow >>> BLOCK_SHIFT) & inPage));
    } else {
      this.#set(PHASE, Phase.ready);
      this.#fault(DATA_ACCESS_PROTECTION, 0);
    }
  }

  #wait(block: number): void {
    this.#set(WAITS_FOR, block + 1);
    this.#set(TOLD, 0);
    this.#set(PHASE, Phase.wait);
  }

  // Memory that goes away -------------------------------------------------------------------------------------------

  #throw(kind: 'remove' | 'destroy', block: number): void {
    this.#set(LATCH, block);
    if (kind === 'remove' && this.#state.words[this.#around.activeAt] === 1) {
      this.#wait(block);
      return;
    }
    if (kind === 'destroy') this.#noteDestroyed(block);
    this.#throwAway();
  }

  #noteDestroyed(block: number): void {
    const { destroyedAt, instantAt, memory } = this.#around;
    const at = destroyedAt + block - memory.firstBlock;
    this.#state.words[at] = this.#state.words[instantAt] === 1 ? 2 : 1;
  }

  #throwAway(): void {
    const { memory } = this.#around;
    const block = this.#get(LATCH);
    const at = memory.at(block, 0);
    this.#state.words.fill(0, at, at + memory.wordsPerBlock);
    this.#latch(0, 0);
    this.#set(PHASE, Phase.ready);
    this.observer?.destroyed(this.number, block);
    this.#next();
  }

  // Small things ----------------------------------------------------------------------------------------------------

  #landed(block: number): void {
    const words = this.#state.words;
    const at = this.#offset + LANDED;
    const order = words[at]!;
    words[at] = order + 1;
    this.observer?.processorWrote(this.number, block, order);
  }

  #next(): void {
    const words = this.#state.words;
    const at = this.#offset + PC;
    const pc = words[at]! + 1;
    words[at] = pc === this.#kinds.length && this.program.loop === true ? 0 : pc;
  }

  #fault(exception: number, faultType: number): void {
    this.#set(EXCEPTION, exception);
    this.#set(FAULT_TYPE, faultType);
    this.#next();
  }

  #latch(dataHigh: number, dataLow: number): void {
    this.#set(LATCH, dataHigh);
    this.#set(LATCH + 1, dataLow);
  }

  #get(field: number): number {
    return this.#state.words[this.#offset + field]!;
  }
  #set(field: number, value: number): void {
    this.#state.words[this.#offset + field] = value;
  }
}
