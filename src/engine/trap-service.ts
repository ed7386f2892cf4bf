import { LivecoreError } from '../errors.ts';
import { type Context, invariant } from './context.ts';
import { copyArmed, nextUncopied } from './copying.ts';
import { NS_PER_MS } from './policy.ts';

/**
 * What a trap leads to:
 * before T0 the block is noted and released; after T0 it is copied, marked and released;
 * once the snapshot is given up it is released.
 */
export type TrapMode = 'note' | 'copy' | 'release';

const OUTPUT_CURE =
  'the output is too slow for what the target writes: use a faster disk, a larger --buffer, or a longer --max-stall';
const REMOVALS_CURE =
  'its threads give memory back all the time (madvise), and nobody can be let go meanwhile: try again when they do so less, or with a longer --max-stall';

/** Memory about to be destroyed, whose destroyer waits for its copy. */
interface Removal {
  readonly first: number;
  readonly count: number;
  readonly sinceNs: number;
}

/**
 * Serves the writers that wait. Those for which the staging memory has no room, or whom the machine can't let go at
 * the moment, queue in the order they came.
 * Removals are copied a chunk a step, in turns, so that a large one makes nobody else wait for it.
 */
export class TrapService {
  mode: TrapMode = 'note';
  readonly #context: Context;
  readonly #queuedFirsts: number[] = [];
  readonly #queuedCounts: number[] = [];
  readonly #queuedSince: number[] = [];
  readonly #removals: Removal[] = [];
  /** the next trap of the batch to serve; those before it are served or queued */
  #next = 0;
  #refused = false;
  /** no trap that is taken next can have come before this */
  #lookedNs: number;

  constructor(context: Context) {
    this.#context = context;
    this.#lookedNs = context.clock.now();
  }

  /** Whether a writer waits: for room in the staging memory, or for the machine to let it go. */
  get writersWait(): boolean {
    return this.#queuedFirsts.length > 0;
  }
  /** Whether the machine could not let go the last that it was asked to. */
  get refused(): boolean {
    return this.#refused;
  }
  /** Whether memory is about to be destroyed, and waits for its copy. */
  get removalsWait(): boolean {
    return this.#removals.length > 0;
  }

