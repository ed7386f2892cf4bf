import { LivecoreError } from '../errors.ts';
import { Arming } from './arming.ts';
import { Context, invariant } from './context.ts';
import type { LeafSupply } from './copy-map.ts';
import { copyRange, copyUnmarked, markCopied } from './copying.ts';
import type { Clock, Machine } from './machine.ts';
import { NS_PER_MS, type Policy } from './policy.ts';
import { RangeList } from './range-list.ts';
import type { Statistics } from './statistics.ts';
import type { SnapshotStorage } from './storage.ts';
import { TrapService } from './trap-service.ts';

/** Where a snapshot is. `ended` is final, with or without success. */
export type Phase = 'survey' | 'arm' | 'hold' | 'copy' | 'disarm' | 'ended';

/** What one step did. */
export type Step =
  | 'served'
  | 'surveyed'
  | 'protected'
  | 'decided'
  | 'holding'
  | 'held'
  | 'copied'
  | 'waited'
  | 'disarmed'
  | 'ended';

/** Waiting for room in the staging memory, a writer's trap ends the wait at once. */
const WAIT_NS = 200_000;

/** Listens to the turns of a snapshot. Called between steps, never while writers are held. */
export interface SnapshotListener {
  /** Arming is over; `false` forbids the hold (the listener has thrown its reason itself, or will). */
  forecast?(pauseNs: number, noted: number): void;
  /** T0 has been, the writers run again. */
  resumed?(): void;
}

/**
 * One live snapshot: the method itself, as steps.
 *
 * Every other step serves the traps that wait; the steps between arm, hold, sweep one chunk, or disarm. One thread
 * does both, so there is no race between trap and sweep, and a test can place writes between any two steps.
 *
 * @example
 * const snapshot = new Snapshot(machine, storage, DEFAULT_POLICY, clock);
 * while (snapshot.step() !== 'ended');
 * if (snapshot.failure !== undefined) throw snapshot.failure;
 */
export class Snapshot {
  readonly #context: Context;
  readonly #listener: SnapshotListener;
  readonly #arming: Arming;
  readonly #traps: TrapService;
  #phase: Phase = 'survey';
  #failure: LivecoreError | undefined;
  #serveNext = true;
  #holdSince = 0;
  #sweepRange = 0;
  #sweepBlock = 0;

  constructor(
    machine: Machine,
    storage: SnapshotStorage,
    policy: Policy,
    clock: Clock,
    options: { leaves?: LeafSupply | undefined; listener?: SnapshotListener | undefined } = {},
  ) {
    this.#context = new Context(machine, storage, policy, clock, options.leaves);
    this.#listener = options.listener ?? {};
    this.#arming = new Arming(this.#context);
    this.#traps = new TrapService(this.#context);
  }

  get phase(): Phase {
    return this.#phase;
  }
  /** why the snapshot was given up; undefined while it runs and when it is good */
  get failure(): LivecoreError | undefined {
    return this.#failure;
  }
  get statistics(): Statistics {
    return this.#context.statistics;
  }
  /** all blocks of the snapshot, known from T0 on */
  get captured(): RangeList {
    return this.#context.captured;
  }
  /** blocks that need no more work */
  get done(): number {
    return this.#context.copied.size;
  }
  get unreliable(): RangeList {
    return this.#context.unreliable;
  }
  get lost(): RangeList {
    return this.#context.lost;
  }

