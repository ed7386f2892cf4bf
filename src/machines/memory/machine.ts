import type { Capabilities, Machine, Outcome, RangeSink, TrapBatch, TrapKind } from '../../engine/machine.ts';
import { RangeList } from '../../engine/range-list.ts';
import { Blocks, GONE_BEFORE_T0, GONE_SINCE_T0 } from './blocks.ts';
import { VirtualClock } from './clock.ts';
import { type Store, Writer } from './writer.ts';

/** A part of the memory machine's memory. */
export interface MemoryRegion {
  readonly first: number;
  readonly count: number;
  /** how it is captured: armed; inside the hold; or swept without protection, and lost where it is written before */
  readonly kind: 'armed' | 'held' | 'open';
  /** blocks that are protected and released as one; a power of two */
  readonly granule: number;
  /** something past the protection writes here too: what is copied after T0 can't be vouched for */
  readonly shared?: boolean;
}

/** What one attempt to write or to remove led to. */
export type WriteResult = 'done' | 'waits' | 'stopped';

/** So large a region that appeared since the last survey is protected in the hold; a smaller one is copied. */
const PROTECT_FROM_BLOCKS = 4;
/** What the copy of one block costs in virtual time. */
const COPY_NS = 500;

/**
 * The smallest machine: memory in an array, with writers that go through `write`. It is the one to read first,
 * and what the engine's own tests run on.
 *
 * All that a machine may do to the engine it does: writers trap while it is armed, some can't be stopped until
 * their trap is served or at all, regions appear while it runs, ranges are destroyed, told or not, and nothing can be
 * protected or released while somebody waits to destroy.
 */
export class MemoryMachine implements Machine {
  readonly name: string = 'memory';
  readonly capabilities: Capabilities;
  readonly blockBytes: number;
  readonly blocks: Blocks;
  readonly clock: VirtualClock = new VirtualClock();
  /** the memory as it stood at T0, for tests that ask for it */
  atT0: Uint8Array | undefined;
  /** hears of each store when it lands */
  onStore: (writerId: number, store: Store) => void = () => {};

  readonly #regions: MemoryRegion[] = [];
  readonly #writers = new Map<number, Writer>();
  readonly #untold: { first: number; count: number; kind: TrapKind }[] = [];
  /** discarded since the last survey, and with it their protection */
  #discarded = new RangeList();
  /** the writers that the hold has not stopped yet */
  #toStop: Writer[] = [];
  /** a hold was abandoned, and some may yet stop for it */
  #lettingGo = false;
  #surveyed = 0;
  #attached = false;
  #held = false;

  constructor(blocks: number, options: { blockBytes?: number; liveArming?: boolean } = {}) {
    this.blockBytes = options.blockBytes ?? 64;
    this.capabilities = { liveArming: options.liveArming ?? true, removeTraps: true };
    this.blocks = new Blocks(blocks, this.blockBytes);
  }

  // What a program on this machine does ---------------------------------------------------------------------

  /** Brings a region into being; allowed at any time outside the hold. */
  addRegion(region: MemoryRegion): void {
    this.#regions.push(region);
  }
  get regions(): readonly MemoryRegion[] {
    return this.#regions;
  }

  /** Makes a store, or waits in front of a protected block until it is released. */
  write(writerId: number, store: Store): WriteResult {
    const writer = this.#writer(writerId);
    if (writer.stopped) return 'stopped';
    if (writer.waits !== undefined) return 'waits';
    return this.#store(writer, store);
  }

  /** Empties a range of whole granules, as `madvise(DONTNEED)` does: told first, done when acknowledged. */
  remove(writerId: number, first: number, count: number): WriteResult {
    const writer = this.#writer(writerId);
    if (writer.stopped) return 'stopped';
    if (writer.waits !== undefined) return 'waits';
    if (!this.#attached) {
      this.blocks.discard(first, count);
      return 'done';
    }
    writer.waits = { for: 'removal', first, count };
    this.#untold.push({ first, count, kind: 'remove' });
    return 'waits';
  }

  /** Destroys a range of whole granules without a word, as `munmap` does. Stores to it lead nowhere. */
  destroy(first: number, count: number): void {
    this.blocks.destroy(first, count, this.atT0 === undefined ? GONE_BEFORE_T0 : GONE_SINCE_T0);
    this.#wake(first, count);
  }

