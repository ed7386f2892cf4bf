import { LivecoreError } from '../errors.ts';
import { type Context, invariant } from './context.ts';
import { copyRange } from './copying.ts';
import { NS_PER_MS } from './policy.ts';
import { RangeList } from './range-list.ts';

/**
 * What a trap leads to:
 * before T0 the block is noted and released; after T0 it is copied, marked and released;
 * once the snapshot is given up it is released.
 */
export type TrapMode = 'note' | 'copy' | 'release';

/**
 * Serves the writers that wait. Traps for which the staging memory has no room stay in `#writers`, removals in
 * `#removals`: those are copied a chunk a step, so that a large one makes no writer wait for it.
 */
export class TrapService {
  mode: TrapMode = 'note';
  readonly #context: Context;
  #writers: RangeList = new RangeList();
  readonly #removals: { first: number; count: number }[] = [];
  #waitingSince = 0;
  #lastLook: number;

  constructor(context: Context) {
    this.#context = context;
    this.#lastLook = context.clock.now();
  }

  /** Whether a writer waits for room in the staging memory. */
  get writersWait(): boolean {
    return this.#writers.length > 0;
  }
  /** Whether memory is about to be destroyed, and waits for its copy. */
  get removalsWait(): boolean {
    return this.#removals.length > 0;
  }

  /** Takes the traps that wait, for at most `timeoutNs`, and serves them. */
  serve(timeoutNs: number): void {
    const { machine, traps, clock } = this.#context;
    if (timeoutNs > 0) this.#lastLook = clock.now();
    machine.takeTraps(traps, timeoutNs);
    if (this.#writers.length > 0) this.#serveWriters();
    for (let index = 0; index < traps.length; index++) {
      const first = traps.firsts[index]!;
      const count = traps.counts[index]!;
      if (traps.kinds[index] === 'remove') this.#remove(first, count);
      else if (!this.#write(first, count)) this.#writers.add(first, count);
    }
    this.#guard();
  }

  /** Copies the next piece of the removal that waits longest; false where the staging memory has no room. */
  copyForRemovals(): boolean {
    const removal = this.#removals[0]!;
    const { policy, copied, machine } = this.#context;
    const end = removal.first + removal.count;
    const first = copied.nextClear(removal.first, end);
    if (first < end) {
      const count = Math.min(policy.chunkBlocks, end - first);
      if (!copyRange(this.#context, first, count, 'trapped')) return false;
      if (copied.nextClear(first, end) < end) return true;
    }
    this.#removals.shift();
    machine.acknowledge(removal.first, removal.count);
    return true;
  }

  /** Lets everybody go who waits, without copying: the snapshot is given up. */
  giveUp(): void {
    this.mode = 'release';
    const { machine } = this.#context;
    for (const { first, count } of this.#writers) machine.release(first, count);
    for (const { first, count } of this.#removals) machine.acknowledge(first, count);
    this.#writers = new RangeList();
    this.#removals.length = 0;
  }

  #remove(first: number, count: number): void {
    if (this.mode === 'copy') this.#removals.push({ first, count });
    else this.#context.machine.acknowledge(first, count);
  }

  /** One writer's block; false where it has to wait for room. */
  #write(first: number, count: number): boolean {
    const { machine, statistics, clock, copied, noted } = this.#context;
    if (this.mode === 'copy') {
      if (!copyRange(this.#context, first, count, 'trapped')) return false;
      invariant(
        copied.nextClear(first, first + count) === first + count,
        'a block would be released uncopied',
      );
      statistics.traps++;
    } else if (this.mode === 'note') {
      statistics.early += noted.setRange(first, count);
    }
    machine.release(first, count);
    if (this.mode === 'copy') statistics.waits.add(clock.now() - this.#lastLook);
    return true;
  }

  #serveWriters(): void {
    const left = new RangeList();
    for (const { first, count } of this.#writers) if (!this.#write(first, count)) left.add(first, count);
    this.#writers = left;
  }

  /** No writer waits longer than the limit: not for the disk, not for anything. */
  #guard(): void {
    const now = this.#context.clock.now();
    this.#lastLook = now;
    if (!this.writersWait && !this.removalsWait) {
      this.#waitingSince = 0;
      return;
    }
    if (this.#waitingSince === 0) this.#waitingSince = now;
    const limit = this.#context.policy.stallLimitNs;
    if (now - this.#waitingSince <= limit) return;
    throw new LivecoreError('STALLED', `snapshot given up: a writer waited for ${limit / NS_PER_MS} ms`, {
      cure: 'the output is too slow for what the target writes: use a faster disk, a larger --buffer, or a longer --max-stall',
    });
  }
}
