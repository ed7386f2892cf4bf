import { BLOCK_BYTES, blocksOf, low } from '../../src/machines/ultrasparc/address.ts';
import { Op } from '../../src/machines/ultrasparc/bus.ts';
import type { Computer } from '../../src/machines/ultrasparc/computer.ts';
import type { Instruction } from '../../src/machines/ultrasparc/instruction.ts';
import { Phase } from '../../src/machines/ultrasparc/processor.ts';
import { TSB_ENTRY_WORDS } from '../../src/machines/ultrasparc/translation-tables.ts';
import { SAVED_W } from '../../src/machines/ultrasparc/tte.ts';

/** What a step, or all that an actor may still do, touches: each a set of numbers as bits. */
interface Footprint {
  /** entries of the STT that it may read */
  entries: number;
  /** places of the TSB that it may read and fill */
  slots: number;
  /** words of first storage that it may read, and that it may write */
  reads: number;
  writes: number;
  /** blocks that it may write or throw away */
  blocks: number;
  /** whether anything is left to do at all */
  any: boolean;
  /** it may throw memory away, for which the machine asks whether a snapshot runs */
  removes: boolean;
}

/**
 * Says which processors and devices have to be tried before an access of the snapshot program: those that may do
 * something, now or ever, whose order with the access can be noticed; and those whose order with the next step of
 * one of these can be noticed. What the others do comes to the same before and after (a persistent set, in the words
 * of partial-order reduction), so they wait.
 *
 * What the judge looks at counts as touched: a landing store looks at the copied indication of its block.
 */
export class Independence {
  readonly #computer: Computer;
  /** of each instruction of each program */
  readonly #footprints: Footprint[][];
  readonly #futures: Footprint[][] = [];
  readonly #deviceFutures: Footprint[][] = [];
  /** the instruction that makes the n-th store of a program */
  readonly #instructionOf: number[][] = [];
  readonly #words = new Map<number, number>();
  readonly #slots = new Map<number, number>();

  /** address and size of each entry that the STT may come to have */
  readonly #entries: { vaLow: number; size: number }[] = [];

  constructor(computer: Computer) {
    this.#computer = computer;
    // Sets of entries and of blocks are the bits of a number.
    if (computer.plan.sttEntries > 32 || computer.plan.blocks > 32)
      throw new Error('a machine that is explored has at most 32 entries of the table, and 32 blocks');
    const { pages } = computer.plan.shape;
    for (const { va, size = 0 } of pages) this.#entries.push({ vaLow: low(va), size });
    for (const { va, size = 0 } of pages) {
      for (let piece = 0; size > 0 && piece < blocksOf(size); piece++) {
        this.#entries.push({ vaLow: low(va) + piece * BLOCK_BYTES, size: 0 });
      }
    }
    for (const { transfers } of computer.bridge.devices)
      for (const { block, word } of transfers) this.#word(block, word);
    const { plan } = computer;
    for (const program of plan.shape.programs) {
      for (const instruction of program.instructions) this.#register(instruction);
    }
    this.#footprints = plan.shape.programs.map(({ instructions }) =>
      instructions.map((instruction) => this.#footprint(instruction)),
    );
    for (const [unit, program] of plan.shape.programs.entries()) {
      const futures: Footprint[] = [nothing()];
      for (const footprint of [...this.#footprints[unit]!].reverse()) {
        futures.unshift(union(footprint, futures[0]!));
      }
      this.#futures.push(futures);
      this.#instructionOf.push(
        program.instructions.flatMap(({ kind }, index) => {
          if (kind === 'block-store') return new Array<number>(plan.lineWords).fill(index);
          return kind === 'store' || kind === 'swap' ? [index] : [];
        }),
      );
    }
    for (const { transfers } of computer.bridge.devices) {
      const futures: Footprint[] = [nothing()];
      for (const { block, word } of [...transfers].reverse()) {
        const one = {
          ...nothing(),
          any: true,
          writes: 1 << this.#word(block, word),
          blocks: this.#block(block),
        };
        futures.unshift(union(one, futures[0]!));
      }
      this.#deviceFutures.push(futures);
    }
  }

