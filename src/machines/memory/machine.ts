import type { Capabilities, Machine, Outcome, RangeSink, TrapBatch } from '../../engine/machine.ts';
import { type Store, Writer } from './writer.ts';

/** What part of the memory machine's memory can be protected, and how. */
export interface MemoryRegion {
  readonly first: number;
  readonly count: number;
  /** `false`: it can only be copied inside the hold */
  readonly protectable: boolean;
  /** blocks that are protected and released as one; a power of two */
  readonly granule: number;
}

/** What one attempt to write led to. */
export type WriteResult = 'done' | 'waits' | 'stopped';

/**
 * The smallest machine: memory in an array, with writers that go through `write`. It is the one to read first,
 * and what the engine's own tests run on.
 *
 * All that a machine may do to the engine it does: writers trap while it is armed, some can't be stopped until
 * their trap is served, regions appear while it runs, ranges are destroyed.
 */
export class MemoryMachine implements Machine {
  readonly name: string = 'memory';
  readonly capabilities: Capabilities;
  readonly blockBytes: number;
  readonly memory: Uint8Array;
  /** the memory as it stood at T0, for tests that ask for it */
  atT0: Uint8Array | undefined;

  readonly #regions: MemoryRegion[] = [];
  readonly #protected: Uint8Array;
  readonly #destroyed: Uint8Array;
  readonly #writers = new Map<number, Writer>();
  readonly #untold: { first: number; count: number; kind: 'write' | 'remove' }[] = [];
  #surveyed = 0;

  constructor(blocks: number, options: { blockBytes?: number; liveArming?: boolean } = {}) {
    this.blockBytes = options.blockBytes ?? 64;
    this.capabilities = { liveArming: options.liveArming ?? true, removeTraps: true };
    this.memory = new Uint8Array(blocks * this.blockBytes);
    this.#protected = new Uint8Array(blocks);
    this.#destroyed = new Uint8Array(blocks);
  }

  // What a program on this machine does ---------------------------------------------------------------------

  /** Brings a region into being; allowed at any time outside the hold. */
  addRegion(region: MemoryRegion): void {
    this.#regions.push(region);
  }

  /** Makes a store, or waits in front of a protected block until it is released. */
  write(writerId: number, store: Store): WriteResult {
    const writer = this.#writer(writerId);
    if (writer.stopped) return 'stopped';
    if (writer.waitsFor !== undefined) return 'waits';
    const block = Math.floor(store.address / this.blockBytes);
    if (this.#protected[block] === 0) {
      this.memory[store.address] = store.value;
      return 'done';
    }
    writer.waitsFor = store;
    const granule = this.granule(block);
    this.#untold.push({ first: block - (block % granule), count: granule, kind: 'write' });
    return 'waits';
  }

  /** Destroys a range, as `madvise(DONTNEED)` does: told first, done when acknowledged. */
  remove(first: number, count: number): void {
    this.#untold.push({ first, count, kind: 'remove' });
  }

  /** Destroys a range without a word, as `munmap` does. */
  destroy(first: number, count: number): void {
    this.memory.fill(0, first * this.blockBytes, (first + count) * this.blockBytes);
    this.#protected.fill(0, first, first + count);
    this.#destroyed.fill(1, first, first + count);
  }

  /** whether a writer stands in front of a protected block */
  waits(writerId: number): boolean {
    return this.#writer(writerId).waitsFor !== undefined;
  }

  /** whether any block is write-protected */
  get anyProtected(): boolean {
    return this.#protected.includes(1);
  }

  /** whether any writer is stopped */
  get anyStopped(): boolean {
    return [...this.#writers.values()].some((writer) => writer.stopped);
  }

  // The contract ----------------------------------------------------------------------------------------------

  survey(found: RangeSink): void {
    for (; this.#surveyed < this.#regions.length; this.#surveyed++) {
      const region = this.#regions[this.#surveyed]!;
      if (region.protectable) found.add(region.first, region.count);
    }
  }

  protect(first: number, count: number): void {
    this.#protected.fill(1, first, first + count);
  }

  forecastPause(noted: number): number {
    return noted;
  }

  beginHold(): void {
    for (const writer of this.#writers.values()) writer.stopped = true;
  }

  continueHold(): 'holding' | 'held' {
    for (const writer of this.#writers.values()) if (!writer.held) return 'holding';
    this.atT0 = this.memory.slice();
    return 'held';
  }

  abandonHold(): void {
    this.resume();
  }

  initial(found: RangeSink): void {
    for (const [index, region] of this.#regions.entries()) {
      if (!region.protectable || index >= this.#surveyed) found.add(region.first, region.count);
    }
  }

  resume(): void {
    for (const writer of this.#writers.values()) writer.stopped = false;
  }

  takeTraps(traps: TrapBatch, _timeoutNs: number): void {
    traps.length = 0;
    while (this.#untold.length > 0 && traps.length < traps.capacity) {
      const { first, count, kind } = this.#untold.shift()!;
      traps.add(first, count, kind);
    }
  }

  acknowledge(first: number, count: number): void {
    // Like the kernel: the content goes, the protection of what was there goes with it.
    this.memory.fill(0, first * this.blockBytes, (first + count) * this.blockBytes);
  }

  release(first: number, count: number): void {
    this.#protected.fill(0, first, first + count);
    for (const writer of this.#writers.values()) this.#letThrough(writer);
  }

  granule(block: number): number {
    for (const region of this.#regions) {
      if (block >= region.first && block < region.first + region.count) return region.granule;
    }
    return 1;
  }

  copy(first: number, count: number, staging: Uint8Array, offset: number, outcome: Outcome): void {
    for (let block = first; block < first + count; block++) {
      if (this.#destroyed[block] === 1) {
        outcome.add(block, 1, 'lost');
        continue;
      }
      const start = block * this.blockBytes;
      staging.set(
        this.memory.subarray(start, start + this.blockBytes),
        offset + (block - first) * this.blockBytes,
      );
      outcome.add(block, 1, 'content');
    }
  }

  disarm(): boolean {
    const next = this.#protected.indexOf(1);
    if (next < 0) return true;
    this.release(next, 1);
    return false;
  }

  [Symbol.dispose](): void {
    this.release(0, this.#protected.length);
    this.resume();
  }

  #writer(id: number): Writer {
    let writer = this.#writers.get(id);
    if (writer === undefined) {
      writer = new Writer(id);
      this.#writers.set(id, writer);
    }
    return writer;
  }

  #letThrough(writer: Writer): void {
    const store = writer.waitsFor;
    if (store === undefined || this.#protected[Math.floor(store.address / this.blockBytes)] === 1) return;
    this.memory[store.address] = store.value;
    writer.waitsFor = undefined;
  }
}
