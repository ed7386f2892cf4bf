import type { Capabilities, Machine, Outcome, RangeSink, TrapBatch } from '../../engine/machine.ts';
import { RangeList } from '../../engine/range-list.ts';
import { monotonicNs, realtimeNs } from '../../linux/clock.ts';
import { ERRNO } from '../../linux/errno.ts';
import { failure } from '../../linux/failure.ts';
import type { Attachment } from './attach.ts';
import { Hold, taskIds } from './hold.ts';
import { PageCopier } from './page-copier.ts';
import { PAGE_BYTES, SPAN_PAGES } from './pages.ts';
import { Protection } from './protection.ts';
import type { Region } from './regions.ts';
import type { ThreadRegisters } from './register-store.ts';
import { ThreadWords } from './thread-words.ts';
import { TrapQueue } from './trap-queue.ts';

/** Runs of new pages found inside the hold that are protected rather than copied, in pages: a copy costs 10 times as much. */
const PROTECT_FROM_PAGES = 16;

/** The instant whose memory the snapshot shows. */
export interface T0 {
  readonly wallNs: bigint;
  readonly monotonicNs: number;
}

/** What the hold costs, measured (docs/performance.md); good for a forecast, not for a promise. */
const FORECAST = { baseNs: 60_000, threadNs: 14_000, pageNs: 1_600, regionNs: 900 } as const;

/**
 * A running Linux process as a machine. Its blocks are the pages of its address space: block n holds the 4096 bytes
 * at address 4096 n. docs/process.md walks each step, and says what happens if we die there.
 */
export class ProcessMachine implements Machine {
  readonly name: string;
  readonly blockBytes: number = PAGE_BYTES;
  readonly capabilities: Capabilities = { liveArming: true, removeTraps: true };
  readonly #attached: Attachment;
  readonly #hold: Hold;
  readonly #words: ThreadWords;
  readonly #protection: Protection;
  readonly #traps: TrapQueue;
  readonly #copier: PageCopier;
  /** all ranges armed or to be armed: whole spans that hold a page */
  readonly #spans: RangeList = new RangeList();
  /** ranges whose content was destroyed before T0, with their protection */
  readonly #removed: RangeList = new RangeList();
  readonly #resources: DisposableStack;
  #ownPages = 0;
  #t0: T0 | undefined;
  #regionsAtT0: readonly Region[] = [];
  #threads: ThreadRegisters[] = [];

  /** Takes ownership of the attachment. */
  constructor(attached: Attachment) {
    using building = new DisposableStack();
    this.#attached = building.use(attached);
    const { pid, memory, space, staging, userfaultfd, marker } = attached;
    this.name = `process ${pid}`;
    this.#hold = building.use(new Hold(pid, attached.sharers, attached.strays));
    this.#words = new ThreadWords(pid, memory);
    this.#traps = new TrapQueue(pid, userfaultfd);
    this.#protection = new Protection(userfaultfd, this.#words.blocks);
    this.#copier = building.use(new PageCopier(pid, memory, space, staging, marker));
    this.#resources = building.move();
  }

  // What the snapshot's writer asks after T0 --------------------------------------------------------------------

  get t0(): T0 | undefined {
    return this.#t0;
  }
  /** the address space at T0 */
  get regions(): readonly Region[] {
    return this.#regionsAtT0;
  }
  get threads(): readonly ThreadRegisters[] {
    return this.#threads;
  }
  /** from before the first thread was asked to stop to after the last was let go */
  get pauseNs(): number {
    return this.#hold.endNs - this.#hold.beginNs;
  }

  // The contract --------------------------------------------------------------------------------------------------

