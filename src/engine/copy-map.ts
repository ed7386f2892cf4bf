/**
 * One bit a block: copied or not ("copy map 140" of the method's first description).
 *
 * Sparse, because the blocks of a process spread over 2^35 numbers: leaves of 2^15 bits appear where a bit is
 * set. The bits live in memory that the machine may supply, a leaf at a time.
 */

const LEAF_BITS = 1 << 15;
const LEAF_WORDS = LEAF_BITS / 32;

/** The memory of one leaf: 32-bit words by number. A Uint32Array, or what looks like one to whoever counts accesses. */
export interface Leaf {
  [word: number]: number;
}

/** Supplies the memory of a leaf, zeroed: `words` words for the bits of the blocks from `firstBlock` on. */
export type LeafSupply = (words: number, firstBlock: number) => Leaf;

/** One allocation for so many leaves, of 32 GiB in blocks of 4 KiB: 1 MiB. */
const LEAVES_AT_ONCE = 256;

/**
 * Leaves cut from one large piece, which is there before the first is asked for: an ArrayBuffer of its own for each
 * took 0.2 ms, between T0 and the first trap. Filled, so that its pages are there: touching one takes 2 to 5 us.
 */
function fromHeap(): LeafSupply {
  let piece = new Uint32Array(LEAVES_AT_ONCE * LEAF_WORDS).fill(0);
  let used = 0;
  return (words) => {
    if (used + words > piece.length) {
      piece = new Uint32Array(LEAVES_AT_ONCE * LEAF_WORDS);
      used = 0;
    }
    used += words;
    return piece.subarray(used - words, used);
  };
}

/**
 * A sparse set of block numbers.
 *
 * @example
 * const map = new CopyMap();
 * map.set(34_359_738_367);
 * map.nextClear(34_359_738_367, 34_359_738_369); // 34_359_738_368
 */
export class CopyMap {
  readonly #supply: LeafSupply;
  readonly #leaves = new Map<number, Leaf>();
  #lastKey = -1;
  #lastLeaf: Leaf | undefined;
  #size = 0;

  constructor(supply: LeafSupply = fromHeap()) {
    this.#supply = supply;
  }

  /** how many bits are set */
  get size(): number {
    return this.#size;
  }

  has(block: number): boolean {
    const leaf = this.#leaf(Math.floor(block / LEAF_BITS));
    if (leaf === undefined) return false;
    const bit = block % LEAF_BITS;
    return (leaf[bit >>> 5]! & (1 << (bit & 31))) !== 0;
  }

  /** Sets a bit; false if it was set already. */
  set(block: number): boolean {
    const leaf = this.#leafToWrite(Math.floor(block / LEAF_BITS));
    const bit = block % LEAF_BITS;
    const word = leaf[bit >>> 5]!;
    const mask = 1 << (bit & 31);
    if ((word & mask) !== 0) return false;
    leaf[bit >>> 5] = word | mask;
    this.#size++;
    return true;
  }

  /** Clears a bit; false if it was clear already. */
  clear(block: number): boolean {
    const leaf = this.#leaf(Math.floor(block / LEAF_BITS));
    if (leaf === undefined) return false;
    const bit = block % LEAF_BITS;
    const word = leaf[bit >>> 5]!;
    const mask = 1 << (bit & 31);
    if ((word & mask) === 0) return false;
    leaf[bit >>> 5] = word & ~mask;
    this.#size--;
    return true;
  }

  /** Sets `count` bits from `first` on; returns how many were clear. */
  setRange(first: number, count: number): number {
    const before = this.#size;
    const end = first + count;
    let block = first;
    while (block < end) {
      const bit = block % LEAF_BITS;
      const leaf = this.#leafToWrite(Math.floor(block / LEAF_BITS));
      const stop = Math.min(LEAF_BITS, bit + (end - block));
      this.#size += fill(leaf, bit, stop);
      block += stop - bit;
    }
    return this.#size - before;
  }

