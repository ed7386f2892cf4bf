const CAPACITY = 256;

/**
 * Where traps lead the sweep: blocks in whose chunks somebody has written just now. Their neighbours are the likeliest to
 * be written next, and a storage can write the whole chunk at once. A short queue; what finds no place is left to the
 * sweep's own order.
 */
export class Lead {
  readonly #blocks: Float64Array = new Float64Array(CAPACITY);
  #first = 0;
  #count = 0;

  add(block: number): void {
    if (this.#count === CAPACITY) return;
    this.#blocks[(this.#first + this.#count) % CAPACITY] = block;
    this.#count++;
  }

  /** The block that was added first, or -1. */
  take(): number {
    if (this.#count === 0) return -1;
    const block = this.#blocks[this.#first]!;
    this.#first = (this.#first + 1) % CAPACITY;
    this.#count--;
    return block;
  }
}
