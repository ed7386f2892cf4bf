/** An ordered list of disjoint ranges of blocks; touching ranges are joined. */
export class RangeList {
  readonly firsts: number[] = [];
  readonly counts: number[] = [];

  /** how many ranges there are */
  get length(): number {
    return this.firsts.length;
  }

  /** how many blocks they hold together */
  get blocks(): number {
    let sum = 0;
    for (const count of this.counts) sum += count;
    return sum;
  }

  /** Adds a range, which may overlap what is there. Cheap at the end of the list, where most ranges come. */
  add(first: number, count: number): void {
    if (count === 0) return;
    const from = this.#lowerBound(first);
    let start = first;
    let end = first + count;
    let until = from;
    while (until < this.firsts.length && this.firsts[until]! <= end) {
      start = Math.min(start, this.firsts[until]!);
      end = Math.max(end, this.firsts[until]! + this.counts[until]!);
      until++;
    }
    this.firsts.splice(from, until - from, start);
    this.counts.splice(from, until - from, end - start);
  }

  has(block: number): boolean {
    const index = this.#lowerBound(block + 1);
    const at = index < this.length && this.firsts[index]! <= block ? index : index - 1;
    return at >= 0 && block >= this.firsts[at]! && block < this.firsts[at]! + this.counts[at]!;
  }

  /** The index of the first range that ends at or after `block`. */
  #lowerBound(block: number): number {
    let low = 0;
    let high = this.firsts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.firsts[middle]! + this.counts[middle]! < block) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  *[Symbol.iterator](): Generator<{ first: number; count: number }, void, undefined> {
    for (let index = 0; index < this.firsts.length; index++) {
      yield { first: this.firsts[index]!, count: this.counts[index]! };
    }
  }
}
