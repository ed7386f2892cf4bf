/**
 * An ordered list of disjoint ranges of blocks; touching ranges are joined.
 *
 * @example
 * const list = new RangeList();
 * list.add(8, 4);
 * list.add(12, 4);
 * [...list]; // [{ first: 8, count: 8 }]
 */
export class RangeList {
  readonly firsts: number[] = [];
  readonly counts: number[] = [];
  #blocks = 0;

  /** how many ranges there are */
  get length(): number {
    return this.firsts.length;
  }

  /** how many blocks they hold together */
  get blocks(): number {
    return this.#blocks;
  }

  /** Adds a range, which may overlap what is there. Cheap at the end of the list, where most ranges come. */
  add(first: number, count: number): void {
    if (count === 0) return;
    const last = this.firsts.length - 1;
    const lastEnd = last < 0 ? -1 : this.firsts[last]! + this.counts[last]!;
    if (first > lastEnd) {
      this.firsts.push(first);
      this.counts.push(count);
      this.#blocks += count;
    } else if (first === lastEnd) {
      this.counts[last] = this.counts[last]! + count;
      this.#blocks += count;
    } else {
      this.#insert(first, count);
    }
  }

  has(block: number): boolean {
    const index = this.indexOf(block);
    return index < this.length && this.firsts[index]! <= block;
  }

  /** The index of the range that holds `block`, else of the next one, else the length of the list. */
  indexOf(block: number): number {
    let low = 0;
    let high = this.firsts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.firsts[middle]! + this.counts[middle]! <= block) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** What is in either list; linear in the number of ranges. */
  union(other: RangeList): RangeList {
    const both = new RangeList();
    let mine = 0;
    for (let theirs = 0; theirs < other.length; theirs++) {
      const first = other.firsts[theirs]!;
      for (; mine < this.length && this.firsts[mine]! <= first; mine++) {
        both.#append(this.firsts[mine]!, this.counts[mine]!);
      }
      both.#append(first, other.counts[theirs]!);
    }
    for (; mine < this.length; mine++) both.#append(this.firsts[mine]!, this.counts[mine]!);
    return both;
  }

  *[Symbol.iterator](): Generator<{ first: number; count: number }, void, undefined> {
    for (let index = 0; index < this.firsts.length; index++) {
      yield { first: this.firsts[index]!, count: this.counts[index]! };
    }
  }

  /** Adds a range that begins in or after the last one. */
  #append(first: number, count: number): void {
    const last = this.firsts.length - 1;
    const lastEnd = last < 0 ? -1 : this.firsts[last]! + this.counts[last]!;
    if (first > lastEnd) this.add(first, count);
    else if (first + count > lastEnd) this.add(lastEnd, first + count - lastEnd);
  }

  #insert(first: number, count: number): void {
    // A range that ends just where this one begins is joined as well.
    const from = this.indexOf(first - 1);
    let start = first;
    let end = first + count;
    let until = from;
    let replaced = 0;
    while (until < this.firsts.length && this.firsts[until]! <= end) {
      start = Math.min(start, this.firsts[until]!);
      end = Math.max(end, this.firsts[until]! + this.counts[until]!);
      replaced += this.counts[until]!;
      until++;
    }
    this.firsts.splice(from, until - from, start);
    this.counts.splice(from, until - from, end - start);
    this.#blocks += end - start - replaced;
  }
}
