/**
 * THE contract: what a machine must do so that the engine can take a live snapshot of it.
 *
 * A machine is something with memory that can be captured while it is used. The engine asks, always from one
 * thread and never from inside another call, in this order:
 *
 *   survey, protect ...        arming, live, in rounds; takeTraps and release between any two protects
 *   forecastPause              once the rounds converged, still live
 *   beginHold, continueHold    until 'held'; takeTraps and release between any two; or abandonHold and again
 *   initial, copy, release ... inside the hold: T0 is the instant at which continueHold said 'held'
 *   resume                     the writers go on; from here every write to a protected block must trap
 *   takeTraps, copy, release   traps first, then a chunk of the sweep, until nothing is left to copy
 *   disarm                     in pieces, takeTraps and release between
 *   [Symbol.dispose]           at any moment, from any state: lifts all protection and lets every writer go
 *
 * A snapshot that is given up goes on from wherever it was with abandonHold, if a hold was begun and not yet over,
 * and disarm; takeTraps, release and acknowledge between.
 *
 * Blocks are numbered by the machine: block n holds the bytes from n * blockBytes on of its address space. The
 * numbers may be as sparse as the addresses are (up to 2^53).
 *
 * A method throws only when the snapshot as a whole can't go on; the engine then gives up and disposes. What
 * concerns single blocks (gone, not to be vouched for) is an outcome, never an exception.
 */
export interface Machine {
  /** for messages */
  readonly name: string;
  /** size of a block, the unit of protection and copying */
  readonly blockBytes: number;
  readonly capabilities: Capabilities;

  /**
   * Finds memory that has to be protected and is not yet. Live. Asked at the start of every arming round: the
   * first answer is all there is, later ones are what has come since. The ranges are not protected yet on return.
   * In later rounds writers may already wait for a trap: what can't be found quickly is left to `initial`.
   *
   * @returns whether that was all; if not it is asked to go on, once traps have been served
   */
  survey(found: RangeSink): boolean;
  /**
   * Write-protects a range that survey gave, or a part of it in whole granules. Live: writers may already wait for
   * it when this returns. Asked again for blocks that were written since, or are protected still, or are gone; and
   * inside the hold for large granules that were noted, which are cheaper to protect than to copy.
   *
   * @returns false, never inside the hold, where it can't be done at the moment: somebody is on the way to remove memory.
   *   A part may be protected all the same. It is asked for again once traps have been served.
   */
  protect(first: number, count: number): boolean;
  /** How long the hold would take, in ns, if T0 were now and `noted` blocks were copied in it. */
  forecastPause(noted: number): number;

  /**
   * Starts to stop every writer. A writer that waits for a trap may have to be served before it can stop. If this
   * throws, abandonHold is asked.
   */
  beginHold(): void;
  /** One look at how far the stop is: 'held' when no writer can write any more, and not before. */
  continueHold(): 'holding' | 'held';
  /**
   * Lets the writers go that beginHold stopped: the hold took too long and will be tried again, or something failed
   * before resume returned. It waits for nobody: who has yet to stop may have to be served before, and is let go by
   * the takeTraps that finds them stopped.
   */
  abandonHold(): void;
  /**
   * Inside the hold: what must be copied now, besides the blocks that the engine noted itself: all that can't
   * be protected, what appeared since the last survey, what the kernel writes past the protection. Ranges may
   * overlap each other and the noted blocks; what is protected of them the engine releases after the hold.
   * What the machine rather protects than copies it protects here, and reports to `armed` as survey would have.
   * What needs no protection, because `copy` will tell whether it is still of T0, it reports to `open`.
   */
  initial(found: RangeSink, armed: RangeSink, open: RangeSink): void;
  /** Ends the hold. All writers run when this returns. */
  resume(): void;

