import type { Context } from './context.ts';
import type { CopyMap } from './copy-map.ts';
import { copyRange } from './copying.ts';
import type { RangeList } from './range-list.ts';

/** So many ranges with nothing to copy are done with in one step: a trap does not notice so few. */
const RANGES_AT_ONCE = 64;

const PASSING = -1;
const OVER = Number.POSITIVE_INFINITY;

/** How far the sweep is in a list of ranges. */
class Cursor {
  /** the range of the block that was found last, and the block after it */
  first = 0;
  end = 0;
  /** everything in front of it is copied */
  block = 0;
  readonly #list: RangeList;
  #range = 0;

  constructor(list: RangeList) {
    this.#list = list;
  }

  /** The next block to copy, OVER, or PASSING where it is far: call again. */
  seek(copied: CopyMap): number {
    const { firsts, counts } = this.#list;
    for (let passed = 0; passed < RANGES_AT_ONCE; passed++) {
      const first = firsts[this.#range];
      if (first === undefined) return OVER;
      this.first = first;
      this.end = first + counts[this.#range]!;
      this.block = copied.nextClear(Math.max(this.block, first), this.end);
      if (this.block < this.end) return this.block;
      this.#range++;
    }
    return PASSING;
  }
}

/**
 * The background copy of everything that no trap has asked for yet: what is armed, first where traps lead, else in order
 * of address; then what is open. Where the storage wants order, all of it in order of address alone.
 */
export class Sweep {
  readonly #context: Context;
  readonly #armed: Cursor;
  readonly #open: Cursor;

  constructor(context: Context) {
    this.#context = context;
    this.#armed = new Cursor(context.armed);
    this.#open = new Cursor(context.open);
  }

  /** Copies and releases the next chunk; `full` where the staging memory has no room, `over` past the last one. */
  next(): 'swept' | 'full' | 'over' {
    const { copied, storage } = this.#context;
    const inOrder = storage.inOrder === true;
    if (!inOrder) {
      const led = this.#nextLed();
      if (led !== undefined) return led;
    }
    const armed = this.#armed.seek(copied);
    const open = inOrder || armed === OVER ? this.#open.seek(copied) : OVER;
    if (armed === PASSING || open === PASSING) return 'swept';
    if (armed === OVER && open === OVER) return 'over';
    const cursor = open < armed ? this.#open : this.#armed;
    const from = Math.min(armed, open);
    if (!this.#chunk(cursor.first, from, cursor.end)) return 'full';
    cursor.block = Math.min(cursor.end, this.#chunkEnd(from));
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
    const { machine, copied, armed, releases } = this.#context;
    const granule = machine.granule(from);
    const end = Math.min(rangeEnd, this.#chunkEnd(from));
    const whole = copyRange(this.#context, from, end - from, 'swept');
    if (!armed.has(from)) return whole;
    // A granule may begin with blocks that were copied before; it is released when its last one is.
    const start = Math.max(rangeFirst, from - (from % granule));
    const copiedTo = whole ? end : copied.nextClear(from, end);
    const stop = whole ? end : copiedTo - (copiedTo % machine.granule(copiedTo));
    if (start < stop) releases.release(start, stop - start);
    return whole;
  }
}