  /** Whether an access can be noticed by nobody at all. */
  isPrivate(op: number, a: number, b: number): boolean {
    switch (op) {
      // The table is the snapshot program's to write; handlers only read it.
      case Op.sttRead:
      // The storage, the log and the map are read by nobody else.
      case Op.imageWord:
      case Op.logWord:
      case Op.mapRead:
      case Op.mapClear:
      case Op.listed:
      case Op.clock:
        return true;
      case Op.copyWord:
        return !this.#words.has(a * BLOCK_BYTES + b) && this.#tsbSlot(a, b) === 0;
      default:
        return false;
    }
  }

  /**
   * The words of the state that can differ between two states at one position of the engine. What nobody but the
   * snapshot program writes is the same in all of them, as it follows from where the engine is and which blocks
   * the copy map shows as copied.
   */
  varying(): number[] {
    const { layout, memory, plan, places } = this.#computer;
    const same = new Set<number>();
    const hotWords = new Set([...this.#words.keys()].map((key) => key % BLOCK_BYTES));
    for (let block = plan.firstBlock + plan.tableBlocks; block < plan.firstBlock + plan.blocks; block++) {
      for (let word = 0; word < plan.wordsPerBlock; word++) {
        if (this.#words.has(block * BLOCK_BYTES + word) || block === plan.mapBlock) continue;
        const offset = (block - plan.firstBlock) * plan.wordsPerBlock + word;
        same.add(memory.at(block, word)).add(places.witness + offset);
        if (plan.variants.storage !== 'log') same.add(places.storage + offset);
      }
    }
    const rooms = plan.variants.pages === 'split' ? 0 : places.stagingBlocks;
    for (let at = 0; at < 3 * rooms * plan.wordsPerBlock; at++) {
      const word = at % plan.wordsPerBlock;
      const table = word < plan.wordsPerBlock && plan.tableBlocks > 0;
      if (!hotWords.has(word) && !table) same.add(places.staging + at);
    }
    return Array.from({ length: layout.words }, (_, at) => at).filter((at) => !same.has(at));
  }

  /** The actors to be tried before an access, in the machine's present state, as bits; -1: all. */
  before(op: number, a: number, b: number): number {
    const { processors, bridge } = this.#computer;
    const units = processors.length + bridge.devices.length;
    let chosen = 0;
    for (let unit = 0; unit < units; unit++) if (this.#notices(unit, op, a, b)) chosen |= 1 << unit;
    for (let grown = chosen; grown !== 0; ) {
      grown = 0;
      for (let unit = 0; unit < units; unit++) {
        if ((chosen & (1 << unit)) !== 0) continue;
        const future = this.#future(unit);
        for (let other = 0; other < units; other++) {
          if ((chosen & (1 << other)) !== 0 && this.#meets(future, other)) grown |= 1 << unit;
        }
      }
      chosen |= grown;
    }
    let actors = 0;
    for (let unit = 0; unit < units; unit++) {
      if ((chosen & (1 << unit)) === 0) continue;
      actors |= unit < processors.length ? 3 << (2 * unit) : 1 << (processors.length + unit);
    }
    return actors;
  }

  /** When the engine is done: the actors of one unit that no other can meet, as bits; -1: all. */
  alone(): number {
    const { processors, bridge } = this.#computer;
    const units = processors.length + bridge.devices.length;
    for (let unit = 0; unit < units; unit++) {
      const actors = unit < processors.length ? 3 << (2 * unit) : 1 << (processors.length + unit);
      if (!this.#canAct(actors)) continue;
      let met = false;
      for (let other = 0; other < units && !met; other++) {
        met = other !== unit && this.#meets(this.#future(other), unit);
      }
      if (!met) return actors;
    }
    return -1;
  }

  #canAct(actors: number): boolean {
    for (let actor = 0; actor < this.#computer.actors; actor++) {
      if ((actors & (1 << actor)) !== 0 && this.#computer.canAct(actor)) return true;
    }
    return false;
  }

  /** Whether what a processor or device may still do and an access can't be exchanged unnoticed. */
  #notices(unit: number, op: number, a: number, b: number): boolean {
    const { processors, plan, places, state } = this.#computer;
    const future = this.#future(unit);
    if (!future.any) return false;
    switch (op) {
      case Op.sttWrite:
      case Op.sttLock:
        return (future.entries & (1 << a)) !== 0;
      case Op.sttSplit:
      case Op.sttJoin:
        return future.entries !== 0;
      case Op.tsbRead:
      case Op.tsbWrite:
      case Op.tsbClear:
        return (future.slots & this.#slotsOf(a)) !== 0;
      case Op.quiesce:
        // It changes nothing: it only waits.
        return unit === a && !processors[a]!.interruptible;
      case Op.demap:
        return unit === a && ((future.entries & (1 << b)) !== 0 || !processors[a]!.interruptible);
      case Op.stop:
      case Op.go:
      case Op.held:
        return unit === a;
      case Op.takeTrap:
        return unit === a && this.#mayWait(unit, future, -1);
      case Op.slotOpen:
      case Op.slotClose:
        return unit === processors.length + a;
      case Op.wake:
        return this.#mayWait(unit, future, rangeBits(a - plan.firstBlock, b));
      case Op.copyWord:
        if ((future.slots & this.#tsbSlot(a, b)) !== 0) return true;
        return (future.writes & (1 << (this.#words.get(a * BLOCK_BYTES + b) ?? 31))) !== 0;
      case Op.stored:
      case Op.destroyed:
        return (future.blocks & this.#block(a)) !== 0;
      case Op.mapWrite: {
        const changed = b ^ state.words[places.map + a]!;
        const firstBit = (plan.firstBlock % 32) - a * 32;
        return (future.blocks & (firstBit >= 0 ? changed >>> firstBit : changed << -firstBit)) !== 0;
      }
      case Op.active:
      case Op.removing:
        return future.removes;
      default:
        return true;
    }
  }

  /** Whether a processor waits for one of these blocks, or may come to while the snapshot program stands still. */
  #mayWait(unit: number, future: Footprint, blocks: number): boolean {
    const { processors, tables, plan } = this.#computer;
    const processor = processors[unit];
    if (processor === undefined) return false;
    if (future.removes || processor.phase === Phase.wait) return (future.blocks & blocks) !== 0;
    if ((future.blocks & blocks) === 0) return false;
    for (let entry = 0; entry < plan.sttEntries; entry++) {
      if ((future.entries & (1 << entry)) !== 0 && (tables.dataLow(entry) & SAVED_W) !== 0) return true;
    }
    return false;
  }

  /** Whether the next steps of a unit meet what another may still do. */
  #meets(future: Footprint, unit: number): boolean {
    const next = this.#next(unit);
    if ((next.slots & future.slots) !== 0) return true;
    return (next.writes & (future.reads | future.writes)) !== 0 || (next.reads & future.writes) !== 0;
  }

  #future(unit: number): Footprint {
    const { processors, bridge } = this.#computer;
    const processor = processors[unit];
    if (processor === undefined) {
      const slot = unit - processors.length;
      const begun = bridge.begun(slot) - (bridge.inFlight(slot) ? 1 : 0);
      return this.#deviceFutures[slot]![begun]!;
    }
    const { pc, buffered, landed } = processor;
    const oldest = buffered > 0 ? Math.min(pc, this.#instructionOf[unit]![landed]!) : pc;
    return this.#futures[unit]![oldest]!;
  }

  #next(unit: number): Footprint {
    const { processors, bridge } = this.#computer;
    const processor = processors[unit];
    const next = nothing();
    if (processor === undefined) {
      const slot = unit - processors.length;
      if (bridge.inFlight(slot)) {
        const { block, word } = bridge.devices[slot]!.transfers[bridge.begun(slot) - 1]!;
        next.writes |= 1 << this.#word(block, word);
      }
      return next;
    }
    if (processor.buffered > 0) {
      const { block, word } = processor.oldestStore();
      next.writes |= 1 << this.#word(block, word);
    }
    const instruction = processor.program.instructions[processor.pc];
    if (instruction === undefined) return next;
    const all = this.#footprints[unit]![processor.pc]!;
    const { phase } = processor;
    if (phase === Phase.ready || phase === Phase.tsb || phase === Phase.protection) next.slots = all.slots;
    if (phase === Phase.ready && instruction.kind !== 'store' && instruction.kind !== 'block-store') {
      next.reads = all.reads;
      next.writes |= all.writes;
    }
    if (phase === Phase.remove) next.writes |= all.writes;
    return next;
  }

  /** What one instruction may touch, in whatever context: an address has one meaning or several. */
  #footprint(instruction: Instruction): Footprint {
    const { kind, va = 0n } = instruction;
    const one = { ...nothing(), any: true, removes: kind === 'remove' };
    if (['barrier', 'switch', 'event'].includes(kind)) return one;
    const writes = ['store', 'swap', 'block-store', 'remove', 'destroy'].includes(kind);
    for (const { entry, block, word } of this.#meanings(va)) {
      one.entries |= 1 << entry;
      one.slots |= this.#slotsOf(entry);
      for (const each of this.#wordsOf(kind, word)) {
        const bit = 1 << this.#word(block, each);
        one.reads |= bit;
        if (writes) one.writes |= bit;
      }
      if (writes) one.blocks |= this.#block(block);
    }
    return one;
  }

  #register(instruction: Instruction): void {
    const { kind, va = 0n } = instruction;
    if (['barrier', 'switch', 'event'].includes(kind)) return;
    for (const { block, word } of this.#meanings(va))
      for (const each of this.#wordsOf(kind, word)) this.#word(block, each);
  }

  #wordsOf(kind: Instruction['kind'], word: number): number[] {
    const { wordsPerBlock, lineWords } = this.#computer.plan;
    if (kind === 'remove' || kind === 'destroy')
      return Array.from({ length: wordsPerBlock }, (_, index) => index);
    return Array.from({ length: kind === 'block-store' ? lineWords : 1 }, (_, index) => word + index);
  }

  /** The entries of the STT that may translate an address: the page's own, and the piece it is split into. */
  #meanings(va: bigint): { entry: number; block: number; word: number }[] {
    const { plan } = this.#computer;
    const meanings: { entry: number; block: number; word: number }[] = [];
    let spare = plan.shape.pages.length;
    for (const [index, page] of plan.shape.pages.entries()) {
      const count = blocksOf(page.size ?? 0);
      const offset = Number(va - page.va);
      if (offset >= 0 && offset < count * BLOCK_BYTES) {
        const piece = offset >>> 13;
        const place = { block: plan.firstBlock + page.block + piece, word: (offset % BLOCK_BYTES) / 4 };
        meanings.push({ entry: index, ...place });
        if (count > 1 && plan.variants.pages === 'split') meanings.push({ entry: spare + piece, ...place });
      }
      if (count > 1 && plan.variants.pages === 'split') spare += count;
    }
    return meanings;
  }

  /** The places of the TSB that an entry of the STT may fill: pages of another size never match there. */
  #slotsOf(entry: number): number {
    const { tables, plan } = this.#computer;
    const page = this.#entries[entry]!;
    let bits = 0;
    for (const context of plan.tsbContexts.length === 0 ? [0] : plan.tsbContexts) {
      const at = tables.tsbPlace(page.vaLow, context, page.size);
      if (at >= 0) bits |= 1 << numberOf(this.#slots, at);
    }
    return bits;
  }

  /** The place of the TSB that a word of memory belongs to, if a handler ever fills it. */
  #tsbSlot(block: number, word: number): number {
    const { memory, tables } = this.#computer;
    const offset = memory.at(block, word) - tables.place.tsbOffset;
    const slot = this.#slots.get(tables.place.tsbOffset + offset - (offset % TSB_ENTRY_WORDS));
    return offset < 0 || slot === undefined ? 0 : 1 << slot;
  }

  #word(block: number, word: number): number {
    return numberOf(this.#words, block * BLOCK_BYTES + word);
  }

  #block(block: number): number {
    return 1 << (block - this.#computer.plan.firstBlock);
  }
}

/** Numbers things as they come, up to 31; all further ones share a bit. */
function numberOf(numbers: Map<number, number>, thing: number): number {
  let number = numbers.get(thing);
  if (number === undefined) {
    number = Math.min(31, numbers.size);
    numbers.set(thing, number);
  }
  return number;
}

function rangeBits(first: number, count: number): number {
  return count >= 32 ? -1 : ((1 << count) - 1) << first;
}

function nothing(): Footprint {
  return { entries: 0, slots: 0, reads: 0, writes: 0, blocks: 0, any: false, removes: false };
}

function union(one: Footprint, other: Footprint): Footprint {
  return {
    entries: one.entries | other.entries,
    slots: one.slots | other.slots,
    reads: one.reads | other.reads,
    writes: one.writes | other.writes,
    blocks: one.blocks | other.blocks,
    any: one.any || other.any,
    removes: one.removes || other.removes,
  };
}