  /** Does one thing, and says what. */
  step(): Step {
    if (this.#phase === 'ended') return 'ended';
    try {
      const serve = this.#serveNext;
      this.#serveNext = !serve;
      if (!serve) return this.#act();
      this.#traps.serve(0);
      this.#context.storage.pump();
      return 'served';
    } catch (error) {
      this.giveUp(error);
      return 'waited';
    }
  }

  /** Ends the snapshot early: everything is released, in pieces; `failure` says why. */
  giveUp(reason: unknown): void {
    if (this.#phase === 'ended') return;
    const first = this.#failure === undefined;
    this.#failure ??= asError(reason);
    try {
      if (this.#phase === 'hold') this.#context.machine.abandonHold();
      this.#traps.giveUp();
      this.#phase = first ? 'disarm' : 'ended';
    } catch {
      // The machine fails in letting go as well: its disposal, the owner's next act, lifts the rest.
      this.#phase = 'ended';
    }
  }

  #act(): Step {
    switch (this.#phase) {
      case 'survey':
        this.#arming.survey();
        this.#phase = 'arm';
        return 'surveyed';
      case 'arm':
        if (this.#context.machine.capabilities.liveArming && this.#arming.protect()) return 'protected';
        this.#decide();
        return 'decided';
      case 'hold':
        return this.#hold();
      case 'copy':
        return this.#copy();
      case 'disarm':
        if (this.#context.machine.disarm()) this.#phase = 'ended';
        return 'disarmed';
      case 'ended':
        return 'ended';
    }
  }

  /** After a round of arming: another one, or the hold, or nothing if the pause would be too long. */
  #decide(): void {
    if (this.#context.machine.capabilities.liveArming && this.#arming.again()) {
      this.#phase = 'survey';
      return;
    }
    const { machine, policy, noted, statistics, clock } = this.#context;
    if (statistics.holdAttempts === 0) {
      const pauseNs = machine.forecastPause(noted.size);
      this.#listener.forecast?.(pauseNs, noted.size);
      if (pauseNs > policy.pauseLimitNs) throw pauseTooLong(pauseNs, policy.pauseLimitNs);
    }
    statistics.holdAttempts++;
    this.#holdSince = clock.now();
    machine.beginHold();
    this.#phase = 'hold';
  }

  /** Stops the writers, with traps served between looks; at T0 all that follows happens in one go. */
  #hold(): Step {
    const { machine, policy, clock } = this.#context;
    if (machine.continueHold() === 'holding') {
      if (clock.now() - this.#holdSince > policy.holdNs) this.#tryAgain();
      return 'holding';
    }
    this.#initialCopy();
    this.#traps.mode = 'copy';
    machine.resume();
    this.#phase = 'copy';
    this.#listener.resumed?.();
    return 'held';
  }

  #tryAgain(): void {
    const { machine, policy, statistics } = this.#context;
    machine.abandonHold();
    this.#phase = 'survey';
    if (statistics.holdAttempts < policy.holdAttempts) return;
    throw new LivecoreError(
      'HOLD_FAILED',
      `hold given up ${policy.holdAttempts} times: the writers did not all stop within ${policy.holdNs / NS_PER_MS} ms`,
      { cure: 'a thread may be stuck in the kernel (state D in /proc/PID/task); try again when it is not' },
    );
  }

  /** T0 is now. Copies what can't wait and releases what was protected of it. */
  #initialCopy(): void {
    const { machine, noted, swept, captured } = this.#context;
    const now = new RangeList();
    if (!machine.capabilities.liveArming) for (const { first, count } of swept) machine.protect(first, count);
    machine.initial(now, swept);
    for (const { first, count } of swept) {
      const end = first + count;
      for (let block = noted.nextSet(first, end); block < end; ) {
        const stop = noted.nextClear(block, end);
        now.add(block, stop - block);
        block = noted.nextSet(stop, end);
      }
    }
    for (const { first, count } of swept) captured.add(first, count);
    for (const { first, count } of now) {
      captured.add(first, count);
      this.#copyNow(first, count);
    }
    // S4: first the writes are allowed, then the copy map is written, which may itself be in what was copied.
    for (const { first, count } of swept) releaseWithin(machine, now, first, count);
    for (const { first, count } of now) markCopied(this.#context, first, count);
  }

  #copyNow(first: number, count: number): void {
    const { storage, clock, policy } = this.#context;
    for (let done = 0; ; ) {
      done += copyUnmarked(this.#context, first + done, count - done);
      if (done === count) return;
      storage.pump();
      if (clock.now() - this.#holdSince > policy.stallLimitNs) {
        throw new LivecoreError(
          'STALLED',
          'hold given up: the initial copy found no room in the staging memory',
          {
            cure: 'give a larger --buffer',
          },
        );
      }
    }
  }

  /** One chunk: of a pending removal, else of the sweep. */
  #copy(): Step {
    const { storage } = this.#context;
    if (!this.#traps.writersWait) {
      const room = this.#traps.removalsWait ? this.#traps.copyForRemovals() : this.#sweepChunk();
      if (room) return this.#phase === 'copy' ? 'copied' : 'decided';
    }
    this.#traps.serve(WAIT_NS);
    storage.pump();
    return 'waited';
  }

  /** Sweeps the next chunk; false where the staging memory has no room. Past the last one: disarms. */
  #sweepChunk(): boolean {
    const { swept, copied, policy, machine } = this.#context;
    const rangeFirst = swept.firsts[this.#sweepRange];
    if (rangeFirst === undefined) {
      this.#finish();
      return true;
    }
    const rangeEnd = rangeFirst + swept.counts[this.#sweepRange]!;
    const from = copied.nextClear(Math.max(this.#sweepBlock, rangeFirst), rangeEnd);
    if (from === rangeEnd) {
      this.#sweepRange++;
      return true;
    }
    const unit = Math.max(policy.chunkBlocks, machine.granule(from));
    const end = Math.min(rangeEnd, from - (from % unit) + unit);
    if (!copyRange(this.#context, from, end - from, 'swept')) return false;
    machine.release(from, end - from);
    this.#sweepBlock = end;
    return true;
  }

  #finish(): void {
    const { swept, copied } = this.#context;
    for (const { first, count } of swept) {
      invariant(copied.nextClear(first, first + count) === first + count, 'the sweep left a block out');
    }
    this.#phase = 'disarm';
  }
}

/** Releases what of a protected range was copied. */
function releaseWithin(machine: Machine, now: RangeList, first: number, count: number): void {
  for (const range of now) {
    const from = Math.max(first, range.first);
    const stop = Math.min(first + count, range.first + range.count);
    if (from < stop) machine.release(from, stop - from);
  }
}

function pauseTooLong(pauseNs: number, limitNs: number): LivecoreError {
  const ms = (ns: number): string => (ns / NS_PER_MS).toFixed(2);
  return new LivecoreError(
    'PAUSE_TOO_LONG',
    `nothing was captured: a pause of ${ms(pauseNs)} ms is forecast, the limit is ${ms(limitNs)} ms`,
    { cure: 'allow more with --max-pause MS, or with --force' },
  );
}

function asError(reason: unknown): LivecoreError {
  if (reason instanceof LivecoreError) return reason;
  return new LivecoreError('INVARIANT', `snapshot given up: ${String(reason)}`, {}, reason);
}
