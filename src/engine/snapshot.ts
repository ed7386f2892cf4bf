import { LivecoreError } from '../errors.ts';
import { Arming, notedPieces } from './arming.ts';
import { Context, invariant } from './context.ts';
import type { LeafSupply } from './copy-map.ts';
import { InitialCopy } from './initial-copy.ts';
import type { Clock, Machine } from './machine.ts';
import { NS_PER_MS, type Policy } from './policy.ts';
import type { RangeList } from './range-list.ts';
import type { Statistics } from './statistics.ts';
import type { SnapshotStorage } from './storage.ts';
import { Sweep } from './sweep.ts';
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
/** Waiting for who removes memory to be on their way: nothing tells when they are. */
const MOMENT_NS = 20_000;

/** Listens to the turns of a snapshot. Never called while writers are held; what it throws ends the snapshot. */
export interface SnapshotListener {
  /**
   * What is to be captured has been found, and arming is next, unless the listener throws. Told here and not in front
   * of the hold: whoever listens may take the writers' CPU for a while, and in the hold they need it to stop.
   */
  forecast?(pauseNs: number): void;
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
  readonly #sweep: Sweep;
  #phase: Phase = 'survey';
  #failure: LivecoreError | undefined;
  #captured: RangeList | undefined;
  #serveNext = true;
  #stepping = false;
  /** why a step was asked to be the last one, by what it called */
  #stopReason: LivecoreError | undefined;
  #heldSinceNs = 0;
  #initialCopy: InitialCopy | undefined;
  #retryAtNs = 0;

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
    this.#sweep = new Sweep(this.#context);
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
  /** all blocks of the snapshot, from T0 on; before it what is known of them */
  get captured(): RangeList {
    if (this.#captured !== undefined) return this.#captured;
    const { armed, asked, open } = this.#context;
    const known = armed.union(open).union(asked);
    if (this.#traps.mode !== 'note') this.#captured = known;
    return known;
  }
  /** blocks that need no more work */
  get done(): number {
    return this.#context.copied.size;
  }
  /** The lowest block from `from` on that is captured and needs work still, or Infinity. */
  nextUndone(from: number): number {
    const { copied } = this.#context;
    const { firsts, counts } = this.captured;
    for (let index = this.captured.indexOf(from); index < firsts.length; index++) {
      const end = firsts[index]! + counts[index]!;
      const found = copied.nextClear(Math.max(from, firsts[index]!), end);
      if (found < end) return found;
    }
    return Number.POSITIVE_INFINITY;
  }
  /** captured, and stored, but not to be vouched for */
  get unreliable(): RangeList {
    return this.#context.unreliable;
  }
  /** captured, but destroyed before they could be copied: nothing is stored */
  get lost(): RangeList {
    return this.#context.lost;
  }
  /** captured, but no part of the machine at T0: nothing is stored, and nothing is missing */
  get absent(): RangeList {
    return this.#context.absent;
  }

  /** Does one thing, and says what. */
  step(): Step {
    if (this.#phase === 'ended') return 'ended';
    this.#stepping = true;
    let done: Step = 'waited';
    try {
      const serve = this.#serveNext;
      this.#serveNext = !serve;
      done = serve ? this.#serve(0) : this.#act();
    } catch (error) {
      this.#fail(asError(error));
    }
    this.#stepping = false;
    if (this.#stopReason !== undefined) this.giveUp(this.#stopReason);
    return done;
  }

  /**
   * Ends the snapshot early: everything is released, in pieces, by the steps that follow; `failure` says why.
   * Allowed at any time, from within what a step calls as well, and again: the first reason stays.
   */
  giveUp(reason: unknown): void {
    if (this.#phase === 'ended' || this.#failure !== undefined) return;
    if (this.#stepping) this.#stopReason ??= asError(reason);
    else this.#fail(asError(reason));
  }

  /** Lets everybody go. A machine that fails in that as well is left to its disposal, the owner's next act. */
  #fail(reason: LivecoreError): void {
    if (this.#failure !== undefined) {
      this.#phase = 'ended';
      return;
    }
    this.#failure = reason;
    const held = this.#phase === 'hold';
    this.#phase = 'disarm';
    try {
      if (held) this.#context.machine.abandonHold();
      this.#traps.giveUp();
    } catch {
      this.#phase = 'ended';
    }
  }

  #serve(timeoutNs: number): Step {
    this.#traps.serve(timeoutNs);
    // A storage that fails has ended the snapshot; it must not end the orderly release as well.
    if (this.#failure === undefined) this.#context.storage.pump();
    return timeoutNs > 0 ? 'waited' : 'served';
  }

  #act(): Step {
    switch (this.#phase) {
      case 'survey':
        if (this.#context.clock.now() < this.#retryAtNs) return this.#serve(WAIT_NS);
        if (!this.#arming.survey()) return 'surveyed';
        this.#phase = 'arm';
        if (this.#context.statistics.rounds === 1) this.#forecast();
        return 'surveyed';
      case 'arm':
        return this.#arm();
      case 'hold':
        return this.#hold();
      case 'copy':
        return this.#copy();
      case 'disarm':
        if (this.#context.machine.disarm()) this.#end();
        return 'disarmed';
      case 'ended':
        return 'ended';
    }
  }

  #arm(): Step {
    const done = this.#context.machine.capabilities.liveArming ? this.#arming.protect() : 'over';
    if (done === 'protected') return 'protected';
    if (done === 'refused') return this.#serve(MOMENT_NS);
    this.#decide();
    return 'decided';
  }

  /**
   * With as many noted blocks as arming is expected to come down to. What is too long without any is refused now: of a machine
   * of a great many parts, arming takes long, and writers would wait for nothing.
   */
  #forecast(): void {
    const { machine, policy } = this.#context;
    const leastNs = machine.forecastPause(0);
    if (leastNs > policy.pauseLimitNs) throw pauseTooLong(leastNs, policy.pauseLimitNs);
    this.#listener.forecast?.(machine.forecastPause(policy.hotBlocks));
  }

  /** After a round of arming: another one, or the hold, or nothing if the pause would be too long. */
  #decide(): void {
    if (this.#context.machine.capabilities.liveArming && this.#arming.again()) {
      this.#phase = 'survey';
      return;
    }
    const { machine, storage, policy, statistics, clock } = this.#context;
    const pieces = notedPieces(this.#context);
    const pauseNs = machine.forecastPause(pieces);
    if (pauseNs > policy.pauseLimitNs) throw pauseTooLong(pauseNs, policy.pauseLimitNs);
    storage.rehearse?.();
    statistics.holdAttempts++;
    this.#heldSinceNs = clock.now();
    this.#initialCopy = new InitialCopy(this.#context, this.#heldSinceNs);
    // First the phase: if beginHold fails halfway, those it has stopped are let go.
    this.#phase = 'hold';
    machine.beginHold();
  }

  /** Stops the writers, with traps served between looks; at T0 all that follows happens in one go. */
  #hold(): Step {
    const { machine, policy, clock } = this.#context;
    if (machine.continueHold() === 'holding') {
      if (clock.now() - this.#heldSinceNs > policy.holdNs) this.#abandonHold();
      return 'holding';
    }
    // Made before: nothing is made here that need not be.
    const initial = this.#initialCopy!;
    initial.copy();
    this.#traps.mode = 'copy';
    machine.resume();
    initial.releaseAndMark();
    this.#phase = 'copy';
    this.#listener.resumed?.();
    return 'held';
  }

  #abandonHold(): void {
    const { machine, policy, statistics, clock } = this.#context;
    machine.abandonHold();
    this.#phase = 'survey';
    if (statistics.holdAttempts >= policy.holdAttempts) throw holdFailed(policy);
    this.#retryAtNs = clock.now() + policy.holdRetryNs * 2 ** (statistics.holdAttempts - 1);
  }

  /** One chunk: of a pending removal, else of the sweep. Waits where the staging memory has no room for it. */
  #copy(): Step {
    // First, because while somebody waits to remove memory the machine may let nobody go.
    if (this.#traps.removalsWait) return this.#traps.copyForRemovals() ? 'copied' : this.#serve(WAIT_NS);
    if (this.#traps.writersWait) return this.#serve(this.#traps.refused ? MOMENT_NS : WAIT_NS);
    switch (this.#sweep.next()) {
      case 'swept':
        return 'copied';
      case 'full':
        return this.#serve(WAIT_NS);
      case 'over':
        this.#phase = 'disarm';
        return 'decided';
    }
  }

  /** Nothing is protected any more; now there is time to see whether nothing was left out. */
  #end(): void {
    this.#phase = 'ended';
    if (this.#failure !== undefined) return;
    invariant(this.#context.copied.size === this.captured.blocks, 'not all that is captured was copied');
  }
}

function holdFailed(policy: Policy): LivecoreError {
  return new LivecoreError(
    'HOLD_FAILED',
    `hold given up ${policy.holdAttempts} times: the writers did not all stop within ${policy.holdNs / NS_PER_MS} ms`,
    { cure: 'a thread may be stuck in the kernel (state D in /proc/PID/task); try again when it is not' },
  );
}

/** The error for a hold that would be longer than it may. */
export function pauseTooLong(pauseNs: number, limitNs: number): LivecoreError {
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
