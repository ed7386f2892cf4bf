import { LivecoreError } from '../../errors.ts';
import { BLOCK_BYTES, blocksOf } from './address.ts';
import { crc32 } from './checksum.ts';
import { type Computer, RECORD_HEAD_WORDS } from './computer.ts';
import { BUSY, SIZE_SHIFT, sizeOf, V } from './tte.ts';

/**
 * Every access that the snapshot program makes to the machine, one atomic operation each. They are plain numbers, so
 * that an explorer can keep them, compare them and give their results again.
 */
export const Op = {
  sttRead: 0,
  sttWrite: 1,
  tsbRead: 2,
  tsbWrite: 3,
  quiesce: 4,
  demap: 5,
  sttLock: 6,
  tsbClear: 7,
  stop: 8,
  go: 9,
  held: 10,
  slotOpen: 11,
  slotClose: 12,
  takeTrap: 13,
  wake: 14,
  instant: 15,
  active: 16,
  copyWord: 17,
  destroyed: 18,
  mapRead: 19,
  mapWrite: 20,
  imageWord: 21,
  logWord: 22,
  stored: 23,
  listed: 24,
  clock: 25,
  awaitEvent: 26,
  sttSplit: 27,
  sttJoin: 28,
  mapClear: 29,
  removing: 30,
} as const;

/** What an operation is called where people read it. */
export const OP_NAMES: readonly string[] = Object.keys(Op);

/** What may happen between two accesses; true where something did. */
export type Between = (op: number, a: number, b: number, c: number) => boolean;

/**
 * The processor bus 14 as the snapshot program uses it: the one way from it to the machine. Before each access
 * anything may happen elsewhere (`between`); an access that has to wait for a processor or a device lets things
 * happen until it can be made.
 */
export class Bus {
  readonly computer: Computer;
  between: Between | undefined;
  /** staging memory of somebody else's storage, where copied words go instead of the machine's own */
  elsewhere: Uint32Array | undefined;

  constructor(computer: Computer) {
    this.computer = computer;
  }

  /** Makes one access, and returns its result. */
  access(op: number, a: number, b: number, c: number): number {
    this.between?.(op, a, b, c);
    while (this.blocked(op, a)) {
      if (this.between?.(op, a, b, c) === true || this.#anything()) continue;
      throw new LivecoreError('INVARIANT', `the snapshot program waits for ever: ${OP_NAMES[op]} ${a}`);
    }
    return this.execute(op, a, b, c);
  }

  /** Whether an access has to wait: cross calls are taken between instructions, a slot closes when it is empty. */
  blocked(op: number, a: number): boolean {
    const { processors, bridge, state, places } = this.computer;
    if (op === Op.quiesce || op === Op.demap) return !processors[a]!.interruptible;
    if (op === Op.slotClose) return bridge.inFlight(a);
    return op === Op.awaitEvent && state.words[places.event] === 0;
  }

  /** Makes an access without letting anything happen before it. */
  execute(op: number, a: number, b: number, c: number): number {
    const { tables, processors, bridge, state, places } = this.computer;
    const { words } = state;
    switch (op) {
      case Op.sttRead:
        return tables.dataLow(a);
      case Op.sttWrite:
        words[tables.entry(a) + 3] = b;
        return this.#wroteKernel();
      case Op.tsbRead:
        return this.#tsbPlace(a, b) < 0 ? 0 : 1;
      case Op.tsbWrite:
        return this.#tsbWrite(a, b, c);
      case Op.quiesce:
        return 0;
      case Op.demap:
        return this.#demap(a, b, c);
      case Op.tsbClear:
        tables.clearTsb(a, b);
        return this.#wroteKernel();
      case Op.sttLock:
        return this.#lock(a);
      case Op.sttSplit:
        return this.#split(a, b);
      case Op.sttJoin:
        return this.#join(a, b);
      case Op.stop:
        processors[a]!.setStop(1);
        return 0;
      case Op.go:
        processors[a]!.setStop(0);
        return 0;
      case Op.held:
        return processors[a]!.held ? 1 : 0;
      case Op.slotOpen:
        bridge.setOpen(a, 1);
        return 0;
      case Op.slotClose: {
        const before = bridge.isOpen(a);
        bridge.setOpen(a, 0);
        return before;
      }
      case Op.takeTrap:
        this.computer.observer?.asked?.(a);
        return processors[a]!.takeTrap();
      case Op.wake:
        for (const processor of processors) processor.wake(a, b, c === 1);
        return 0;
      case Op.instant:
        words[places.instant] = 1;
        this.computer.observer?.instant();
        return 0;
      case Op.active:
        words[places.active] = a;
        return 0;
      case Op.removing:
        if (!processors.some((processor) => processor.removing)) return 0;
        this.computer.observer?.refused?.();
        return 1;
      case Op.destroyed:
        return words[places.destroyed + a - this.computer.plan.firstBlock]!;
      case Op.clock:
        return words[places.clock]!;
      case Op.awaitEvent:
        return 0;
      default:
        return this.#data(op, a, b, c);
    }
  }

  /** Accesses that move content. */
  #data(op: number, a: number, b: number, c: number): number {
    const { memory, state, places, plan, observer } = this.computer;
    const { words } = state;
    switch (op) {
      case Op.copyWord:
        if (c < 0) this.elsewhere![-1 - c] = memory.read(a, b);
        else words[places.staging + c] = memory.read(a, b);
        return 0;
      case Op.mapRead:
        return words[places.map + a]!;
      case Op.mapClear:
        words[places.map + a] = 0;
        return 0;
      case Op.mapWrite: {
        const before = words[places.map + a]!;
        words[places.map + a] = b;
        const inMemory = plan.variants.map === 'copied' || plan.variants.map === 'apart';
        if (inMemory) observer?.programWrote(plan.mapBlock);
        observer?.marked(plan.firstBlock - (plan.firstBlock % 32) + a * 32, before, b >>> 0);
        return 0;
      }
      case Op.imageWord: {
        const at = places.storage + (a - plan.firstBlock) * plan.wordsPerBlock + b;
        words[at] = c < 0 ? 0 : words[places.staging + c]!;
        observer?.storageWrote(at);
        return 0;
      }
      case Op.logWord:
        return this.#logWord(a, b, c);
      case Op.stored:
        observer?.stored(a);
        return 0;
      case Op.listed:
        observer?.listed(a, b === 0 ? 'unreliable' : 'lost');
        return 0;
      default:
        throw new LivecoreError('INVARIANT', `no such access: ${op}`);
    }
  }

