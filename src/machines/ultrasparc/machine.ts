import type { Capabilities, Clock, Machine, Outcome, RangeSink, TrapBatch } from '../../engine/machine.ts';
import { blocksOf } from './address.ts';
import { type Bus, Op } from './bus.ts';
import { blockBytesOf } from './computer.ts';
import type { Plan } from './shape.ts';
import { SAVED_W, W } from './tte.ts';

/** A page as the snapshot program knows it: an entry of the STT and the blocks that it maps. */
interface MappedPage {
  readonly entry: number;
  readonly first: number;
  readonly count: number;
  /** where its entries of 8 KiB go when it is split, or -1 */
  readonly spare: number;
}

/**
 * The snapshot computer program 138 as far as it knows this computer: the engine has the method, this has the
 * accesses. It keeps nothing about the machine that it has not read from it, and reaches it by the bus alone.
 *
 * | step | here |
 * |---|---|
 * | S1 | survey: the large pages are split, if they are to be |
 * | S2 | beginHold, continueHold, protect: map reset, W cleared, DMA suspended; T0 is its end |
 * | S3 | initial, copy |
 * | S4 | release, then the copy map; the slots are open again before |
 * | S5 | takeTraps, copy, release |
 * | S6 | copy, release |
 * | S7 | disarm |
 */
export class UltrasparcMachine implements Machine {
  readonly name: string = 'ultrasparc';
  readonly blockBytes: number;
  readonly capabilities: Capabilities;
  readonly clock: Clock;

  readonly #bus: Bus;
  readonly #plan: Plan;
  readonly #processors: number;
  readonly #slots: number;
  /** of each entry of the STT, the contexts in whose TSBs it may stand */
  readonly #contexts: readonly (readonly number[])[];
  /** whether any program removes memory */
  readonly #removals: boolean;
  /** the pages as they were at first, and as they are: split or not */
  readonly #whole: readonly MappedPage[];
  #pages: readonly MappedPage[];
  #surveyed = false;
  /** S3 is over once something is released after T0; what traps release while the hold is sought is before it */
  #copied = false;
  /** slots that beginHold has closed */
  #closed: number[] = [];
  /** pages that disarm has looked at */
  #disarmed = 0;

