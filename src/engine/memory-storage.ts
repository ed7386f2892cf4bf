import type { SnapshotStorage } from './storage.ts';

/**
 * Snapshot storage in memory: small images, tests, and the shape that a storage has. Room is given out as from a
 * pool of single blocks' size, so that running out of it can be had at will.
 */
export class MemoryStorage implements SnapshotStorage {
  readonly staging: Uint8Array;
  readonly largestOpen: number;
  /** content of each block stored so far; `undefined` bytes are zeros */
  readonly blocks: Map<number, Uint8Array> = new Map();
  readonly #blockBytes: number;
  readonly #reserve: number;
  readonly #free: number[] = [];
  readonly #closing: number[] = [];
  /** `false` keeps closed room from coming back: a storage that stands still */
  flowing = true;

  constructor(blockBytes: number, slots: number, options: { slotBlocks?: number; reserve?: number } = {}) {
    this.#blockBytes = blockBytes;
    this.largestOpen = options.slotBlocks ?? 4;
    this.#reserve = options.reserve ?? 1;
    this.staging = new Uint8Array(slots * this.largestOpen * blockBytes);
    for (let slot = slots - 1; slot >= 0; slot--) this.#free.push(slot * this.largestOpen * blockBytes);
  }

  open(count: number, urgent: boolean): number {
    if (count > this.largestOpen || this.#free.length <= (urgent ? 0 : this.#reserve)) return -1;
    return this.#free.pop()!;
  }

  store(first: number, count: number, offset: number): void {
    for (let block = 0; block < count; block++) {
      const start = offset + block * this.#blockBytes;
      this.blocks.set(first + block, this.staging.slice(start, start + this.#blockBytes));
    }
  }

  storeZero(first: number, count: number): void {
    for (let block = 0; block < count; block++)
      this.blocks.set(first + block, new Uint8Array(this.#blockBytes));
  }

  close(offset: number): void {
    this.#closing.push(offset);
  }

  pump(): void {
    if (!this.flowing) return;
    for (let slot = this.#closing.pop(); slot !== undefined; slot = this.#closing.pop()) {
      this.staging.fill(0xee, slot, slot + this.largestOpen * this.#blockBytes);
      this.#free.push(slot);
    }
  }
}