  /**
   * Appends to the log: word `b` of the record of a block, its content from the staging memory. The record counts
   * from its last word on, when the log's length passes it.
   */
  #logWord(block: number, word: number, stagingAt: number): number {
    const { state, places, plan, observer } = this.computer;
    const { words } = state;
    const at = places.storage + words[places.logLength]! + word;
    const content = places.staging + stagingAt;
    if (word === 0) words[at] = LOG_MARK;
    else if (word === 1) words[at] = block;
    else if (word === 2)
      words[at] = checksum(block, words.subarray(content, content + plan.wordsPerBlock), stagingAt < 0);
    else words[at] = stagingAt < 0 ? 0 : words[content + word - RECORD_HEAD_WORDS]!;
    observer?.storageWrote(at);
    if (word === RECORD_HEAD_WORDS + plan.wordsPerBlock - 1)
      words[places.logLength] = words[places.logLength]! + word + 1;
    return 0;
  }

  #wroteKernel(): number {
    this.computer.observer?.programWrote(this.computer.plan.firstBlock);
    return 0;
  }

  /** Where the TSB of a context holds the entry of the STT, or -1. */
  #tsbPlace(index: number, context: number): number {
    const { tables } = this.computer;
    return tables.probe(tables.vaHigh(index), tables.vaLow(index), context);
  }

  #tsbWrite(index: number, dataLow: number, context: number): number {
    const at = this.#tsbPlace(index, context);
    if (at < 0) return 0;
    this.computer.state.words[at + 3] = dataLow;
    return this.#wroteKernel();
  }

  #demap(processor: number, index: number, side: number): number {
    const { tables, processors } = this.computer;
    const { dataTlb, instructionTlb } = processors[processor]!;
    const tlb = side === 0 ? dataTlb : instructionTlb;
    tlb.demap(tables.vaHigh(index), tables.vaLow(index), tables.contextOf(index));
    return 0;
  }

  /** Makes an entry of the STT invalid and locks it: a miss handler that needs it waits. */
  #lock(index: number): number {
    const { tables, state } = this.computer;
    const at = tables.entry(index);
    state.words[at + 3] = (state.words[at + 3]! | BUSY) >>> 0;
    state.words[at + 2] = (state.words[at + 2]! & ~V) >>> 0;
    return this.#wroteKernel();
  }

  /** Writes entries of 8 KiB for a large page whose entry is locked, from entry `spare` on, and unlocks. */
  #split(index: number, spare: number): number {
    const { tables, state } = this.computer;
    const dataHigh = tables.dataHigh(index);
    const dataLow = (tables.dataLow(index) & ~BUSY) >>> 0;
    for (let piece = 0; piece < blocksOf(sizeOf(dataHigh)); piece++) {
      const va = [tables.vaHigh(index), tables.vaLow(index) + piece * BLOCK_BYTES] as const;
      const data = [((dataHigh & ~SIZE_MASK) | V) >>> 0, dataLow + piece * BLOCK_BYTES] as const;
      tables.setEntry(spare + piece, va, tables.contextOf(index), data);
    }
    state.words[tables.entry(index) + 3] = dataLow;
    return this.#wroteKernel();
  }

  /** Puts a large page's entry back in the place of its pieces, which are locked. */
  #join(index: number, spare: number): number {
    const { tables, state } = this.computer;
    const at = tables.entry(index);
    const pieces = blocksOf(sizeOf(tables.dataHigh(index)));
    state.words[at + 2] = (state.words[at + 2]! | V) >>> 0;
    state.words.fill(0, tables.entry(spare), tables.entry(spare + pieces));
    return this.#wroteKernel();
  }

  /** Lets the first actor go that can: what waits for a processor or a device gets what it waits for. */
  #anything(): boolean {
    const { computer } = this;
    for (let actor = 0; actor < computer.actors; actor++) {
      if (!computer.canAct(actor)) continue;
      computer.act(actor);
      return true;
    }
    return false;
  }
}

const SIZE_MASK = 3 << SIZE_SHIFT;

/** "LCLR" */
export const LOG_MARK = 0x4c43_4c52;

/** Of a record of the log: its location and its content. */
export function checksum(block: number, content: Uint32Array, zero: boolean): number {
  return crc32(zero ? new Uint32Array(content.length) : content, block);
}