  survey(found: RangeSink): void {
    const { space, pages, pid } = this.#attached;
    space.refresh();
    this.#copier.openFiles(pid);
    for (const tid of taskIds(pid))
      if (!this.#words.knows(tid) && !this.#words.learn(tid)) this.#attached.ask(tid, this.#words);
    this.#ownPages = 0;
    for (const region of space.regions) {
      if (region.handling === 'file')
        pages.ownPages(region.mapping.start, region.mapping.end, {
          add: (_, count) => (this.#ownPages += count),
        });
      if (region.handling === 'protected') this.#surveyRegion(region, found);
    }
    for (const { first, count } of this.#removed) this.#addSpan(first, count, found);
  }

  protect(first: number, count: number): void {
    let result = this.#protection.protect(first, count);
    // A thread removes memory, and waits for its event to be read. Before T0 nothing of that has to be copied.
    for (let tries = 0; result === -ERRNO.EAGAIN && tries < 10_000; tries++) {
      this.#traps.drain((from, length) => this.#removed.add(from, length));
      result = this.#protection.protect(first, count);
    }
    // What is not mapped any more needs no protection; it is found missing later.
    if (result < 0 && result !== -ERRNO.ENOENT) {
      throw failure('write-protect pages of the target', 'ioctl(UFFDIO_WRITEPROTECT)', result, {
        pid: this.#attached.pid,
        address: BigInt(first * PAGE_BYTES),
      });
    }
  }

  forecastPause(noted: number): number {
    const pages = noted + this.#ownPages + this.#words.blocks.size;
    const threads = taskIds(this.#attached.pid).length;
    const regions = this.#attached.space.regions.length;
    return (
      FORECAST.baseNs + threads * FORECAST.threadNs + pages * FORECAST.pageNs + regions * FORECAST.regionNs
    );
  }

  beginHold(): void {
    this.#hold.begin();
  }

  continueHold(): 'holding' | 'held' {
    if (!this.#hold.look()) return 'holding';
    this.#t0 = { wallNs: realtimeNs(), monotonicNs: monotonicNs() };
    this.#copier.held = true;
    return 'held';
  }

  abandonHold(): void {
    this.#copier.held = false;
    const deadline = monotonicNs() + 1_000_000_000;
    while (!this.#hold.releaseStopped() && monotonicNs() < deadline);
  }

  initial(found: RangeSink, swept: RangeSink): void {
    const { space } = this.#attached;
    this.#hold.capture();
    space.refresh();
    const words = new RangeList();
    this.#words.atT0(this.#hold.tids(), words);
    for (const { first, count } of words) {
      if (space.regionAt(first * PAGE_BYTES)?.handling !== 'protected') continue;
      if (!this.#words.blocks.has(first) || count > 1) this.release(first, count);
      found.add(first, count);
    }
    for (const region of space.regions) this.#initialOf(region, found, swept);
    for (const { first, count } of this.#removed) this.#protectNow(first, count, swept);
    this.#regionsAtT0 = space.regions;
  }

  resume(): void {
    this.#copier.held = false;
    this.#hold.release();
  }

  takeTraps(traps: TrapBatch, timeoutNs: number): void {
    this.#traps.take(traps, timeoutNs, this.granule);
  }

  acknowledge(first: number, count: number): void {
    if (this.#t0 === undefined) this.#removed.add(first, count);
    this.#traps.acknowledge(first, count);
  }

  release(first: number, count: number): void {
    this.#protection.release(first, count);
  }

  granule: (block: number) => number = (block) =>
    this.#attached.pages.hugeSpans.has(Math.floor(block / SPAN_PAGES)) ? SPAN_PAGES : 1;

  copy(first: number, count: number, _staging: Uint8Array, offset: number, outcome: Outcome): void {
    this.#copier.copy(first, count, offset, outcome);
  }

  disarm(): boolean {
    return this.#protection.unregisterNext(this.#spans);
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }

  /** The threads' registers as plain data. After the hold, when nobody waits for it. */
  keepThreads(): void {
    this.#threads = this.#hold.registers.threads();
  }

  #surveyRegion(region: Region, found: RangeSink): void {
    const { mapping } = region;
    if (!this.#protection.register(mapping.start, mapping.end)) return;
    const spans = new RangeList();
    const { pages } = this.#attached;
    pages.populatedOutside(this.#spans, mapping.start, mapping.end, spans);
    for (const { first, count } of spans) {
      const start = Math.max(mapping.start / PAGE_BYTES, first - (first % SPAN_PAGES));
      const end = Math.min(mapping.end / PAGE_BYTES, Math.ceil((first + count) / SPAN_PAGES) * SPAN_PAGES);
      this.#addSpan(start, end - start, found);
    }
  }

  #addSpan(first: number, count: number, found: RangeSink): void {
    this.#spans.add(first, count);
    found.add(first, count);
  }

  #initialOf(region: Region, found: RangeSink, swept: RangeSink): void {
    const { pages } = this.#attached;
    const { start, end, name } = region.mapping;
    switch (region.handling) {
      case 'protected':
        this.#initialProtected(region, found, swept);
        break;
      case 'file':
        if (name !== '[vdso]') pages.ownPages(start, end, found);
        swept.add(start / PAGE_BYTES, (end - start) / PAGE_BYTES);
        break;
      case 'head':
        swept.add(start / PAGE_BYTES, 1);
        break;
      case 'shared':
        swept.add(start / PAGE_BYTES, (end - start) / PAGE_BYTES);
        break;
      case 'excluded':
        break;
    }
  }

  /** What came into being since the last survey: copied where it is little, else protected now. */
  #initialProtected(region: Region, found: RangeSink, swept: RangeSink): void {
    const { pages, pagemap } = this.#attached;
    const { start, end } = region.mapping;
    const intact = this.#protection.isIntact(region, pagemap, this.#spans);
    const registered = this.#protection.register(start, end);
    const fresh = new RangeList();
    pages.populatedOutside(intact ? this.#spans : new RangeList(), start, end, fresh);
    for (const { first, count } of fresh) {
      if (registered && count >= PROTECT_FROM_PAGES) this.#protectNow(first, count, swept);
      else found.add(first, count);
    }
  }

  #protectNow(first: number, count: number, swept: RangeSink): void {
    if (this.#protection.protect(first, count) < 0) return;
    this.#spans.add(first, count);
    swept.add(first, count);
  }
}
