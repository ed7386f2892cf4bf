import type { Context } from './context.ts';
import { copyRange } from './copying.ts';
import type { RangeList } from './range-list.ts';

/** So many ranges with nothing to copy are done with in one step: a trap does not notice so few. */
const RANGES_AT_ONCE = 64;

/** The background copy of everything that no trap has asked for yet: what is armed, in order of address; then what is open. */
export class Sweep {
  readonly #context: Context;
  #list: RangeList;
  #range = 0;
  #block = 0;

  constructor(context: Context) {
    this.#context = context;
    this.#list = context.armed;
  }

  /** Copies and releases the next chunk; `full` where the staging memory has no room, `over` past the last one. */
  next(): 'swept' | 'full' | 'over' {
    const { copied, open } = this.#context;
    for (let passed = 0; passed < RANGES_AT_ONCE; passed++) {
      const first = this.#list.firsts[this.#range];
      if (first === undefined) {
        if (this.#list === open) return 'over';
        this.#list = open;
        this.#range = 0;
        this.#block = 0;
        continue;
      }
      const end = first + this.#list.counts[this.#range]!;
      const from = copied.nextClear(Math.max(this.#block, first), end);
      if (from < end) return this.#chunk(first, from, end) ? 'swept' : 'full';
      this.#range++;
    }
    return 'swept';
  }

  /** One chunk from `from` on, of the range [rangeFirst, rangeEnd). */
  #chunk(rangeFirst: number, from: number, rangeEnd: number): boolean {
    const { machine, copied, policy, open } = this.#context;
    const granule = machine.granule(from);
    const unit = Math.max(policy.chunkBlocks, granule);
    const end = Math.min(rangeEnd, from - (from % unit) + unit);
    const whole = copyRange(this.#context, from, end - from, 'swept');
    if (this.#list !== open) {
      // A granule may begin with blocks that were copied before; it is released when its last one is.
      const start = Math.max(rangeFirst, from - (from % granule));
      const copiedTo = whole ? end : copied.nextClear(from, end);
      const stop = whole ? end : copiedTo - (copiedTo % machine.granule(copiedTo));
      if (start < stop) machine.release(start, stop - start);
    }
    if (whole) this.#block = end;
    return whole;
  }
}