  /**
   * The writers that wait, into `traps` (emptied first), waiting at most `timeoutNs` for the first. Each trap is
   * told once; its writer waits until the range is released (`write`) or acknowledged (`remove`).
   */
  takeTraps(traps: TrapBatch, timeoutNs: number): void;
  /**
   * Lets a `remove` trap go on and destroy its range. After T0 all of it has been copied. Before T0 nothing has,
   * and what the range holds at T0, protected or not, is the machine's to find: in survey or in initial. Asked for a
   * removal that nobody waits for any more, it does nothing.
   */
  acknowledge(first: number, count: number): void;
  /**
   * Allows writes to a range of whole granules again and wakes who waits for it. Never fails for blocks that are
   * gone, were released before or were never protected.
   *
   * @returns false where it can't be done at the moment: somebody is on the way to remove memory, and has to be
   *   acknowledged before. Whoever waits goes on waiting; it is asked for again.
   */
  release(first: number, count: number): boolean;
  /**
   * The number of blocks, a power of two, that are protected and released as one at `block`, aligned to itself:
   * 1, or more under a large page that should stay whole.
   */
  granule(block: number): number;

  /**
   * Copies the content of `count` blocks to `staging` from `offset` on, and says in `outcome` for each block what
   * is there. `content` is only said for what is provably unwritten since T0.
   * Inside the hold that is everything readable.
   */
  copy(first: number, count: number, staging: Uint8Array, offset: number, outcome: Outcome): void;

  /** Takes away the next piece of the protection machinery; true when nothing of it is left, and ever after. */
  disarm(): boolean;
  [Symbol.dispose](): void;
}

/** What a machine can do. Declared, never guessed from its type. */
export interface Capabilities {
  /** regions can be armed while writers run; if not, `protect` is called inside the hold */
  readonly liveArming: boolean;
  /** tells before memory is destroyed, so that it can be copied first (`remove` traps) */
  readonly removeTraps: boolean;
}

/** Receives ranges of blocks; the receiver copies what it needs before it returns. */
export interface RangeSink {
  add(first: number, count: number): void;
}

/** Gives time. Monotonic, in ns; a number is exact for 104 days. */
export interface Clock {
  now(): number;
}

export type TrapKind = 'write' | 'remove';

/** The traps that one takeTraps found. Reused, so that serving allocates nothing. */
export class TrapBatch {
  readonly capacity: number;
  length = 0;
  readonly firsts: Float64Array;
  readonly counts: Float64Array;
  readonly kinds: TrapKind[];

  constructor(capacity: number) {
    this.capacity = capacity;
    this.firsts = new Float64Array(capacity);
    this.counts = new Float64Array(capacity);
    this.kinds = new Array<TrapKind>(capacity).fill('write');
  }

  /** Adds a trap; a full batch takes no more: the machine leaves the rest waiting for the next call. */
  add(first: number, count: number, kind: TrapKind): void {
    const index = this.length;
    if (index === this.capacity) return;
    this.firsts[index] = first;
    this.counts[index] = count;
    this.kinds[index] = kind;
    this.length = index + 1;
  }
}

/** What `copy` found in a run of blocks. */
export type Content =
  /** the staging memory holds the content of T0 */
  | 'content'
  /** the content of T0 is zeros; nothing was staged */
  | 'zero'
  /** staged, but something past the protection may have written it since T0 */
  | 'unreliable'
  /** destroyed before it could be copied; nothing was staged */
  | 'lost'
  /** was not part of the machine at T0 (unmapped after it was armed); nothing was staged, nothing is missing */
  | 'absent';

/** The outcome of one `copy`: runs that cover the range asked for, in order. Reused. */
export class Outcome {
  length = 0;
  readonly firsts: number[] = [];
  readonly counts: number[] = [];
  readonly contents: Content[] = [];

  clear(): void {
    this.length = 0;
  }

  /** Adds a run, joined to the last one where they touch and agree. */
  add(first: number, count: number, content: Content): void {
    if (count === 0) return;
    const last = this.length - 1;
    if (last >= 0 && this.contents[last] === content && this.firsts[last]! + this.counts[last]! === first) {
      this.counts[last] = this.counts[last]! + count;
      return;
    }
    this.firsts[this.length] = first;
    this.counts[this.length] = count;
    this.contents[this.length] = content;
    this.length++;
  }
}
