import type { SnapshotStorage } from './storage.ts';

export interface MemoryStorageOptions {
  /** how many blocks a slot holds, 4 if not said */
  readonly slotBlocks?: number;
  /** how many slots only urgent calls get, 1 if not said */
  readonly reserve?: number;
  /** where the staging memory comes from */
  readonly supply?: (bytes: number) => Uint8Array;
}

/**
 * Snapshot storage in memory: small images, tests, and the shape that a storage has. Room is given out in slots of
 * one size, so that running out of it can be had at will.
 */
export class MemoryStorage implements SnapshotStorage {
  readonly staging: Uint8Array;
  readonly largestOpen: number;
  /** what was stored so far, by block */
  readonly blocks: Map<number, Uint8Array> = new Map();
  readonly #blockBytes: number;
  readonly #reserve: number;
  readonly #free: number[] = [];
  readonly #closing: number[] = [];
  /** `false` keeps closed room from coming back: a storage that stands still */
  flowing = true;

  /** @param slots how many times room can be open at once */
  constructor(blockBytes: number, slots: number, options: MemoryStorageOptions = {}) {
    this.#blockBytes = blockBytes;
    this.largestOpen = options.slotBlocks ?? 4;
    this.#reserve = options.reserve ?? 1;
    const supply = options.supply ?? ((bytes: number) => new Uint8Array(bytes));
    this.staging = supply(slots * this.largestOpen * blockBytes);
    for (let slot = slots - 1; slot >= 0; slot--) this.#free.push(slot * this.largestOpen * blockBytes);
  }

  /** how many slots are free, the reserve included */
  get free(): number {
    return this.#free.length;
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
      // Whoever still looked at it would read rubbish, and a test would see that.
      this.staging.fill(0xee, slot, slot + this.largestOpen * this.#blockBytes);
      this.#free.push(slot);
    }
  }
}