  /** Clears `count` bits from `first` on; returns how many were set. Leaves that are not there stay away. */
  clearRange(first: number, count: number): number {
    const before = this.#size;
    const end = first + count;
    let block = first;
    while (block < end) {
      const bit = block % LEAF_BITS;
      const stop = Math.min(LEAF_BITS, bit + (end - block));
      const leaf = this.#leaf(Math.floor(block / LEAF_BITS));
      if (leaf !== undefined) this.#size -= drain(leaf, bit, stop);
      block += stop - bit;
    }
    return before - this.#size;
  }

  /** The first clear bit in [from, end), or `end`. */
  nextClear(from: number, end: number): number {
    let block = from;
    while (block < end) {
      const leaf = this.#leaf(Math.floor(block / LEAF_BITS));
      if (leaf === undefined) return block;
      const bit = block % LEAF_BITS;
      const stop = Math.min(LEAF_BITS, bit + (end - block));
      const found = scan(leaf, bit, stop, 0xffff_ffff);
      block += found - bit;
      if (found < stop) break;
    }
    return Math.min(block, end);
  }

  /** The first set bit in [from, end), or `end`. */
  nextSet(from: number, end: number): number {
    let block = from;
    while (block < end) {
      const leaf = this.#leaf(Math.floor(block / LEAF_BITS));
      const bit = block % LEAF_BITS;
      if (leaf === undefined) {
        block += LEAF_BITS - bit;
        continue;
      }
      const stop = Math.min(LEAF_BITS, bit + (end - block));
      const found = scan(leaf, bit, stop, 0);
      block += found - bit;
      if (found < stop) break;
    }
    return Math.min(block, end);
  }

  #leaf(key: number): Leaf | undefined {
    if (key === this.#lastKey) return this.#lastLeaf;
    const leaf = this.#leaves.get(key);
    if (leaf !== undefined) this.#remember(key, leaf);
    return leaf;
  }

  #leafToWrite(key: number): Leaf {
    let leaf = this.#leaf(key);
    if (leaf === undefined) {
      leaf = this.#supply(LEAF_WORDS, key * LEAF_BITS);
      this.#leaves.set(key, leaf);
      this.#remember(key, leaf);
    }
    return leaf;
  }

  #remember(key: number, leaf: Leaf): void {
    this.#lastKey = key;
    this.#lastLeaf = leaf;
  }
}

/** Sets bits [from, to) of a leaf, whole words at a time; returns how many were clear. */
function fill(leaf: Leaf, from: number, to: number): number {
  let added = 0;
  for (let bit = from; bit < to; ) {
    const index = bit >>> 5;
    const low = bit & 31;
    const high = Math.min(32, low + (to - bit));
    const mask = maskOf(low, high);
    const missing = mask & ~leaf[index]!;
    if (missing !== 0) {
      leaf[index] = leaf[index]! | mask;
      added += popCount(missing);
    }
    bit += high - low;
  }
  return added;
}

/** Clears bits [from, to) of a leaf, whole words at a time; returns how many were set. */
function drain(leaf: Leaf, from: number, to: number): number {
  let taken = 0;
  for (let bit = from; bit < to; ) {
    const index = bit >>> 5;
    const low = bit & 31;
    const high = Math.min(32, low + (to - bit));
    const there = maskOf(low, high) & leaf[index]!;
    if (there !== 0) {
      leaf[index] = leaf[index]! & ~there;
      taken += popCount(there);
    }
    bit += high - low;
  }
  return taken;
}

/** A word whose bits [low, high) are set. */
function maskOf(low: number, high: number): number {
  return (high === 32 ? 0xffff_ffff : (1 << high) - 1) & ~((1 << low) - 1);
}

/** The first bit in [from, stop) whose word differs from `skip` at that bit, or `stop`. Looks no further. */
function scan(leaf: Leaf, from: number, stop: number, skip: 0 | 0xffff_ffff): number {
  let index = from >>> 5;
  let wanted = ((leaf[index]! ^ skip) >>> (from & 31)) << (from & 31);
  while (wanted === 0) {
    index++;
    if (index * 32 >= stop) return stop;
    wanted = leaf[index]! ^ skip;
  }
  return Math.min(stop, index * 32 + (31 - Math.clz32(wanted & -wanted)));
}

function popCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555);
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  return (((bits + (bits >>> 4)) & 0x0f0f_0f0f) * 0x0101_0101) >>> 24;
}
