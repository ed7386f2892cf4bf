import type { RangeSink } from '../../engine/machine.ts';
import {
  PAGE_IS_FILE,
  PAGE_IS_HUGE,
  PAGE_IS_PRESENT,
  PAGE_IS_SWAPPED,
  PAGE_IS_WRITTEN,
} from '../../linux/abi.ts';
import { check } from '../../linux/failure.ts';
import type { Pagemap } from '../../linux/pagemap.ts';

export const PAGE_BYTES = 4096;
/** Pages under one entry of the next level: the span of a page table, and of a transparent huge page. */
export const SPAN_PAGES = 512;
const SPAN_BYTES = SPAN_PAGES * PAGE_BYTES;

/** Questions to /proc/PID/pagemap about ranges of addresses, answered in blocks of 4 KiB. */
export class Pages {
  readonly #pagemap: Pagemap;
  /** spans that are one huge page each, by number of the span */
  readonly hugeSpans: Set<number> = new Set();

  constructor(pagemap: Pagemap) {
    this.#pagemap = pagemap;
  }

  /** Runs of blocks between `start` and `end` that hold anything, widened to whole spans but not beyond. */
  populatedSpans(start: number, end: number, found: RangeSink): void {
    this.#pagemap.scan(start, end, {
      any: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
      returned: PAGE_IS_PRESENT | PAGE_IS_HUGE,
    });
    let first = 0;
    let until = 0;
    this.#each((from, to, categories) => {
      if ((categories & PAGE_IS_HUGE) !== 0) this.#noteHuge(from, to);
      const spanStart = Math.max(start, from - (from % SPAN_BYTES));
      const spanEnd = Math.min(end, Math.ceil(to / SPAN_BYTES) * SPAN_BYTES);
      if (spanStart <= until) {
        until = Math.max(until, spanEnd);
        return;
      }
      if (until > first) found.add(first / PAGE_BYTES, (until - first) / PAGE_BYTES);
      first = spanStart;
      until = spanEnd;
    });
    if (until > first) found.add(first / PAGE_BYTES, (until - first) / PAGE_BYTES);
  }

  /** Runs of blocks of a private file mapping that are the process' own. */
  ownPages(start: number, end: number, found: RangeSink): void {
    this.#pagemap.scan(start, end, {
      all: PAGE_IS_FILE,
      inverted: PAGE_IS_FILE,
      any: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
      returned: PAGE_IS_PRESENT,
    });
    this.#each((from, to) => found.add(from / PAGE_BYTES, (to - from) / PAGE_BYTES));
  }

  /** Runs of blocks between `start` and `end` that hold anything. */
  populated(start: number, end: number, found: RangeSink): void {
    this.#pagemap.scan(start, end, {
      any: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
      returned: PAGE_IS_HUGE,
    });
    this.#each((from, to, categories) => {
      if ((categories & PAGE_IS_HUGE) !== 0) this.#noteHuge(from, to);
      found.add(from / PAGE_BYTES, (to - from) / PAGE_BYTES);
    });
  }

  /** Runs of blocks that hold anything and are not write-protected: 0.6 ms a GiB. */
  unprotected(start: number, end: number, found: RangeSink): void {
    this.#pagemap.scan(start, end, {
      all: PAGE_IS_WRITTEN,
      any: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
      returned: PAGE_IS_HUGE,
    });
    this.#each((from, to, categories) => {
      if ((categories & PAGE_IS_HUGE) !== 0) this.#noteHuge(from, to);
      found.add(from / PAGE_BYTES, (to - from) / PAGE_BYTES);
    });
  }

  /** Runs of blocks that are write-protected. */
  protected(start: number, end: number, found: RangeSink): void {
    this.#pagemap.scan(start, end, {
      all: PAGE_IS_WRITTEN,
      inverted: PAGE_IS_WRITTEN,
      any: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
      returned: PAGE_IS_PRESENT,
    });
    this.#each((from, to) => found.add(from / PAGE_BYTES, (to - from) / PAGE_BYTES));
  }

  #each(visit: (from: number, to: number, categories: number) => void): void {
    for (;;) {
      const count = check(this.#pagemap.nextRegions(), 'scan pages of the target', 'ioctl(PAGEMAP_SCAN)');
      if (count === 0) return;
      for (let index = 0; index < count; index++) {
        visit(
          this.#pagemap.regionStart(index),
          this.#pagemap.regionEnd(index),
          this.#pagemap.regionCategories(index),
        );
      }
    }
  }

  #noteHuge(from: number, to: number): void {
    for (let span = Math.floor(from / SPAN_BYTES); span * SPAN_BYTES < to; span++) this.hugeSpans.add(span);
  }
}
