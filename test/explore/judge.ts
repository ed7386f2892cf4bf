import { blocksOf } from '../../src/machines/ultrasparc/address.ts';
import type { Computer } from '../../src/machines/ultrasparc/computer.ts';
import { GUARD_WORDS } from '../../src/machines/ultrasparc/computer.ts';
import type { Instruction, Program } from '../../src/machines/ultrasparc/instruction.ts';
import { exportLog, rebuild } from '../../src/machines/ultrasparc/log.ts';
import type { Observer } from '../../src/machines/ultrasparc/observer.ts';
import type { Plan } from '../../src/machines/ultrasparc/shape.ts';
import type { storedContent } from '../../src/machines/ultrasparc/storage.ts';
import { SAVED_W, sizeOf, V, W } from '../../src/machines/ultrasparc/tte.ts';

// flags of a block, one word each, after the content of T0
const KEPT = 1;
const UNRELIABLE = 2;
const LOST = 4;
/** destroyed without a word before it was kept */
const GONE = 8;

interface Place {
  readonly block: number;
  readonly word: number;
}

/** A store as it must reach memory. */
interface Expected extends Place {
  readonly value: number;
}

/** A list of blocks, as the engine has them. */
interface Blocks {
  has(block: number): boolean;
}

/**
 * Says whether what happens is right, at the moment that it happens. What it has to remember (the content at T0,
 * what was kept) stands in the machine's state, in the section "witness", so that it is explored along with it.
 */
export class Judge implements Observer {
  /** the first thing that went wrong since it was last taken */
  wrong: string | undefined;
  readonly #computer: Computer;
  readonly #content: typeof storedContent;
  readonly #plan: Plan;
  readonly #stores: Expected[][];
  /** where each instruction reads, by processor and instruction */
  readonly #reads: (Place | undefined)[][];
  readonly #initial: Uint32Array;

  /** Words of the witness. */
  static words(plan: Plan): number {
    return plan.blocks * (plan.wordsPerBlock + 1) + 2 * plan.shape.programs.length;
  }

  constructor(computer: Computer, content: typeof storedContent) {
    this.#computer = computer;
    this.#content = content;
    this.#plan = computer.plan;
    this.#stores = computer.plan.shape.programs.map((program) => storesOf(computer.plan, program));
    this.#reads = computer.plan.shape.programs.map((program) => readsOf(computer.plan, program));
    this.#initial = computer.state.words.slice();
    computer.observer = this;
  }

  take(): string | undefined {
    const { wrong } = this;
    this.wrong = undefined;
    return wrong;
  }

  // What happens ------------------------------------------------------------------------------------------------------

