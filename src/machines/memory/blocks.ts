/** Where a block of the memory machine is in its life. */
export const THERE = 0;
/** destroyed before T0: no part of the snapshot */
export const GONE_BEFORE_T0 = 1;
/** destroyed after T0: lost to the snapshot, if it was not copied by then */
export const GONE_SINCE_T0 = 2;

/** The memory of the memory machine: its bytes, and for each block whether it is protected and whether it is there. */
export class Blocks {
  readonly bytes: Uint8Array;
  readonly blockBytes: number;
  readonly #protected: Uint8Array;
  readonly #gone: Uint8Array;
  readonly #written: Uint8Array;

  constructor(count: number, blockBytes: number) {
    this.bytes = new Uint8Array(count * blockBytes);
    this.blockBytes = blockBytes;
    this.#protected = new Uint8Array(count);
    this.#gone = new Uint8Array(count);
    this.#written = new Uint8Array(count);
  }

  get count(): number {
    return this.#protected.length;
  }

  blockOf(address: number): number {
    return Math.floor(address / this.blockBytes);
  }

  content(block: number): Uint8Array {
    return this.bytes.subarray(block * this.blockBytes, (block + 1) * this.blockBytes);
  }

  isProtected(block: number): boolean {
    return this.#protected[block] === 1;
  }
  /** the first protected block, or -1 */
  get firstProtected(): number {
    return this.#protected.indexOf(1);
  }
  gone(block: number): number {
    return this.#gone[block]!;
  }
  /** whether it was written since `rememberWrites` */
  written(block: number): boolean {
    return this.#written[block] === 1;
  }

  /** Stores a byte; in what is gone it leads nowhere. */
  store(address: number, value: number): void {
    const block = this.blockOf(address);
    if (this.#gone[block] !== THERE) return;
    this.bytes[address] = value;
    this.#written[block] = 1;
  }

  rememberWrites(): void {
    this.#written.fill(0);
  }

  /** Protects what is still there of a range. */
  protect(first: number, count: number): void {
    for (let block = first; block < first + count; block++) {
      if (this.#gone[block] === THERE) this.#protected[block] = 1;
    }
  }

  release(first: number, count: number): void {
    this.#protected.fill(0, first, first + count);
  }

  /** Makes a range zeros. Like the kernel's, its protection goes with its content. */
  discard(first: number, count: number): void {
    this.bytes.fill(0, first * this.blockBytes, (first + count) * this.blockBytes);
    this.#written.fill(1, first, first + count);
    this.release(first, count);
  }

  /** Takes a range away for good. */
  destroy(first: number, count: number, how: number): void {
    this.discard(first, count);
    for (let block = first; block < first + count; block++) {
      if (this.#gone[block] === THERE) this.#gone[block] = how;
    }
  }
}
