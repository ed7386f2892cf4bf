/**
 * Room in a ring of staging memory, given out in order and taken back in order, in multiples of a unit.
 *
 * A room is busy while it is open and while writes from it are under way. In order is enough: the writes of a room
 * finish within milliseconds of those of its neighbours, and a ring never fragments.
 */
export class StagingRing {
  readonly #unitBytes: number;
  readonly #units: number;
  readonly #reserveUnits: number;
  /** of the room that begins at a unit: its length in units, and how many reasons keep it busy */
  readonly #length: Int32Array;
  readonly #busy: Int32Array;
  #head = 0;
  #tail = 0;
  #used = 0;
  /** the most that was ever in use, in bytes */
  peakBytes = 0;

  /** @param reserveBytes what only urgent rooms may use */
  constructor(sizeBytes: number, unitBytes: number, reserveBytes: number) {
    this.#unitBytes = unitBytes;
    this.#units = Math.floor(sizeBytes / unitBytes);
    this.#reserveUnits = Math.ceil(reserveBytes / unitBytes);
    // Filled, so that no page of them is touched for the first time while a writer waits.
    this.#length = new Int32Array(this.#units).fill(0);
    this.#busy = new Int32Array(this.#units).fill(0);
  }

  get usedBytes(): number {
    return this.#used * this.#unitBytes;
  }

  /** An open room of `bytes`: its offset, or -1 where there is none. */
  open(bytes: number, urgent: boolean): number {
    const wanted = Math.ceil(bytes / this.#unitBytes);
    const free = this.#units - this.#used - (urgent ? 0 : this.#reserveUnits);
    const toEnd = this.#units - this.#tail;
    const skipped = wanted > toEnd ? toEnd : 0;
    if (wanted + skipped > free) return -1;
    if (skipped > 0) this.#take(skipped, 0);
    const unit = this.#tail;
    this.#take(wanted, 1);
    this.peakBytes = Math.max(this.peakBytes, this.usedBytes);
    return unit * this.#unitBytes;
  }

  /** One more reason why the room that begins at `offset` is busy. */
  retain(offset: number): void {
    this.#busy[offset / this.#unitBytes]! += 1;
  }

  /** One reason less; the last one frees the room. */
  release(offset: number): void {
    this.#busy[offset / this.#unitBytes]! -= 1;
    while (this.#used > 0 && this.#busy[this.#head] === 0) {
      const units = this.#length[this.#head]!;
      this.#used -= units;
      this.#head = (this.#head + units) % this.#units;
    }
  }

  #take(units: number, reasons: number): void {
    this.#length[this.#tail] = units;
    this.#busy[this.#tail] = reasons;
    this.#used += units;
    this.#tail = (this.#tail + units) % this.#units;
  }
}
