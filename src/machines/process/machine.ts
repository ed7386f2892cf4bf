import type { Capabilities, Machine, Outcome, RangeSink, TrapBatch } from '../../engine/machine.ts';
import { RangeList } from '../../engine/range-list.ts';
import { LivecoreError } from '../../errors.ts';
import { monotonicNs, realtimeNs } from '../../linux/clock.ts';
import { ERRNO } from '../../linux/errno.ts';
import { failure } from '../../linux/failure.ts';
import { readMaps } from '../../linux/proc.ts';
import { isGone } from '../../linux/proc-file.ts';
import type { Attachment } from './attach.ts';
import { HOLD_THREAD_NS, Hold } from './hold.ts';
import { HoldPlan } from './hold-plan.ts';
import { PageCopier } from './page-copier.ts';
import { PAGE_BYTES, SPAN_PAGES } from './pages.ts';
import { Protection } from './protection.ts';
import type { Region } from './regions.ts';
import type { ThreadRegisters } from './register-store.ts';
import { ThreadWords } from './thread-words.ts';
import { TrapQueue } from './trap-queue.ts';

/** Runs of new pages found inside the hold that are protected rather than copied, in pages: a copy costs 10 times as much. */
const PROTECT_FROM_PAGES = 16;

/** how long a survey goes on before traps are served: a mapping takes 10 us and more */
const SURVEY_NS = 100_000;

/** how long who was let go to remove memory is waited for: longer is worth a nap, or traps that are served meanwhile */
const REMOVAL_SPIN_NS = 30_000;
/** a target that removes memory all the time is left by the close of the userfaultfd, in one go */
const DISARM_NS = 1_000_000_000;
/** of everything so many before a hold */
const REHEARSED_MAX = 8;

/** The instant whose memory the snapshot shows. */
export interface T0 {
  readonly wallNs: bigint;
  readonly monotonicNs: number;
}

