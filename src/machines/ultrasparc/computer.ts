import { BLOCK_BYTES, blocksOf, high, low } from './address.ts';
import { IoBridge, SLOT_WORDS } from './io-bridge.ts';
import { Memory } from './memory.ts';
import type { Observer } from './observer.ts';
import { Processor, processorWords } from './processor.ts';
import { type Page, type Plan, planOf, type Shape } from './shape.ts';
import { Layout, State } from './state.ts';
import { TranslationTables } from './translation-tables.ts';
import { type PackedTte, pack } from './tte.ts';

/** What the storage holds before a snapshot where `content=random`: seen in an image, it was never written. */
const RANDOM = 0x5eed_0000;
/** words on both sides of the snapshot storage that nobody may write */
export const GUARD_WORDS = 2;
/** a record of the log: mark, block, checksum, content */
export const RECORD_HEAD_WORDS = 3;
/** rooms of the staging memory, and blocks of each */
export const STAGING_ROOMS = 3;

/** Where the parts of the snapshot program's memory stand in the state. */
export interface Places {
  readonly map: number;
  readonly storage: number;
  readonly storageWords: number;
  readonly logLength: number;
  readonly staging: number;
  readonly stagingBlocks: number;
  readonly active: number;
  readonly instant: number;
  readonly event: number;
  readonly clock: number;
  readonly destroyed: number;
  readonly witness: number;
}

/**
 * The computer system 10 of Figure 1: processors, main memory 16, snapshot memory 17, I/O bridge 18 and devices,
 * with a program on each processor.
 */
export class Computer {
  readonly plan: Plan;
  readonly state: State;
  readonly layout: Layout = new Layout();
  readonly memory: Memory;
  readonly tables: TranslationTables;
  readonly processors: readonly Processor[];
  readonly bridge: IoBridge;
  readonly places: Places;
  /** the staging memory, as the engine hands it back and forth */
  readonly staging: Uint8Array;
  #observer: Observer | undefined;

  constructor(shape: Shape, options: { witnessWords?: (plan: Plan) => number } = {}) {
    const plan = planOf(shape);
    this.plan = plan;
    const { layout } = this;
    const partition = plan.variants.storage === 'partition';
    const memoryBlocks = plan.blocks + (partition ? plan.storageBlocks : 0);
    const memoryAt = layout.take('memory', memoryBlocks * plan.wordsPerBlock + (partition ? GUARD_WORDS : 0));
    this.places = this.#places(memoryAt, options.witnessWords?.(plan) ?? 0);
    const processorsAt = plan.shape.programs.map((_, index) =>
      layout.take(`processor ${index}`, processorWords(plan)),
    );
    const bridgeAt = layout.take('bridge', (plan.shape.devices ?? []).length * SLOT_WORDS);
    this.state = new State(layout.words);
    const { staging, stagingBlocks } = this.places;
    const stagingBytes = STAGING_ROOMS * stagingBlocks * plan.wordsPerBlock * 4;
    this.staging = new Uint8Array(this.state.words.buffer, staging * 4, stagingBytes);
    this.memory = new Memory(this.state, memoryAt, plan.firstBlock, memoryBlocks, plan.wordsPerBlock);
    this.#fill();
    this.tables = this.#makeTables();
    const around = {
      state: this.state,
      memory: this.memory,
      tables: this.tables,
      activeAt: this.places.active,
      destroyedAt: this.places.destroyed,
      instantAt: this.places.instant,
      eventAt: this.places.event,
    };
    this.processors = plan.shape.programs.map(
      (program, index) => new Processor(around, processorsAt[index]!, plan, index, program),
    );
    const devices = (plan.shape.devices ?? []).map((device) => ({
      transfers: device.transfers.map((one) => ({ ...one, block: one.block + plan.firstBlock })),
    }));
    this.bridge = new IoBridge(this.state, bridgeAt, this.memory, devices);
  }

  get observer(): Observer | undefined {
    return this.#observer;
  }
  set observer(observer: Observer | undefined) {
    this.#observer = observer;
    this.bridge.observer = observer;
    for (const processor of this.processors) processor.observer = observer;
  }

  /** Whether every program and every device is done. */
  get done(): boolean {
    return (
      this.processors.every((one) => one.done) &&
      this.bridge.devices.every((_, slot) => this.bridge.done(slot))
    );
  }

  // The actors: 2n a processor's next step, 2n+1 its store buffer, then the devices -----------------------------------

  get actors(): number {
    return this.processors.length * 2 + this.bridge.devices.length;
  }
  canAct(actor: number): boolean {
    const processor = this.processors[actor >> 1];
    if (processor === undefined) return this.bridge.canStep(actor - this.processors.length * 2);
    return (actor & 1) === 0 ? processor.canStep() : processor.canDrain();
  }
  act(actor: number): void {
    const processor = this.processors[actor >> 1];
    if (processor === undefined) this.bridge.step(actor - this.processors.length * 2);
    else if ((actor & 1) === 0) processor.step();
    else processor.drain();
  }
  nameOf(actor: number): string {
    const processor = actor >> 1;
    if (processor >= this.processors.length) return `device ${actor - this.processors.length * 2}`;
    return (actor & 1) === 0 ? `processor ${processor}` : `store buffer ${processor}`;
  }