  constructor(bus: Bus) {
    const { plan, processors, bridge } = bus.computer;
    this.#bus = bus;
    this.#plan = plan;
    this.blockBytes = blockBytesOf(plan);
    this.capabilities = { liveArming: plan.variants.arming === 'live', removeTraps: true };
    this.clock = { now: () => bus.access(Op.clock, 0, 0, 0) };
    this.#processors = processors.length;
    this.#slots = bridge.devices.length;
    this.#whole = pagesOf(plan);
    this.#pages = this.#whole;
    this.#contexts = tsbContextsOf(plan);
    this.#removals = plan.shape.programs.some(({ instructions }) =>
      instructions.some(({ kind }) => kind === 'remove'),
    );
  }

  // S1 ------------------------------------------------------------------------------------------------------------

  survey(found: RangeSink): boolean {
    if (this.#surveyed) return true;
    this.#surveyed = true;
    if (this.#plan.variants.start === 'event') this.#bus.access(Op.awaitEvent, 0, 0, 0);
    this.#bus.access(Op.active, 1, 0, 0);
    if (this.#plan.variants.pages === 'split') this.#split();
    const { firstBlock, blocks, variants } = this.#plan;
    const isArmed = (block: number): boolean =>
      (variants.arming === 'hold' || !this.#isInitial(block)) && !this.#isLeftOut(block);
    for (let block = firstBlock; block < firstBlock + blocks; ) {
      const granule = this.granule(block);
      const end = Math.min(firstBlock + blocks, block - (block % granule) + granule);
      const first = block;
      while (block < end && isArmed(block)) block++;
      if (block > first) found.add(first, block - first);
      else block++;
    }
    return true;
  }

  // S2 ------------------------------------------------------------------------------------------------------------

  /**
   * Clears W of every page that maps a block of the range, each alias its own, and keeps it in Soft<0>. Then no
   * miss handler may still hold what the table said before, or it would write it to the TSB; then the TSB; then
   * the TLBs, one cross call each: "UltraSPARC does not support bus-based demap" (Manual, section 6.9.10).
   */
  protect(first: number, count: number): boolean {
    if (this.#isRemoving()) return false;
    const changed = this.#pages.filter(
      (page) => overlaps(page, first, count) && this.#clearWritable(page.entry),
    );
    if (changed.length === 0) return true;
    this.#quiesce();
    for (const { entry } of changed) this.#updateTsb(entry);
    for (const { entry } of changed) this.#demap(entry, 0);
    return true;
  }

  forecastPause(noted: number): number {
    return noted;
  }

  beginHold(): void {
    for (let processor = 0; processor < this.#processors; processor++)
      this.#bus.access(Op.stop, processor, 0, 0);
    for (let word = 0; word < this.#plan.mapWords; word++) this.#bus.access(Op.mapClear, word, 0, 0);
    if (this.#plan.variants.dma !== 'suspend') return;
    for (let slot = 0; slot < this.#slots; slot++) {
      if (this.#bus.access(Op.slotClose, slot, 0, 0) === 1) this.#closed.push(slot);
    }
  }

  continueHold(): 'holding' | 'held' {
    for (let processor = 0; processor < this.#processors; processor++) {
      if (this.#bus.access(Op.held, processor, 0, 0) === 0) return 'holding';
    }
    return 'held';
  }

  abandonHold(): void {
    this.resume();
  }

  // S3 ------------------------------------------------------------------------------------------------------------

  initial(found: RangeSink, _swept: RangeSink): void {
    this.#bus.access(Op.instant, 0, 0, 0);
    this.#copied = true;
    const { firstBlock, blocks } = this.#plan;
    for (let block = firstBlock; block < firstBlock + blocks; block++) {
      if (this.#isInitial(block)) found.add(block, 1);
    }
  }

  copy(first: number, count: number, staging: Uint8Array, offset: number, outcome: Outcome): void {
    const { dma } = this.#plan.variants;
    for (let block = first; block < first + count; block++) {
      this.#copyWords(block, staging, offset + (block - first) * this.blockBytes);
      const lost = this.#bus.access(Op.destroyed, block, 0, 0) === 2;
      const unreliable = (dma === 'mark' || dma === 'fast') && this.#plan.dmaBlocks.includes(block);
      if (lost || unreliable) this.#bus.access(Op.listed, block, lost ? 1 : 0, 0);
      outcome.add(block, 1, lost ? 'lost' : unreliable ? 'unreliable' : 'content');
    }
  }

  // S4 ------------------------------------------------------------------------------------------------------------

  /** "At the end of step S3 ... IO DMA accesses are once again allowed by resetting the slot registers". */
  #openSlots(): void {
    for (const slot of this.#closed) this.#bus.access(Op.slotOpen, slot, 0, 0);
    this.#closed = [];
  }

  /** Sets W of the pages that lie in the range as a whole, and lets go who waits for them. */
  release(first: number, count: number): boolean {
    if (this.#isRemoving()) return false;
    if (this.#copied) this.#openSlots();
    for (const page of this.#pages) {
      if (page.first >= first && page.first + page.count <= first + count) this.#setWritable(page.entry);
    }
    this.#bus.access(Op.wake, first, count, 0);
    return true;
  }

  resume(): void {
    this.#openSlots();
    for (let processor = 0; processor < this.#processors; processor++)
      this.#bus.access(Op.go, processor, 0, 0);
  }

  // S5 ------------------------------------------------------------------------------------------------------------

  takeTraps(traps: TrapBatch, _timeoutNs: number): void {
    traps.length = 0;
    for (let processor = 0; processor < this.#processors && traps.length < traps.capacity; processor++) {
      const told = this.#bus.access(Op.takeTrap, processor, 0, 0) | 0;
      if (told === 0) continue;
      const block = Math.abs(told) - 1;
      const count = told < 0 ? 1 : this.granule(block);
      traps.add(block - (block % count), count, told < 0 ? 'remove' : 'write');
    }
  }

  acknowledge(first: number, count: number): void {
    this.#bus.access(Op.wake, first, count, 1);
  }

  granule(block: number): number {
    let largest = 1;
    for (const page of this.#pages) if (overlaps(page, block, 1)) largest = Math.max(largest, page.count);
    return largest;
  }

  // S7 ------------------------------------------------------------------------------------------------------------

  /** One page a call; at the end the large pages are put together and nothing waits any more. */
  disarm(): boolean {
    if (!this.#surveyed) return true;
    while (this.#disarmed < this.#pages.length) {
      const { entry, first, count } = this.#pages[this.#disarmed++]!;
      if (!this.#setWritable(entry)) continue;
      this.#bus.access(Op.wake, first, count, 0);
      return false;
    }
    this.#openSlots();
    if (this.#pages !== this.#whole) this.#join();
    this.#bus.access(Op.active, 0, 0, 0);
    const { firstBlock, blocks } = this.#plan;
    this.#bus.access(Op.wake, firstBlock, blocks, 0);
    this.#bus.access(Op.wake, firstBlock, blocks, 1);
    return true;
  }

  [Symbol.dispose](): void {
    this.#disarmed = 0;
    while (!this.disarm());
    this.resume();
  }

  // What a block is -------------------------------------------------------------------------------------------------

  /** Copied in S3: the translation tables, which the snapshot program itself writes, the kernel, and as chosen. */
  #isInitial(block: number): boolean {
    const { firstBlock, tableBlocks, kernelBlocks, mapBlock, dmaBlocks, variants } = this.#plan;
    if (block < firstBlock + tableBlocks) return true;
    if (block < firstBlock + kernelBlocks) return variants.kernel === 'initial';
    if (block === mapBlock && variants.map === 'copied') return true;
    return (
      (variants.dma === 'suspend' || variants.dma === 'fast' || variants.dma === 'risk') &&
      dmaBlocks.includes(block)
    );
  }

  #isLeftOut(block: number): boolean {
    const { mapBlock, dmaBlocks, variants } = this.#plan;
    return (
      (block === mapBlock && variants.map === 'apart') ||
      (variants.dma === 'exclude' && dmaBlocks.includes(block))
    );
  }

  // Accesses in their order -------------------------------------------------------------------------------------------

  /** As on Linux: while somebody waits to be let on to remove memory, the protection stands as it is. */
  #isRemoving(): boolean {
    return this.#removals && this.#bus.access(Op.removing, 0, 0, 0) === 1;
  }

  /** W := 0 in the STT; false where it is so already, or was never granted. */
  #clearWritable(entry: number): boolean {
    const dataLow = this.#bus.access(Op.sttRead, entry, 0, 0);
    if ((dataLow & W) === 0) return false;
    this.#bus.access(Op.sttWrite, entry, ((dataLow & ~W) | SAVED_W) >>> 0, 0);
    return true;
  }

  /** W := 1 in STT and TSB, and out of the TLBs with what they hold; false where W was not taken from it. */
  #setWritable(entry: number): boolean {
    const dataLow = this.#bus.access(Op.sttRead, entry, 0, 0);
    if ((dataLow & SAVED_W) === 0) return false;
    this.#bus.access(Op.sttWrite, entry, ((dataLow & ~SAVED_W) | W) >>> 0, 0);
    this.#updateTsb(entry);
    this.#demap(entry, 0);
    return true;
  }

  /** In each TSB that may hold it: where each process has its own, a global page may stand in all of them. */
  #updateTsb(entry: number): void {
    for (const context of this.#contexts[entry]!) {
      if (this.#bus.access(Op.tsbRead, entry, context, 0) === 0) continue;
      const dataLow = this.#bus.access(Op.sttRead, entry, 0, 0);
      this.#bus.access(Op.tsbWrite, entry, dataLow, context);
    }
  }

  /** Waits until no processor is in a miss handler that began before. */
  #quiesce(): void {
    for (let processor = 0; processor < this.#processors; processor++)
      this.#bus.access(Op.quiesce, processor, 0, 0);
  }

  /** W stands in the data MMU alone ("read as zero" in the I-MMU), so that its TLB is enough for W. */
  #demap(entry: number, side: 0 | 1): void {
    for (let processor = 0; processor < this.#processors; processor++)
      this.#bus.access(Op.demap, processor, entry, side);
  }

  /** Into the machine's own staging memory word by word, or into that of a storage that is not part of it. */
  #copyWords(block: number, staging: Uint8Array, offset: number): void {
    const own = staging === this.#bus.computer.staging;
    if (!own) this.#bus.elsewhere = wordsOf(staging);
    for (let word = 0; word < this.#plan.wordsPerBlock; word++) {
      const at = offset / 4 + word;
      this.#bus.access(Op.copyWord, block, word, own ? at : -1 - at);
    }
  }

  // Large pages ---------------------------------------------------------------------------------------------------------

  /** Replaces each large page's entry by entries of 8 KiB. Both never translate at once: locked between. */
  #split(): void {
    const pages: MappedPage[] = [];
    for (const page of this.#whole) {
      if (page.spare < 0) {
        pages.push(page);
        continue;
      }
      this.#takeApart([page.entry]);
      this.#bus.access(Op.sttSplit, page.entry, page.spare, 0);
      for (let piece = 0; piece < page.count; piece++) {
        pages.push({ entry: page.spare + piece, first: page.first + piece, count: 1, spare: -1 });
      }
    }
    this.#pages = pages;
  }

  #join(): void {
    for (const { entry, count, spare } of this.#whole) {
      if (spare < 0) continue;
      this.#takeApart(Array.from({ length: count }, (_, piece) => spare + piece));
      this.#bus.access(Op.sttJoin, entry, spare, 0);
    }
    this.#pages = this.#whole;
    this.#disarmed = this.#pages.length;
  }

  /** Locks entries of the STT, and removes every other trace of them. */
  #takeApart(entries: readonly number[]): void {
    for (const entry of entries) this.#bus.access(Op.sttLock, entry, 0, 0);
    this.#quiesce();
    for (const entry of entries) {
      for (const context of this.#contexts[entry]!) this.#bus.access(Op.tsbClear, entry, context, 0);
    }
    for (const entry of entries) {
      this.#demap(entry, 0);
      this.#demap(entry, 1);
    }
  }
}

function pagesOf(plan: Plan): MappedPage[] {
  let spare = plan.shape.pages.length;
  return plan.shape.pages.map(({ block, size = 0 }, entry) => {
    const count = blocksOf(size);
    const split = size > 0 && plan.variants.pages === 'split';
    const page = { entry, first: plan.firstBlock + block, count, spare: split ? spare : -1 };
    if (split) spare += count;
    return page;
  });
}

/** For each entry of the STT the contexts in whose TSBs it may stand. */
function tsbContextsOf({ shape, variants, tsbContexts }: Plan): (readonly number[])[] {
  const contexts = shape.pages.map(({ context = 0, global = false }) =>
    global && tsbContexts.length > 0 ? tsbContexts : [context],
  );
  const pieces = shape.pages.flatMap(({ size = 0 }, entry) =>
    size > 0 && variants.pages === 'split'
      ? Array.from({ length: blocksOf(size) }, () => contexts[entry]!)
      : [],
  );
  return [...contexts, ...pieces];
}

function overlaps(page: MappedPage, first: number, count: number): boolean {
  return page.first < first + count && first < page.first + page.count;
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}
