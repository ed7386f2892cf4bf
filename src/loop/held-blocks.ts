const BUCKET_BLOCKS_LOG2 = 6;

/**
 * Single blocks that wait in staging memory for their neighbours: what a trap has copied is written together with the
 * chunk around it when the sweep gets there. A slab of units, each for one block; no call allocates.
 *
 * A unit is free, open (being copied into), held (found by its block), or taken (a write from it is under way).
 */
export class HeldBlocks {
  readonly #free: Int32Array;
  #freeCount: number;
  /** the block in each held unit; -1 in others */
  readonly #blocks: Float64Array;
  /** held units by the chunk of their block: first of each list, and the next of each unit; -1 ends it */
  readonly #heads: Int32Array;
  readonly #next: Int32Array;
  #held = 0;
  #cursor = 0;

  constructor(units: number) {
    this.#free = Int32Array.from({ length: units }, (_, index) => units - 1 - index);
    this.#freeCount = units;
    this.#blocks = new Float64Array(units).fill(-1);
    this.#heads = new Int32Array(1 << Math.max(4, Math.ceil(Math.log2(units)) - 2)).fill(-1);
    this.#next = new Int32Array(units).fill(-1);
  }

  get units(): number {
    return this.#free.length;
  }
  get freeUnits(): number {
    return this.#freeCount;
  }
  /** how many blocks are held */
  get size(): number {
    return this.#held;
  }

  /** A free unit, open from now on, or -1. */
  open(): number {
    return this.#freeCount === 0 ? -1 : this.#free[--this.#freeCount]!;
  }

  /** The open or taken unit is free again. */
  free(unit: number): void {
    this.#free[this.#freeCount++] = unit;
  }

  /** The open unit holds `block`. */
  hold(unit: number, block: number): void {
    const bucket = this.#bucketOf(block);
    this.#blocks[unit] = block;
    this.#next[unit] = this.#heads[bucket]!;
    this.#heads[bucket] = unit;
    this.#held++;
  }

  /** Takes the unit that holds `block` out of what is held, or -1. */
  take(block: number): number {
    if (this.#held === 0) return -1;
    const bucket = this.#bucketOf(block);
    let before = -1;
    for (let unit = this.#heads[bucket]!; unit >= 0; unit = this.#next[unit]!) {
      if (this.#blocks[unit] === block) {
        if (before < 0) this.#heads[bucket] = this.#next[unit]!;
        else this.#next[before] = this.#next[unit]!;
        this.#blocks[unit] = -1;
        this.#held--;
        return unit;
      }
      before = unit;
    }
    return -1;
  }

  /** Whether `block` is held. */
  has(block: number): boolean {
    if (this.#held === 0) return false;
    for (let unit = this.#heads[this.#bucketOf(block)]!; unit >= 0; unit = this.#next[unit]!)
      if (this.#blocks[unit] === block) return true;
    return false;
  }

  /** The next unit from `unit` on that holds a block in front of `end`, or -1. */
  nextBelow(end: number, unit: number): number {
    if (this.#held === 0) return -1;
    for (let at = unit; at < this.#blocks.length; at++) {
      const block = this.#blocks[at]!;
      if (block >= 0 && block < end) return at;
    }
    return -1;
  }

  /** The block that a unit holds, or -1. */
  block(unit: number): number {
    return this.#blocks[unit]!;
  }

  /** The lowest block of some chunk that has blocks here, in turns, or -1. */
  any(): number {
    if (this.#held === 0) return -1;
    while (this.#heads[this.#cursor]! < 0) this.#cursor = (this.#cursor + 1) % this.#heads.length;
    let lowest = Number.POSITIVE_INFINITY;
    for (let unit = this.#heads[this.#cursor]!; unit >= 0; unit = this.#next[unit]!)
      lowest = Math.min(lowest, this.#blocks[unit]!);
    return lowest;
  }

  /** Blocks of one chunk of 64 share a bucket. */
  #bucketOf(block: number): number {
    return Math.floor(block / (1 << BUCKET_BLOCKS_LOG2)) % this.#heads.length;
  }
}