/** What the hold costs, measured (docs/performance.md); good for a forecast, not for a promise. */
const FORECAST = { baseNs: 60_000, threadNs: HOLD_THREAD_NS, pageNs: 1_600, regionNs: 900 } as const;

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
  readonly #surveyed = new Set<Region>();
  /** memory that the kernel would not register */
  readonly #unprotectable: RangeList = new RangeList();
  readonly #resources: DisposableStack;
  /** a survey that is not over yet */
  #survey: Generator<void, void, RangeSink> | undefined;
  #plan: HoldPlan | undefined;
  /** a hold was abandoned, and not all that it had asked to stop have stopped and been let go */
  #lettingGo = false;
  #ownPages = 0;
  #registered = false;
  /** a mapping changed while it was surveyed */
  #unsettled = false;
  /** blocks of words that were found too late, and could not be released yet */
  readonly #late: number[] = [];
  /** when anything was last disarmed */
  #disarmedNs = 0;
  #t0: T0 | undefined;
  #regionsAtT0: readonly Region[] = [];
  #threads: ThreadRegisters[] = [];

  /** Takes ownership of the attachment. */
  constructor(attached: Attachment) {
    using building = new DisposableStack();
    this.#attached = building.use(attached);
    const { pid, tasks, sharers, strays, memory, userfaultfd } = attached;
    this.name = `process ${pid}`;
    this.#hold = building.use(new Hold(pid, tasks, sharers, strays));
    this.#words = building.use(new ThreadWords(pid, tasks, sharers, memory));
    this.#traps = new TrapQueue(pid, userfaultfd);
    this.#protection = new Protection(attached, this.#words.blocks);
    this.#copier = building.use(new PageCopier(attached, this.#protection));
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
  /** Whether anybody may have to wait for us, now or soon: not while we only look. */
  get mayKeepWaiting(): boolean {
    return this.#registered;
  }
  /** from before the first thread was asked to stop to after the last was let go */
  get pauseNs(): number {
    return this.#hold.endNs - this.#hold.beginNs;
  }

  // The contract --------------------------------------------------------------------------------------------------

  survey(found: RangeSink): boolean {
    this.#survey ??= this.#surveyInPieces();
    const untilNs = monotonicNs() + SURVEY_NS;
    let done = false;
    do done = this.#survey.next(found).done ?? false;
    while (!done && monotonicNs() < untilNs);
    if (done) this.#survey = undefined;
    return done;
  }

  /** Is given where to put what is found, each time it goes on. */
  *#surveyInPieces(): Generator<void, void, RangeSink> {
    const { space, pid } = this.#attached;
    const changed = space.refresh() || this.#unsettled || this.#plan === undefined;
    let found = yield;
    // Words of dying threads must be known before the blocks around them are protected.
    do {
      for (const tid of this.#words.look(this.#unprotect)) {
        this.#askThread(tid);
        found = yield;
      }
      this.#releaseLate();
      found = yield;
    } while (!this.#words.complete);
    let dropped = false;
    for (const region of [...this.#surveyed]) {
      dropped = this.#forgetIfDropped(region) || dropped;
      found = yield;
    }
    if (changed || dropped) {
      this.#copier.openFiles(pid);
      this.#attached.process.requireNumber();
      this.#unsettled = false;
      for (const region of space.regions) {
        if (region.handling !== 'protected' || this.#surveyed.has(region)) continue;
        this.#surveyRegion(region, found);
        found = yield;
      }
      this.#countOwnPages();
    }
    for (const { first, count } of this.#removed) this.#addSpan(first, count, found);
    if (changed || dropped || this.#removed.length > 0) this.#plan = new HoldPlan(space.regions, this.#spans);
    yield;
    // For nothing but this: what runs for the first time in the hold takes 0.2 ms more, and small processes, such as are
    // rehearsed on, have no gaps.
    this.#fillGaps(new RangeList());
  }

  protect(first: number, count: number): boolean {
    this.#words.lookAgain(this.#unprotect);
    let result = this.#protection.protectStanding(first, count);
    if (result === -ERRNO.EAGAIN) {
      this.#letRemove();
      result = this.#inTheMoment(() => this.#protection.protectStanding(first, count));
    }
    // Who was born since the look before has words there as well; who has died since, in this tenth of a millisecond, is
    // the one that it does not help.
    this.#words.lookAgain(this.#unprotect);
    this.#releaseLate();
    if (result === -ERRNO.EAGAIN || this.#late.length > 0) return false;
    // What is not mapped any more needs no protection; it is found missing later.
    if (result < 0 && result !== -ERRNO.ENOENT) {
      throw failure('write-protect pages of the target', 'ioctl(UFFDIO_WRITEPROTECT)', result, {
        pid: this.#attached.pid,
        address: BigInt(first * PAGE_BYTES),
      });
    }
    return true;
  }

  /** A thread removes memory, and waits for its event to be read. Before T0 nothing of that has to be copied. */
  #letRemove(): void {
    this.#traps.drain((first, count) => this.#removed.add(first, count));
  }

  /** Tries again while somebody who was let go to remove memory is on the way: it has to run, perhaps on our CPU. */
  #inTheMoment(act: () => number): number {
    const beginNs = monotonicNs();
    for (;;) {
      const result = act();
      if (result !== -ERRNO.EAGAIN || monotonicNs() - beginNs > REMOVAL_SPIN_NS) return result;
    }
  }

  forecastPause(noted: number): number {
    const pages = noted + this.#ownPages + this.#words.blocks.size + this.#unprotectable.blocks;
    const threads = this.#words.threads;
    const regions = this.#attached.space.regions.length;
    return (
      FORECAST.baseNs + threads * FORECAST.threadNs + pages * FORECAST.pageNs + regions * FORECAST.regionNs
    );
  }

  beginHold(): void {
    this.#lettingGo = false;
    this.#hold.seize();
    // They are the hold's from here on, and let go with it.
    this.#attached.strays.clear();
    this.#words.look(this.#unprotect);
    this.#releaseLate();
    this.#rehearseHold();
    this.#hold.begin();
  }

  /**
   * A hold is over in the time that some hundred cache misses take, and its code has not run since before the target was
   * touched: so it runs once more now, with no effect, while nobody stands still. Takes 0.15 ms off the pause.
   */
  #rehearseHold(): void {
    const nowhere = new RangeList();
    realtimeNs();
    this.#hold.rehearse(REHEARSED_MAX);
    // What is many in the hold is warm after the first few there; and traps wait meanwhile.
    if (this.#hold.size <= REHEARSED_MAX) this.#initialWords(nowhere);
    const { files } = this.#plan!;
    for (let file = 0; file < Math.min(REHEARSED_MAX, files.length); file++)
      this.#attached.pages.ownPages(files.starts[file]!, files.ends[file]!, nowhere);
    for (let run = 0; run < Math.min(REHEARSED_MAX, nowhere.length); run++)
      this.#copier.rehearse(nowhere.firsts[run]!);
  }

  continueHold(): 'holding' | 'held' {
    if (!this.#hold.look()) return 'holding';
    this.#releaseLate();
    this.#t0 = { wallNs: realtimeNs(), monotonicNs: monotonicNs() };
    this.#copier.held = true;
    return 'held';
  }

  abandonHold(): void {
    this.#copier.held = false;
    this.#lettingGo = !this.#hold.releaseStopped();
  }

  initial(found: RangeSink, armed: RangeSink, open: RangeSink): void {
    const { space, pages } = this.#attached;
    this.#hold.capture();
    const fresh = new RangeList();
    const changed = space.refresh();
    // The list is that of the memory we attached to, and whoever lives maps something.
    if (space.regions.length === 0) throw this.#gone();
    if (changed || this.#unsettled) this.#adaptPlan(fresh);
    const plan = this.#plan!;
    this.#initialWords(found);
    this.#fillGaps(fresh);
    const { files } = plan;
    for (let run = 0; run < fresh.length; run++)
      this.#initialFresh(fresh.firsts[run]!, fresh.counts[run]!, found, armed);
    for (let file = 0; file < files.length; file++)
      pages.ownPages(files.starts[file]!, files.ends[file]!, found);
    for (const { first, count } of this.#removed) this.#initialRemoved(first, count, found, armed);
    plan.addUnprotected(open);
    this.#regionsAtT0 = space.regions;
  }

  /** Between the arming and the hold: its threads are held, if it has any, and none of them has this memory. */
  #gone(): LivecoreError {
    const { pid } = this.#attached;
    const text = `process ${pid} can no longer be captured: it has ended, or executed another program`;
    return new LivecoreError('TARGET_GONE', text, { pid });
  }

  resume(): void {
    this.#copier.held = false;
    this.#hold.release();
  }

  takeTraps(traps: TrapBatch, timeoutNs: number): void {
    // A thread that a hold asked to stop, and that was in a page fault, stops once its trap is served: let go then.
    if (this.#lettingGo) this.#lettingGo = !this.#hold.releaseStopped();
    this.#traps.take(traps, timeoutNs, this.granule);
  }

  acknowledge(first: number, count: number): void {
    if (this.#t0 === undefined) this.#removed.add(first, count);
    this.#traps.acknowledge(first, count);
  }

  release(first: number, count: number): boolean {
    if (this.#protection.release(first, count)) return true;
    // After T0 the removal has to be copied first: the engine is told of it as a trap.
    if (this.#t0 !== undefined) return false;
    this.#letRemove();
    return this.#protection.release(first, count);
  }

  granule: (block: number) => number = (block) =>
    this.#attached.pages.hugeSpans.has(Math.floor(block / SPAN_PAGES)) ? SPAN_PAGES : 1;

  copy(first: number, count: number, _staging: Uint8Array, offset: number, outcome: Outcome): void {
    this.#copier.copy(first, count, offset, outcome);
  }

  disarm(): boolean {
    const { pid, pages } = this.#attached;
    const over = overIfGone(() => this.#protection.disarmNext(this.#spans, pages, () => readMaps(pid)));
    const nowNs = monotonicNs();
    if (!this.#protection.refused || this.#disarmedNs === 0) this.#disarmedNs = nowNs;
    return over || nowNs - this.#disarmedNs > DISARM_NS;
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }

  /** The threads' registers as plain data. After the hold, when nobody waits for it. */
  keepThreads(): void {
    this.#threads = this.#hold.registers.threads();
  }

  /** Words that were found too late: their blocks may be protected already. */
  readonly #unprotect: RangeSink = {
    add: (first, count) => {
      for (let block = first; block < first + count; block++) this.#late.push(block);
    },
  };

  /** While somebody removes memory nothing can be released: what could not be is tried again with the next look. */
  #releaseLate(): void {
    const release = (): number => (this.release(this.#late.at(-1)!, 1) ? 0 : -ERRNO.EAGAIN);
    while (this.#late.length > 0 && this.#inTheMoment(release) === 0) this.#late.pop();
  }

  /** A thread that ends meanwhile has no words any more; one that can't be asked has none of a C library. */
  #askThread(tid: number): void {
    try {
      this.#attached.ask(tid, this.#words);
    } catch (error) {
      const cannot = error instanceof LivecoreError && error.code !== 'SYSTEM_CALL';
      if (!cannot && !isGone(error)) throw error;
    }
    this.#words.giveUp(tid);
  }

  /** A mapping that looks as it did, but has been joined to others and split again, is to be surveyed anew. */
  #forgetIfDropped(region: Region): boolean {
    const { start, end } = region.mapping;
    const index = this.#spans.indexOf(start / PAGE_BYTES);
    const holdsPages = index < this.#spans.length && this.#spans.firsts[index]! * PAGE_BYTES < end;
    return holdsPages && this.#protection.isDropped(start, end) && this.#surveyed.delete(region);
  }

  #surveyRegion(region: Region, found: RangeSink): void {
    const { start, end } = region.mapping;
    this.#registered = true;
    const result = this.#protection.register(start, end);
    // Then it is found anew, in the hold at the latest.
    if (result === 'changed') {
      this.#unsettled = true;
      return;
    }
    if (result === 'refused') {
      // It can only be copied in the hold: the forecast has to know.
      this.#attached.pages.populated(start, end, this.#unprotectable);
      return;
    }
    this.#surveyed.add(region);
    const spans = new RangeList();
    this.#attached.pages.populatedSpans(start, end, spans);
    for (const { first, count } of spans) this.#addSpan(first, count, found);
  }

  /** Pages where there were none at the last survey. */
  #fillGaps(fresh: RangeSink): void {
    const { gaps } = this.#plan!;
    for (let gap = 0; gap < gaps.length; gap++)
      this.#attached.pages.populated(gaps.starts[gap]!, gaps.ends[gap]!, fresh);
  }

  #countOwnPages(): void {
    const { space, pages } = this.#attached;
    this.#ownPages = 0;
    const count = {
      add: (_first: number, blocks: number): void => {
        this.#ownPages += blocks;
      },
    };
    for (const { handling, mapping } of space.regions) {
      if (handling === 'file') pages.ownPages(mapping.start, mapping.end, count);
    }
  }

  #addSpan(first: number, count: number, found: RangeSink): void {
    this.#spans.add(first, count);
    found.add(first, count);
  }

  /** Inside the hold: the address space is not what it was at the last survey. What is new is armed now. */
  #adaptPlan(fresh: RangeSink): void {
    const { space, pages } = this.#attached;
    const { regions } = space;
    for (const region of regions) {
      if (region.handling !== 'protected' || this.#surveyed.has(region)) continue;
      const { start, end } = region.mapping;
      const held = new RangeList();
      pages.populated(start, end, held);
      // It may be part of another that was armed: then what counts is what is protected now.
      const stood = held.length > 0 && !this.#protection.isDropped(start, end);
      this.#protection.register(start, end);
      if (stood) pages.unprotected(start, end, fresh);
      else for (const { first, count } of held) fresh.add(first, count);
    }
    this.#plan = new HoldPlan(regions, this.#spans);
  }

  #initialWords(found: RangeSink): void {
    const words = new RangeList();
    this.#words.atT0(words);
    for (let run = 0; run < words.length; run++) {
      const first = words.firsts[run]!;
      if (this.#attached.space.regionAt(first * PAGE_BYTES)?.handling === 'protected')
        found.add(first, words.counts[run]!);
    }
  }

  /** Pages that came into being since the survey: copied where they are few, else protected now. */
  #initialFresh(first: number, count: number, found: RangeSink, armed: RangeSink): void {
    if (count < PROTECT_FROM_PAGES || !this.#protectNow(first, count, armed)) found.add(first, count);
  }

  /** What was destroyed has lost its protection, and may have been written again: in mappings of now, perhaps several. */
  #initialRemoved(first: number, count: number, found: RangeSink, armed: RangeSink): void {
    if (this.#protectNow(first, count, armed)) return;
    this.#protection.protectStanding(first, count);
    const { space, pages } = this.#attached;
    for (const { handling, mapping } of space.regions) {
      const start = Math.max(first * PAGE_BYTES, mapping.start);
      const end = Math.min((first + count) * PAGE_BYTES, mapping.end);
      if (handling === 'protected' && start < end) pages.unprotected(start, end, found);
    }
  }

  #protectNow(first: number, count: number, armed: RangeSink): boolean {
    this.#words.look();
    if (this.#protection.protect(first, count) < 0) return false;
    this.#spans.add(first, count);
    armed.add(first, count);
    return true;
  }
}

/** Memory that is gone has nothing left to take away, and nobody waits for it: what was copied of it is kept. */
function overIfGone(act: () => boolean): boolean {
  try {
    return act();
  } catch (error) {
    if (!isGone(error)) throw error;
    return true;
  }
}