  processorWrote(processor: number, block: number, order: number): void {
    const expected = this.#stores[processor]![order];
    const { memory } = this.#computer;
    if (expected === undefined) this.#say(`processor ${processor} made a store more than its program has`);
    else if (expected.block !== block || memory.read(block, expected.word) !== expected.value)
      this.#say(`store ${order} of processor ${processor} is not the one that is next in its program`);
    if (!this.#inSnapshot(block)) return;
    // Written to after it was copied. Its indication may follow: S4 sets W first, and only then the copy map.
    if (!this.#has(block, KEPT | LOST))
      this.#say(`processor ${processor} wrote to block ${block}, which is not copied`);
  }

  /** What is read is read from where it stands without a snapshot; so what registers get is what memory has. */
  processorRead(processor: number, pc: number, block: number, word: number): void {
    const expected = this.#reads[processor]![pc];
    if (expected?.block !== block || expected.word !== word)
      this.#say(
        `instruction ${pc} of processor ${processor} read block ${block}, which is not where its page is`,
      );
  }

  deviceWrote(slot: number, block: number): void {
    const { dma } = this.#plan.variants;
    if (!this.#inSnapshot(block) || dma !== 'suspend') return;
    if (!this.#has(block, KEPT)) this.#say(`device ${slot} wrote to block ${block}, which is not copied`);
  }

  destroyed(processor: number, block: number): void {
    if (!this.#inSnapshot(block) || this.#has(block, KEPT | LOST)) return;
    const { pc, program } = this.#computer.processors[processor]!;
    if (program.instructions[pc]!.kind === 'destroy') this.#set(block, GONE);
    else this.#say(`processor ${processor} was let to throw block ${block} away, which is not copied`);
  }

  multipleMatch(processor: number): void {
    this.#say(`a TLB of processor ${processor} has two entries for one address`);
  }

  programWrote(block: number): void {
    const { tables } = this.#computer;
    if (block === this.#plan.mapBlock && this.#inMemory()) {
      for (let entry = 0; entry < this.#plan.sttEntries; entry++) {
        const maps = tables.pageNumber(entry) === block && (tables.dataHigh(entry) & V) !== 0;
        if (maps && (tables.dataLow(entry) & SAVED_W) !== 0)
          this.#say(
            'the snapshot program writes to the copy map while its page is not writable: it waits for itself',
          );
      }
    }
    if (this.#inSnapshot(block) && !this.#has(block, KEPT))
      this.#say(`the snapshot program wrote to block ${block}, which is not copied`);
  }

  storageWrote(at: number): void {
    const { places } = this.#computer;
    const { firstBlock, wordsPerBlock, variants } = this.#plan;
    const offset = at - places.storage;
    const block = firstBlock + Math.floor(offset / wordsPerBlock);
    const outside = offset < 0 || offset >= places.storageWords;
    if (outside || (variants.storage !== 'log' && this.#leftOut(block)))
      this.#say(`the snapshot storage was written outside its place, at word ${offset}`);
  }

  stored(block: number): void {
    if (this.#has(block, KEPT)) this.#say(`block ${block} was stored twice`);
    this.#set(block, KEPT);
    const content = this.#content(this.#computer, block);
    if (content === undefined) this.#say(`block ${block} has no record`);
    else if (!this.#has(block, UNRELIABLE) && !this.#isOfT0(block, content))
      this.#say(`block ${block} in the snapshot is not as it was at T0`);
  }

  listed(block: number, as: 'unreliable' | 'lost'): void {
    this.#set(block, as === 'lost' ? LOST : UNRELIABLE);
    if (as === 'lost' && !this.#has(block, GONE)) this.#say(`block ${block} is listed as lost and is not`);
    if (as === 'unreliable' && !this.#plan.dmaBlocks.includes(block))
      this.#say(`block ${block} is listed as unreliable, and no device writes it`);
  }

  marked(firstBlock: number, before: number, after: number): void {
    if ((before & ~after) !== 0) this.#say('a copied indication was taken back');
    for (let bit = 0; bit < 32; bit++) {
      if ((after & ~before & (1 << bit)) === 0) continue;
      const block = firstBlock + bit;
      const known = block >= this.#plan.firstBlock && block < this.#plan.firstBlock + this.#plan.blocks;
      if (!known || !(this.#has(block, KEPT) || this.#has(block, LOST)))
        this.#say(`block ${block} is indicated as copied and is not`);
    }
  }

  instant(): void {
    const { state, places, memory } = this.#computer;
    const from = memory.at(this.#plan.firstBlock, 0);
    const words = this.#plan.blocks * this.#plan.wordsPerBlock;
    state.words.copyWithin(places.witness, from, from + words);
  }

  // What must hold between two steps of the engine --------------------------------------------------------------------

  /** At rest a block is indicated as copied if and only if it is, and nobody waits for one that is. */
  atRest(): void {
    if (!this.#running()) return;
    for (let block = this.#plan.firstBlock; block < this.#plan.firstBlock + this.#plan.blocks; block++) {
      const copied = this.#has(block, KEPT) || this.#has(block, LOST);
      if (this.#bit(block) !== copied) this.#say(`block ${block}: copied ${copied}, indicated ${!copied}`);
    }
    this.#patience();
  }

  /**
   * Who was told of is served in the same step, and nobody waits for more than the copy of the block: but where nobody
   * can be let go, because somebody waits to remove memory, until a step after that.
   */
  #patience(): void {
    const { processors, state } = this.#computer;
    if (processors.some((processor) => processor.removing)) return;
    for (const { waitsFor, told, number } of processors) {
      if (told && waitsFor >= 0 && this.#bit(waitsFor) && state.words[this.#excuseOf(number)] === 0)
        this.#say(`processor ${number} waits for block ${waitsFor}, which is copied`);
    }
  }

  /** Those who wait now are excused until they have been looked at twice: in this step, and after the next try. */
  refused(): void {
    for (const { waitsFor, told, number } of this.#computer.processors)
      if (told && waitsFor >= 0) this.#computer.state.words[this.#excuseOf(number)] = 2;
  }

  asked(processor: number): void {
    const at = this.#excuseOf(processor);
    this.#computer.state.words[at] = this.#computer.state.words[at]! >> 1;
  }

  /** After a turn that serves: nobody waits still who waited before it, unless nobody can be let go. */
  afterServing(): void {
    const { processors, state, places } = this.#computer;
    if (state.words[places.active] !== 1 || processors.some((processor) => processor.removing)) return;
    for (const { waitsFor, number } of processors) {
      const waited = waitsFor >= 0 && state.words[this.#waitOf(number)] === waitsFor + 1;
      if (waited && state.words[this.#excuseOf(number)] === 0)
        this.#say(`processor ${number} waits for block ${waitsFor} and is not served`);
    }
  }

  /** Remembers who waits between two turns. */
  noteWaiting(): void {
    const { processors, state } = this.#computer;
    for (const { waitsFor, number } of processors) state.words[this.#waitOf(number)] = waitsFor + 1;
  }

  /** What the engine itself lists at the end, which is all that a user gets to see. */
  atLists(unreliable: Blocks, lost: Blocks): void {
    const { firstBlock, blocks, dmaBlocks, variants } = this.#plan;
    const marks = variants.dma === 'mark' || variants.dma === 'fast';
    for (let block = firstBlock; block < firstBlock + blocks; block++) {
      if (unreliable.has(block) !== (marks && dmaBlocks.includes(block)))
        this.#say(`block ${block} is unreliable and not listed so, or the other way round`);
      if (lost.has(block) !== this.#has(block, LOST))
        this.#say(`block ${block} is lost and not listed so, or the other way round`);
    }
  }

  #waitOf(processor: number): number {
    return this.#excuseOf(processor) + this.#plan.shape.programs.length;
  }

  #excuseOf(processor: number): number {
    const { blocks, wordsPerBlock } = this.#plan;
    return this.#computer.places.witness + blocks * (wordsPerBlock + 1) + processor;
  }

  /** After the end, and when every program is done. */
  atEnd(): void {
    const computer = this.#computer;
    const plan = this.#plan;
    const { state, places, tables, bridge } = computer;
    for (let block = plan.firstBlock; block < plan.firstBlock + plan.blocks; block++) this.#accounted(block);
    const from = tables.entry(0);
    for (let at = from; at < tables.entry(plan.sttEntries); at++) {
      if (state.words[at] !== this.#initial[at])
        this.#say(`the translation table is not as it was: word ${at - from}`);
    }
    for (const slot of bridge.devices.keys())
      if (bridge.isOpen(slot) === 0) this.#say(`slot ${slot} is closed`);
    if (state.words[places.active] !== 0) this.#say('the snapshot is over and still on');
    for (const [index, stores] of this.#stores.entries()) {
      const { landed, stopped } = computer.processors[index]!;
      if (landed !== stores.length) this.#say(`processor ${index} made ${landed} of ${stores.length} stores`);
      if (stopped) this.#say(`processor ${index} is stopped`);
    }
    this.#grants();
    this.#guards();
    if (plan.variants.storage === 'log') this.#log();
  }

  /** The log as a file is read again: by its marks and checksums, and not by where the records are known to stand. */
  #log(): void {
    const { firstBlock, blocks } = this.#plan;
    const all = Array.from({ length: blocks }, (_, index) => firstBlock + index);
    const leftOut = all.filter((block) => this.#leftOut(block));
    const { content, damaged, missing } = rebuild(exportLog(this.#computer, { leftOut, unreliable: [] }));
    if (damaged.length > 0) this.#say(`the log has ${damaged.length} records that can't be read`);
    for (const block of missing) if (!this.#has(block, LOST)) this.#say(`block ${block} is not in the log`);
    for (const [block, words] of content) {
      if (!this.#has(block, UNRELIABLE) && !this.#isOfT0(block, words))
        this.#say(`block ${block} in the log is not as it was at T0`);
    }
  }

  #accounted(block: number): void {
    const content = this.#content(this.#computer, block);
    if (this.#leftOut(block)) {
      const untouched = content === undefined || this.#untouched(block, content);
      if (!untouched) this.#say(`block ${block} is left out, and its place was written`);
    } else if (this.#has(block, LOST)) {
      if (this.#has(block, KEPT)) this.#say(`block ${block} is lost and kept`);
    } else if (!this.#has(block, KEPT)) {
      this.#say(`block ${block} is not in the snapshot`);
    } else if (content === undefined || (!this.#has(block, UNRELIABLE) && !this.#isOfT0(block, content))) {
      this.#say(`block ${block} in the snapshot is not as it was at T0`);
    }
  }

  /** No TLB and no TSB grants what the table does not. (That one denies what it grants, its handler repairs.) */
  #grants(): void {
    const { tables, processors, state } = this.#computer;
    for (const { dataTlb, number } of processors) {
      dataTlb.forEach((at) => {
        const [vaHigh, vaLow, context] = [state.words[at]!, state.words[at + 1]!, state.words[at + 2]!];
        const index = tables.find(vaHigh, vaLow, context);
        const granted = index < 0 ? 0 : tables.dataLow(index) & W;
        if ((state.words[at + 4]! & W & ~granted) !== 0)
          this.#say(`the TLB of processor ${number} grants too much`);
      });
    }
    tables.forEachTsbEntry((at) => {
      const granted = this.#grantedTo(state.words[at]!, state.words[at + 1]!, state.words[at + 2]!);
      if ((state.words[at + 3]! & W & ~granted) !== 0) this.#say('a TSB grants too much');
    });
  }

  /** W of the table's entry for which a TSB has this tag. */
  #grantedTo(tagHigh: number, tagLow: number, dataHigh: number): number {
    const { tables } = this.#computer;
    for (let index = 0; index < this.#plan.sttEntries; index++) {
      const [vaHigh, vaLow] = [tables.vaHigh(index), tables.vaLow(index)];
      const same = (tagHigh & 0x3ff) === vaHigh >>> 22 && tagLow === ((vaHigh << 10) | (vaLow >>> 22)) >>> 0;
      const global = (tagHigh & V) !== 0;
      const mine = global || ((tagHigh >>> 16) & 0x1fff) === tables.contextOf(index);
      // The tag has no VA<21:13>: which page of those 4 MiB it is, its place says; any that is granted will do here.
      if (
        same &&
        mine &&
        sizeOf(dataHigh) === sizeOf(tables.dataHigh(index)) &&
        (tables.dataLow(index) & W) !== 0
      )
        return W;
    }
    return 0;
  }

  #guards(): void {
    const computer = this.#computer;
    const { places, state } = computer;
    const end = places.storage + places.storageWords;
    const before = this.#plan.variants.storage === 'partition' ? 0 : GUARD_WORDS;
    for (let word = 0; word < GUARD_WORDS; word++) {
      const atEnd = end + word;
      const atStart = places.storage - before + word;
      const bad = state.words[atEnd] !== computer.contentBefore(atEnd);
      if (bad || (before > 0 && state.words[atStart] !== computer.contentBefore(atStart)))
        this.#say('the snapshot storage was written outside its place');
    }
  }

  // Small things ------------------------------------------------------------------------------------------------------

  #say(what: string): void {
    this.wrong ??= what;
  }

  #running(): boolean {
    const { state, places } = this.#computer;
    return state.words[places.instant] === 1 && state.words[places.active] === 1;
  }

  /** whether T0 has been, the snapshot runs, and the block is part of it */
  #inSnapshot(block: number): boolean {
    return this.#running() && !this.#leftOut(block);
  }

  #leftOut(block: number): boolean {
    const { mapBlock, dmaBlocks, variants, firstBlock, blocks } = this.#plan;
    if (block >= firstBlock + blocks) return true;
    return (
      (variants.map === 'apart' && block === mapBlock) ||
      (variants.dma === 'exclude' && dmaBlocks.includes(block))
    );
  }

  #inMemory(): boolean {
    const { map } = this.#plan.variants;
    return map === 'copied' || map === 'apart';
  }

  #bit(block: number): boolean {
    const { state, places } = this.#computer;
    const bit = block - (this.#plan.firstBlock - (this.#plan.firstBlock % 32));
    return (state.words[places.map + (bit >>> 5)]! & (1 << (bit & 31))) !== 0;
  }

  #flagsAt(block: number): number {
    const { blocks, wordsPerBlock, firstBlock } = this.#plan;
    return this.#computer.places.witness + blocks * wordsPerBlock + block - firstBlock;
  }
  #has(block: number, flag: number): boolean {
    return (this.#computer.state.words[this.#flagsAt(block)]! & flag) !== 0;
  }
  #set(block: number, flag: number): void {
    const at = this.#flagsAt(block);
    this.#computer.state.words[at] = this.#computer.state.words[at]! | flag;
  }

  #isOfT0(block: number, content: Uint32Array): boolean {
    const { wordsPerBlock, firstBlock } = this.#plan;
    const at = this.#computer.places.witness + (block - firstBlock) * wordsPerBlock;
    for (let word = 0; word < wordsPerBlock; word++) {
      if (content[word] !== this.#computer.state.words[at + word]) return false;
    }
    return true;
  }

  #untouched(block: number, content: Uint32Array): boolean {
    const at = this.#computer.places.storage + (block - this.#plan.firstBlock) * this.#plan.wordsPerBlock;
    return content.every((value, word) => value === this.#computer.contentBefore(at + word));
  }
}

/** The stores of a program in its order, each with the physical place that it must reach. */
function storesOf(plan: Plan, program: Program): Expected[] {
  const stores: Expected[] = [];
  let context = program.context ?? 0;
  for (const instruction of program.instructions) {
    if (instruction.kind === 'switch') context = instruction.context ?? 0;
    if (!['store', 'swap', 'block-store'].includes(instruction.kind)) continue;
    const place = translate(plan, context, instruction, program.supervisor ?? false);
    if (place === undefined) continue;
    const count = instruction.kind === 'block-store' ? plan.lineWords : 1;
    for (let index = 0; index < count; index++) {
      stores.push({ block: place.block, word: place.word + index, value: (instruction.value ?? 0) + index });
    }
  }
  return stores;
}

/** Of each instruction of a program, where it reads if no snapshot is taken; undefined where it reads nothing. */
function readsOf(plan: Plan, program: Program): (Place | undefined)[] {
  let context = program.context ?? 0;
  return program.instructions.map((instruction) => {
    if (instruction.kind === 'switch') context = instruction.context ?? 0;
    if (!['load', 'load-no-fault', 'fetch'].includes(instruction.kind)) return undefined;
    return translate(plan, context, instruction, program.supervisor ?? false, true);
  });
}

/** Where a store goes if no snapshot is taken; undefined where it is refused. */
function translate(
  plan: Plan,
  context: number,
  { va = 0n }: Instruction,
  supervisor: boolean,
  reads = false,
): Place | undefined {
  for (const page of plan.shape.pages) {
    const bytes = BigInt(blocksOf(page.size ?? 0)) * 8192n;
    if (va < page.va || va >= page.va + bytes || (!page.global && (page.context ?? 0) !== context)) continue;
    if ((page.writable === false && !reads) || (page.privileged === true && !supervisor)) return undefined;
    const offset = Number(va - page.va);
    return { block: plan.firstBlock + page.block + (offset >>> 13), word: (offset & 8191) >>> 2 };
  }
  return undefined;
}