  /** The word that the storage holds in a place before the snapshot. */
  contentBefore(at: number): number {
    return this.plan.variants.content === 'random' ? (RANDOM + Math.imul(at, 0x9e37_79b1)) >>> 0 : 0;
  }

  #places(memoryAt: number, witnessWords: number): Places {
    const { layout, plan } = this;
    const { wordsPerBlock, blocks, variants } = plan;
    const inMemory = variants.map === 'copied' || variants.map === 'apart';
    const mapName = variants.map === 'mmu' ? 'copy map in the MMU' : 'copy map memory';
    const map = inMemory
      ? memoryAt + (plan.mapBlock - plan.firstBlock) * wordsPerBlock
      : layout.take(mapName, plan.mapWords);
    const record = wordsPerBlock + (variants.storage === 'log' ? RECORD_HEAD_WORDS : 0);
    const storageWords = plan.storageBlocks * record;
    const storage =
      variants.storage === 'partition'
        ? memoryAt + blocks * wordsPerBlock
        : layout.take('snapshot storage', storageWords + 2 * GUARD_WORDS) + GUARD_WORDS;
    const largest = Math.max(1, ...plan.shape.pages.map((page) => blocksOf(page.size ?? 0)));
    const stagingBlocks = Math.min(largest, 8);
    return {
      map,
      storage,
      storageWords,
      logLength: layout.take('log length', 1),
      staging: layout.take('staging', STAGING_ROOMS * stagingBlocks * wordsPerBlock),
      stagingBlocks,
      active: layout.take('snapshot runs', 1),
      instant: layout.take('T0 has been', 1),
      event: layout.take('event', 1),
      clock: layout.take('clock', 1),
      destroyed: layout.take('destroyed', blocks),
      witness: layout.take('witness', witnessWords),
    };
  }

  /** Fills memory with content that differs from word to word, and the storage with what was there before. */
  #fill(): void {
    const { plan, memory, state, places } = this;
    for (let block = plan.firstBlock; block < plan.firstBlock + plan.blocks; block++) {
      for (let word = 0; word < plan.wordsPerBlock; word++)
        memory.write(block, word, initialWord(block, word));
    }
    const guards = plan.variants.storage === 'partition' ? 0 : GUARD_WORDS;
    for (let at = places.storage - guards; at < places.storage + places.storageWords + GUARD_WORDS; at++) {
      state.words[at] = this.contentBefore(at);
    }
    if (plan.variants.map !== 'copied' && plan.variants.map !== 'apart') {
      state.words.fill(0xffff_ffff, places.map, places.map + plan.mapWords);
    }
  }

  #makeTables(): TranslationTables {
    const { plan, memory } = this;
    const sttOffset = memory.at(plan.firstBlock, 0);
    const tables = new TranslationTables(this.state, {
      sttOffset,
      sttEntries: plan.sttEntries,
      tsbOffset: sttOffset + plan.sttEntries * 4,
      tsbEntries: plan.tsbEntries,
      tsbContexts: plan.tsbContexts,
    });
    const words = plan.sttEntries * 4 + plan.tsbEntries * 4 * Math.max(1, plan.tsbContexts.length);
    this.state.words.fill(0, sttOffset, sttOffset + words);
    for (const [index, page] of plan.shape.pages.entries()) {
      const [, , dataHigh, dataLow] = entryOf(page, plan.firstBlock);
      tables.setEntry(index, [high(page.va), low(page.va)], page.context ?? 0, [dataHigh, dataLow]);
    }
    return tables;
  }
}

/** What a word of memory holds before any program ran; every word its own value. */
export function initialWord(block: number, word: number): number {
  return ((block + 1) * 0x0001_0000 + word * 4 + 0x1000_0000) >>> 0;
}

/** The entry of the STT for a page, in the two words of Figure 8. */
function entryOf(page: Page, firstBlock: number): PackedTte {
  const { va, block, context = 0, size = 0, writable = true, cacheable = true } = page;
  return pack({
    global: page.global ?? false,
    context,
    vaTag: (va >> 22n) & 0x3ff_ffff_ffffn,
    valid: true,
    size,
    noFaultOnly: page.noFaultOnly ?? false,
    invertEndianness: page.invertEndianness ?? false,
    soft2: 0,
    diag: 0,
    pageNumber: firstBlock + block,
    soft: 0,
    locked: page.locked ?? false,
    cacheablePhysical: cacheable,
    cacheableVirtual: cacheable,
    sideEffect: page.sideEffect ?? false,
    privileged: page.privileged ?? false,
    writable,
  });
}

/** Bytes of a block that exist. */
export function blockBytesOf(plan: Plan): number {
  return Math.min(BLOCK_BYTES, plan.wordsPerBlock * 4);
}
