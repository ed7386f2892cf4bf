import { LivecoreError } from '../errors.ts';
import { type Context, invariant } from './context.ts';
import { copyUnmarked, markCopied } from './copying.ts';

/**
 * The initial copy: what can't wait is copied inside the hold, what the machine asks for and the blocks that were
 * noted while arming. How long that takes depends on these alone, never on the size of memory. What of it is
 * protected is released as soon as the hold is over, and then it is marked: not before, because the copy map may
 * itself be in memory that was protected until then (steps S3 and S4 of the method's first description).
 */
export class InitialCopy {
  readonly #context: Context;
  readonly #heldSinceNs: number;
  /** what was noted, and is not among what the machine asked for */
  readonly #firsts: number[] = [];
  readonly #counts: number[] = [];

  /** @param heldSinceNs when the engine began to stop the writers */
  constructor(context: Context, heldSinceNs: number) {
    this.#context = context;
    this.#heldSinceNs = heldSinceNs;
  }

  /** T0 is now. */
  copy(): void {
    const { machine, noted, armed, asked, open } = this.#context;
    if (!machine.capabilities.liveArming) {
      for (let index = 0; index < armed.length; index++) {
        this.#protectHeld(armed.firsts[index]!, armed.counts[index]!);
      }
    }
    machine.initial(asked, armed, open);
    for (let index = 0; index < asked.length; index++) {
      this.#copyNow(asked.firsts[index]!, asked.counts[index]!);
    }
    for (let index = 0; index < noted.firsts.length; index++) {
      this.#copyNoted(noted.firsts[index]!, noted.firsts[index]! + noted.counts[index]!);
    }
  }

  /** The hold is over; no trap has been served since. */
  releaseAndMark(): void {
    const { asked } = this.#context;
    for (let index = 0; index < asked.length; index++) {
      this.#releaseArmed(asked.firsts[index]!, asked.firsts[index]! + asked.counts[index]!);
    }
    for (let index = 0; index < asked.length; index++) {
      markCopied(this.#context, asked.firsts[index]!, asked.counts[index]!);
    }
    for (let index = 0; index < this.#firsts.length; index++) {
      markCopied(this.#context, this.#firsts[index]!, this.#counts[index]!);
    }
  }

  /** What of a listed range is still noted, but for what was asked for. */
  #copyNoted(first: number, end: number): void {
    const { noted, asked } = this.#context;
    for (let from = noted.nextIn(first, end); from < end; from = noted.nextIn(from, end)) {
      const index = asked.indexOf(from);
      const askedFirst = asked.firsts[index] ?? end;
      const inAsked = askedFirst <= from;
      const limit = inAsked ? askedFirst + asked.counts[index]! : askedFirst;
      const stop = noted.nextOut(from, Math.min(end, limit));
      if (!inAsked) this.#takeNoted(from, stop - from);
      // So that it is not copied again where the list has it twice.
      noted.forget(from, stop - from);
      from = stop;
    }
  }

  /** One call protects a large granule, as it protects a single block; copying it would take a hundred times as long. */
  #takeNoted(first: number, count: number): void {
    const { machine } = this.#context;
    const granule = machine.granule(first);
    if (granule > 1 && first % granule === 0 && count % granule === 0) {
      this.#protectHeld(first, count);
      return;
    }
    this.#copyNow(first, count);
    this.#firsts.push(first);
    this.#counts.push(count);
  }

  #protectHeld(first: number, count: number): void {
    invariant(
      this.#context.machine.protect(first, count),
      'a writer that removes memory was taken for stopped',
    );
  }

  #copyNow(first: number, count: number): void {
    const { storage, clock, policy } = this.#context;
    const limitNs = Math.min(policy.stallLimitNs, policy.pauseLimitNs);
    for (let done = 0; ; ) {
      done += copyUnmarked(this.#context, first + done, count - done);
      if (done === count) return;
      storage.pump();
      if (clock.now() - this.#heldSinceNs <= limitNs) continue;
      throw new LivecoreError(
        'STALLED',
        'hold given up: the initial copy found no room in the staging memory',
        { cure: 'give a larger --buffer' },
      );
    }
  }

  /** Releases what of a copied range is armed, as far as it is whole granules: of others the rest is to be copied. */
  #releaseArmed(first: number, end: number): void {
    const { machine, armed, releases } = this.#context;
    for (let index = armed.indexOf(first); index < armed.length && armed.firsts[index]! < end; index++) {
      const from = Math.max(first, armed.firsts[index]!);
      const stop = Math.min(end, armed.firsts[index]! + armed.counts[index]!);
      const granule = machine.granule(from);
      const wholeFrom = Math.ceil(from / granule) * granule;
      const wholeStop = stop - (stop % machine.granule(stop - 1));
      if (wholeFrom < wholeStop) releases.release(wholeFrom, wholeStop - wholeFrom);
    }
  }
}
