import type { RangeSink } from '../../engine/machine.ts';
import type { RangeList } from '../../engine/range-list.ts';
import { PAGE_BYTES } from './pages.ts';
import type { Region } from './regions.ts';

/** Ranges of addresses, kept apart so that walking them allocates nothing. */
export class Ranges {
  readonly starts: number[] = [];
  readonly ends: number[] = [];

  get length(): number {
    return this.starts.length;
  }

  /** Adds a range after the last; joined where they touch. */
  add(start: number, end: number): void {
    const last = this.starts.length - 1;
    if (last >= 0 && this.ends[last] === start) {
      this.ends[last] = end;
      return;
    }
    this.starts.push(start);
    this.ends.push(end);
  }
}

/**
 * What has to be looked at inside the hold, worked out before it: the address space is mostly what it was at the last
 * survey, and then the hold has only to walk these lists.
 */
export class HoldPlan {
  /** where protected regions had no page: what is there now is new */
  readonly gaps: Ranges = new Ranges();
  /** private mappings of files: the process' own pages are copied */
  readonly files: Ranges = new Ranges();
  /** swept without protection: files and shared memory */
  readonly unprotected: Ranges = new Ranges();

  constructor(regions: readonly Region[], spans: RangeList) {
    for (const { handling, mapping } of regions) {
      const { start, end, name } = mapping;
      if (handling === 'protected') this.#addGaps(start, end, spans);
      if (handling === 'file' && name !== '[vdso]') this.files.add(start, end);
      if (handling === 'file' || handling === 'shared') this.unprotected.add(start, end);
      if (handling === 'head') this.unprotected.add(start, start + PAGE_BYTES);
    }
  }

  /** Gives what is swept without protection, as blocks. */
  addUnprotected(open: RangeSink): void {
    const { starts, ends } = this.unprotected;
    for (let index = 0; index < starts.length; index++) {
      open.add(starts[index]! / PAGE_BYTES, (ends[index]! - starts[index]!) / PAGE_BYTES);
    }
  }

  #addGaps(start: number, end: number, spans: RangeList): void {
    let from = start;
    for (let index = spans.indexOf(start / PAGE_BYTES); index < spans.length && from < end; index++) {
      const spanStart = spans.firsts[index]! * PAGE_BYTES;
      if (spanStart >= end) break;
      if (spanStart > from) this.gaps.add(from, spanStart);
      from = (spans.firsts[index]! + spans.counts[index]!) * PAGE_BYTES;
    }
    if (from < end) this.gaps.add(from, end);
  }
}
