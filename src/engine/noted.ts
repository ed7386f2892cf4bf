import { CopyMap } from './copy-map.ts';

/**
 * Blocks that were armed and then written before T0: not protected until they are armed again.
 *
 * Kept as a map, so that none is counted twice, and as a list in the order they came, so that neither a round of
 * arming nor the hold has to search for them in all of memory.
 */
export class Noted {
  readonly #map = new CopyMap();
  #firsts: number[] = [];
  #counts: number[] = [];

  /** how many blocks are noted */
  get blocks(): number {
    return this.#map.size;
  }
  /** The list: ranges that hold every noted block. They may overlap, and hold others. */
  get firsts(): readonly number[] {
    return this.#firsts;
  }
  get counts(): readonly number[] {
    return this.#counts;
  }

  /** Notes a range; returns how many of its blocks were not noted before. */
  add(first: number, count: number): number {
    const added = this.#map.setRange(first, count);
    if (added === 0) return 0;
    const last = this.#firsts.length - 1;
    if (last >= 0 && this.#firsts[last]! + this.#counts[last]! === first) {
      this.#counts[last] = this.#counts[last]! + count;
    } else {
      this.#firsts.push(first);
      this.#counts.push(count);
    }
    return added;
  }

  /** Gives the list away to be armed again, all of it; its blocks stay noted until `forget`. */
  handOver(firsts: number[], counts: number[]): void {
    for (let index = 0; index < this.#firsts.length; index++) {
      firsts.push(this.#firsts[index]!);
      counts.push(this.#counts[index]!);
    }
    this.#firsts = [];
    this.#counts = [];
  }

  /** The range is not noted any more: it is about to be protected, or has been copied. */
  forget(first: number, count: number): void {
    if (this.#map.size > 0) this.#map.clearRange(first, count);
  }

  /** The first block in [from, end) that is noted, or not noted; or `end`. */
  nextIn(from: number, end: number): number {
    return this.#map.nextSet(from, end);
  }
  nextOut(from: number, end: number): number {
    return this.#map.nextClear(from, end);
  }
}