  /** Takes the traps that wait, or for at most `timeoutNs` those that come, and serves them after those that queue. */
  serve(timeoutNs: number): void {
    const { machine, traps, clock, releases } = this.#context;
    releases.retry();
    const queued = this.writersWait;
    if (queued) this.#serveQueue();
    // They are served: that is what was waited for.
    const patienceNs = queued && !this.writersWait ? 0 : timeoutNs;
    const sinceNs = patienceNs > 0 ? clock.now() : this.#lookedNs;
    traps.length = 0;
    this.#next = 0;
    machine.takeTraps(traps, patienceNs);
    if (traps.length < traps.capacity) this.#lookedNs = clock.now();
    for (; this.#next < traps.length; this.#next++) {
      const first = traps.firsts[this.#next]!;
      const count = traps.counts[this.#next]!;
      if (traps.kinds[this.#next] === 'remove') this.#remove(first, count, sinceNs);
      else if (!this.#write(first, count, sinceNs)) this.#enqueue(first, count, sinceNs);
    }
    this.#guard();
  }

  /** Copies the next piece of the removal whose turn it is; false where the staging memory has no room. */
  copyForRemovals(): boolean {
    const removal = this.#removals[0]!;
    const { policy } = this.#context;
    const end = removal.first + removal.count;
    const from = nextUncopied(this.#context, removal.first, end);
    if (!copyArmed(this.#context, from, Math.min(policy.chunkBlocks, end - from), 'trapped')) return false;
    this.#removals.shift();
    if (nextUncopied(this.#context, from, end) < end) this.#removals.push(removal);
    else this.#acknowledge(removal);
    return true;
  }

  /** Lets everybody go who waits, without copying: the snapshot is given up. */
  giveUp(): void {
    this.mode = 'release';
    const { machine, traps, releases } = this.#context;
    for (const { first, count } of this.#removals) machine.acknowledge(first, count);
    this.#removals.length = 0;
    for (; this.#next < traps.length; this.#next++) {
      const first = traps.firsts[this.#next]!;
      const count = traps.counts[this.#next]!;
      if (traps.kinds[this.#next] === 'remove') machine.acknowledge(first, count);
      else releases.release(first, count);
    }
    for (let index = 0; index < this.#queuedFirsts.length; index++) {
      releases.release(this.#queuedFirsts[index]!, this.#queuedCounts[index]!);
    }
    this.#queueKeeps(0);
  }

  #remove(first: number, count: number, sinceNs: number): void {
    const { machine } = this.#context;
    if (this.mode !== 'copy') {
      machine.acknowledge(first, count);
      return;
    }
    const removal = { first, count, sinceNs };
    // At once where nothing is left to copy: a target that frees memory all the time must not hold up the sweep.
    if (nextUncopied(this.#context, first, first + count) === first + count) this.#acknowledge(removal);
    else this.#removals.push(removal);
  }

  #acknowledge({ first, count, sinceNs }: Removal): void {
    const { machine, statistics, clock } = this.#context;
    invariant(
      nextUncopied(this.#context, first, first + count) === first + count,
      'memory would be destroyed uncopied',
    );
    machine.acknowledge(first, count);
    statistics.traps++;
    statistics.waits.add(clock.now() - sinceNs);
  }

  /** One writer's block; false where it has to wait, for room or to be let go. */
  #write(first: number, count: number, sinceNs: number): boolean {
    const { statistics, clock, lead } = this.#context;
    if (this.mode !== 'copy') {
      if (this.mode === 'note') this.#note(first, count);
      return this.#release(first, count);
    }
    if (!copyArmed(this.#context, first, count, 'trapped')) return false;
    const end = first + count;
    invariant(nextUncopied(this.#context, first, end) === end, 'a block would be released uncopied');
    if (!this.#release(first, count)) return false;
    statistics.traps++;
    statistics.waits.add(clock.now() - sinceNs);
    lead.add(first);
    return true;
  }

  #release(first: number, count: number): boolean {
    this.#refused = !this.#context.machine.release(first, count);
    return !this.#refused;
  }

  #note(first: number, count: number): void {
    const { armed, noted, statistics } = this.#context;
    const end = first + count;
    for (let index = armed.indexOf(first); index < armed.length && armed.firsts[index]! < end; index++) {
      const from = Math.max(first, armed.firsts[index]!);
      const stop = Math.min(end, armed.firsts[index]! + armed.counts[index]!);
      statistics.early += noted.add(from, stop - from);
    }
  }

  #enqueue(first: number, count: number, sinceNs: number): void {
    this.#queuedFirsts.push(first);
    this.#queuedCounts.push(count);
    this.#queuedSince.push(sinceNs);
  }

  /** Tries the queue again; who still finds no room keeps their place. */
  #serveQueue(): void {
    let kept = 0;
    for (let index = 0; index < this.#queuedFirsts.length; index++) {
      const first = this.#queuedFirsts[index]!;
      const count = this.#queuedCounts[index]!;
      const sinceNs = this.#queuedSince[index]!;
      if (this.#write(first, count, sinceNs)) continue;
      this.#queuedFirsts[kept] = first;
      this.#queuedCounts[kept] = count;
      this.#queuedSince[kept] = sinceNs;
      kept++;
    }
    this.#queueKeeps(kept);
  }

  #queueKeeps(count: number): void {
    this.#queuedFirsts.length = count;
    this.#queuedCounts.length = count;
    this.#queuedSince.length = count;
  }

  /** No writer waits longer than the limit: not for the disk, not for anything. */
  #guard(): void {
    if (!this.writersWait && !this.removalsWait) return;
    const nowNs = this.#context.clock.now();
    let sinceNs = this.#queuedSince[0] ?? nowNs;
    for (let index = 0; index < this.#removals.length; index++) {
      sinceNs = Math.min(sinceNs, this.#removals[index]!.sinceNs);
    }
    const limit = this.#context.policy.stallLimitNs;
    if (nowNs - sinceNs <= limit) return;
    throw new LivecoreError('STALLED', `snapshot given up: a writer waited for ${limit / NS_PER_MS} ms`, {
      cure: this.#refused ? REMOVALS_CURE : OUTPUT_CURE,
    });
  }
}