  /** Writes past the protection, as a device does. */
  writePast(address: number, value: number): void {
    this.blocks.store(address, value);
  }

  /** Puts a writer to sleep where nothing can stop it, or wakes it. */
  stick(writerId: number, stuck: boolean): void {
    const writer = this.#writer(writerId);
    writer.stuck = stuck;
    this.#stopIfItCan(writer);
  }

  /** whether a writer stands in front of a protected block, or of a removal */
  waits(writerId: number): boolean {
    return this.#writer(writerId).waits !== undefined;
  }
  get anyProtected(): boolean {
    return this.blocks.firstProtected >= 0;
  }
  get anyStopped(): boolean {
    return [...this.#writers.values()].some((writer) => writer.stopped);
  }

  // The contract ----------------------------------------------------------------------------------------------

  /** A region at a time. */
  survey(found: RangeSink): boolean {
    this.#attached = true;
    const region = this.#regions[this.#surveyed];
    if (region !== undefined) {
      this.#surveyed++;
      if (region.kind === 'armed') found.add(region.first, region.count);
    }
    if (this.#surveyed < this.#regions.length) return false;
    for (const { first, count } of this.#discarded) found.add(first, count);
    this.#discarded = new RangeList();
    return true;
  }

  protect(first: number, count: number): boolean {
    if (this.#isRemoving) return false;
    this.blocks.protect(first, count);
    return true;
  }

  forecastPause(noted: number): number {
    return noted * COPY_NS;
  }

  beginHold(): void {
    this.#lettingGo = false;
    this.#toStop = [...this.#writers.values()];
  }

  /** Each look stops one more writer; the others run on until then, as threads do until they see the signal. */
  continueHold(): 'holding' | 'held' {
    const next = this.#toStop.pop();
    if (next !== undefined) {
      next.stopping = true;
      this.#stopIfItCan(next);
    }
    if (this.#toStop.length > 0) return 'holding';
    for (const writer of this.#writers.values()) if (!writer.stopped) return 'holding';
    this.#held = true;
    this.blocks.rememberWrites();
    this.atT0 = this.blocks.bytes.slice();
    return 'held';
  }

  abandonHold(): void {
    this.#toStop = [];
    this.#held = false;
    this.#lettingGo = true;
    this.#letGoStopped();
  }

  initial(found: RangeSink, armed: RangeSink, open: RangeSink): void {
    for (const [index, { first, count, kind }] of this.#regions.entries()) {
      if (kind === 'open') open.add(first, count);
      else if (kind === 'held') found.add(first, count);
      else if (index >= this.#surveyed && count >= PROTECT_FROM_BLOCKS) {
        this.protect(first, count);
        armed.add(first, count);
      } else if (index >= this.#surveyed) {
        found.add(first, count);
      }
    }
    for (const { first, count } of this.#discarded) this.protect(first, count);
  }

  resume(): void {
    this.#held = false;
    this.#toStop = [];
    for (const writer of this.#writers.values()) this.#goOn(writer);
  }

  takeTraps(traps: TrapBatch, timeoutNs: number): void {
    traps.length = 0;
    if (this.#lettingGo) this.#letGoStopped();
    while (this.#untold.length > 0 && traps.length < traps.capacity) {
      const { first, count, kind } = this.#untold.shift()!;
      traps.add(first, count, kind);
    }
    if (traps.length === 0) this.clock.pass(timeoutNs);
  }

  acknowledge(first: number, count: number): void {
    for (const writer of this.#writers.values()) {
      const { waits } = writer;
      if (waits?.for !== 'removal' || waits.first !== first || waits.count !== count) continue;
      this.blocks.discard(first, count);
      if (this.atT0 === undefined) this.#lostProtection(first, count);
      this.#served(writer);
      return;
    }
  }

  release(first: number, count: number): boolean {
    if (this.#isRemoving) return false;
    this.#letGo(first, count);
    return true;
  }

  granule(block: number): number {
    return this.#regionOf(block)?.granule ?? 1;
  }

  copy(first: number, count: number, staging: Uint8Array, offset: number, outcome: Outcome): void {
    for (let block = first; block < first + count; block++) {
      this.clock.pass(COPY_NS);
      const gone = this.blocks.gone(block);
      const content = this.blocks.content(block);
      if (gone === GONE_BEFORE_T0) outcome.add(block, 1, 'absent');
      else if (gone === GONE_SINCE_T0 || this.#wasOverwritten(block)) outcome.add(block, 1, 'lost');
      else if (content.every((byte) => byte === 0)) outcome.add(block, 1, 'zero');
      else {
        staging.set(content, offset + (block - first) * this.blockBytes);
        const vouched = this.#held || !(this.#regionOf(block)?.shared ?? false);
        outcome.add(block, 1, vouched ? 'content' : 'unreliable');
      }
    }
  }

  disarm(): boolean {
    const next = this.blocks.firstProtected;
    if (next >= 0) {
      this.release(next, this.granule(next));
      return false;
    }
    this.#detach();
    return true;
  }

  [Symbol.dispose](): void {
    this.#letGo(0, this.blocks.count);
    this.resume();
    this.#detach();
  }

  // ---------------------------------------------------------------------------------------------------------------

  #writer(id: number): Writer {
    let writer = this.#writers.get(id);
    if (writer === undefined) {
      writer = new Writer(id);
      this.#writers.set(id, writer);
    }
    return writer;
  }

  /** Like the kernel's, the protection stands as it is while somebody waits to be let on to remove memory. */
  get #isRemoving(): boolean {
    return [...this.#writers.values()].some(({ waits }) => waits?.for === 'removal');
  }

  #letGo(first: number, count: number): void {
    this.blocks.release(first, count);
    this.#wake(first, count);
  }

  #regionOf(block: number): MemoryRegion | undefined {
    return this.#regions.find(({ first, count }) => block >= first && block < first + count);
  }

  #wasOverwritten(block: number): boolean {
    return this.#regionOf(block)?.kind === 'open' && this.blocks.written(block);
  }

  #store(writer: Writer, store: Store): WriteResult {
    const block = this.blocks.blockOf(store.address);
    writer.woken = false;
    if (this.blocks.isProtected(block)) {
      writer.waits = { for: 'store', store };
      const granule = this.granule(block);
      this.#untold.push({ first: block - (block % granule), count: granule, kind: 'write' });
      return 'waits';
    }
    this.blocks.store(store.address, store.value);
    this.onStore(writer.id, store);
    this.#served(writer);
    return 'done';
  }

  /** It has what it waited for. */
  #served(writer: Writer): void {
    writer.waits = undefined;
    this.#stopIfItCan(writer);
  }

  /** Who was asked to stop and could not yet has to stop first. */
  #letGoStopped(): void {
    for (const writer of this.#writers.values()) if (writer.stopped) this.#goOn(writer);
  }

  #goOn(writer: Writer): void {
    writer.stopped = false;
    writer.stopping = false;
    if (writer.woken && writer.waits?.for === 'store') this.#store(writer, writer.waits.store);
  }

  #stopIfItCan(writer: Writer): void {
    if (writer.stopping && writer.canStop) writer.stopped = true;
  }

  /** Who waits in front of the range tries again: at once, or when it is no longer stopped. */
  #wake(first: number, count: number): void {
    for (const writer of this.#writers.values()) {
      if (writer.waits?.for !== 'store') continue;
      const { store } = writer.waits;
      const block = this.blocks.blockOf(store.address);
      if (block < first || block >= first + count) continue;
      if (writer.stopped && !store.inKernel) writer.woken = true;
      else this.#store(writer, store);
    }
  }

  /** Discarded before T0: what was armed of the range has to be found again. */
  #lostProtection(first: number, count: number): void {
    for (const region of this.#regions.slice(0, this.#surveyed)) {
      if (region.kind !== 'armed') continue;
      const from = Math.max(first, region.first);
      const stop = Math.min(first + count, region.first + region.count);
      if (from < stop) this.#discarded.add(from, stop - from);
    }
  }

  /** Nothing is told any more: removals that wait for their acknowledgement are done. */
  #detach(): void {
    this.#attached = false;
    this.#untold.length = 0;
    for (const writer of this.#writers.values()) {
      if (writer.waits?.for !== 'removal') continue;
      this.blocks.discard(writer.waits.first, writer.waits.count);
      this.#served(writer);
    }
    // Who was asked to stop and has not been able to has no need to any more.
    for (const writer of this.#writers.values()) this.#goOn(writer);
  }
}
