import type { Context } from './context.ts';
import { copyRange } from './copying.ts';
import type { RangeList } from './range-list.ts';

/** So many ranges with nothing to copy are done with in one step: a trap does not notice so few. */
const RANGES_AT_ONCE = 64;

/**
 * The background copy of everything that no trap has asked for yet: what is armed, first where traps lead, else in order
 * of address; then what is open.
 */
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
    const led = this.#nextLed();
    if (led !== undefined) return led;
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
      if (from < end) {
        const swept = this.#chunk(first, from, end);
        if (swept) this.#block = Math.min(end, this.#chunkEnd(from));
        return swept ? 'swept' : 'full';
      }
      this.#range++;
    }
    return 'swept';
  }

  /** The chunk of the next trap that leads to one with anything left to copy; undefined where there is none. */
  #nextLed(): 'swept' | 'full' | undefined {
    const { lead, armed, copied } = this.#context;
    for (let passed = 0; passed < RANGES_AT_ONCE; passed++) {
      const block = lead.take();
      if (block < 0) return undefined;
      const index = armed.indexOf(block);
      const first = armed.firsts[index];
      if (first === undefined || first > block) continue;
      const end = first + armed.counts[index]!;
      const stop = Math.min(end, this.#chunkEnd(block));
      const from = copied.nextClear(Math.max(first, this.#chunkStart(block)), stop);
      if (from < stop) return this.#chunk(first, from, end) ? 'swept' : 'full';
    }
    return 'swept';
  }

  #chunkStart(block: number): number {
    const unit = this.#unit(block);
    return block - (block % unit);
  }

  #chunkEnd(block: number): number {
    return this.#chunkStart(block) + this.#unit(block);
  }

  #unit(block: number): number {
    const { machine, policy } = this.#context;
    return Math.max(policy.chunkBlocks, machine.granule(block));
  }

  /** What is left from `from` on of its chunk, of the range [rangeFirst, rangeEnd); false where it was not all. */
  #chunk(rangeFirst: number, from: number, rangeEnd: number): boolean {
    const { machine, copied, open } = this.#context;
    const granule = machine.granule(from);
    const end = Math.min(rangeEnd, this.#chunkEnd(from));
    const whole = copyRange(this.#context, from, end - from, 'swept');
    if (this.#list === open && !this.#context.armed.has(from)) return whole;
    // A granule may begin with blocks that were copied before; it is released when its last one is.
    const start = Math.max(rangeFirst, from - (from % granule));
    const copiedTo = whole ? end : copied.nextClear(from, end);
    const stop = whole ? end : copiedTo - (copiedTo % machine.granule(copiedTo));
    if (start < stop) machine.release(start, stop - start);
    return whole;
  }
}
