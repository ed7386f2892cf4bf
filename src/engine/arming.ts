import { LivecoreError } from '../errors.ts';
import type { Context } from './context.ts';
import { NS_PER_MS, worthAnotherRound } from './policy.ts';

/**
 * What one call of `protect` costs, in blocks that could be protected meanwhile: 1.4 µs a call and 45 ns a block
 * of 4 KiB (docs/performance.md).
 */
const CALL_BLOCKS = 32;

/**
 * Arming: everything is write-protected in steps while the machine runs. What is written meanwhile is noted and
 * released; noted blocks are armed again in rounds, until so few remain that copying them in the hold is
 * cheaper. So the pause does not depend on the size of memory.
 *
 * Each writer traps about once a step, for it waits until the step is over. So a round leaves as many noted blocks
 * as it has steps, for each writer, and converges only because a step takes many noted blocks together.
 */
export class Arming {
  readonly #context: Context;
  /** ranges to protect in this round; before `#next` they are */
  #firsts: number[] = [];
  #counts: number[] = [];
  #next = 0;
  #notedBefore = Number.POSITIVE_INFINITY;
  #surveying = false;
  /** since when the machine can't protect; 0 when it can */
  #refusedSinceNs = 0;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Finds what this round has to protect: what is new, and what was noted. False where there is more to find. */
  survey(): boolean {
    const { machine, armed, noted, statistics } = this.#context;
    if (!this.#surveying) {
      this.#firsts = [];
      this.#counts = [];
      this.#next = 0;
    }
    this.#surveying = !machine.survey({
      add: (first, count) => {
        if (count === 0) return;
        armed.add(first, count);
        this.#firsts.push(first);
        this.#counts.push(count);
      },
    });
    if (this.#surveying) return false;
    noted.handOver(this.#firsts, this.#counts);
    statistics.rounds++;
    return true;
  }

  /**
   * Protects one step's worth, in as many pieces as that takes. `refused` where the machine can't at the moment, `over`
   * when the round is.
   */
  protect(): 'protected' | 'refused' | 'over' {
    if (this.#next === this.#firsts.length) return 'over';
    let left = this.#context.policy.armStepBlocks;
    let piece = this.#pieceBlocks();
    do {
      if (!this.#protectPiece(piece)) return this.#refused();
      this.#refusedSinceNs = 0;
      left -= piece + CALL_BLOCKS;
      piece = this.#pieceBlocks();
    } while (piece > 0 && piece <= left);
    return 'protected';
  }

  /** Whether to go round again, after a round is over. */
  again(): boolean {
    const { policy, statistics } = this.#context;
    const pieces = notedPieces(this.#context);
    const more = worthAnotherRound(policy, statistics.rounds, pieces, this.#notedBefore);
    this.#notedBefore = pieces;
    if (!more) statistics.converged = pieces <= policy.hotBlocks;
    return more;
  }

  /** How much of the next range can be protected in one call: up to where a step ends, in whole granules. */
  #pieceBlocks(): number {
    const first = this.#firsts[this.#next];
    if (first === undefined) return 0;
    const { machine, policy } = this.#context;
    const step = Math.max(policy.armStepBlocks, machine.granule(first));
    return Math.min(this.#counts[this.#next]!, step - (first % step));
  }

  /** Nobody waits for it to end, but it has to. */
  #refused(): 'refused' {
    const { clock, policy } = this.#context;
    const nowNs = clock.now();
    if (this.#refusedSinceNs === 0) this.#refusedSinceNs = nowNs;
    if (nowNs - this.#refusedSinceNs <= policy.refusalNs) return 'refused';
    throw new LivecoreError(
      'STALLED',
      `nothing was captured: for ${policy.refusalNs / NS_PER_MS} ms there was no moment without somebody removing memory`,
      { cure: 'its threads give memory back all the time (madvise); try again when they do so less' },
    );
  }

  #protectPiece(count: number): boolean {
    const { machine, noted } = this.#context;
    const first = this.#firsts[this.#next]!;
    const left = this.#counts[this.#next]! - count;
    noted.forget(first, count);
    if (!machine.protect(first, count)) return false;
    if (left === 0) {
      this.#next++;
    } else {
      this.#firsts[this.#next] = first + count;
      this.#counts[this.#next] = left;
    }
    return true;
  }
}

/** What the noted blocks cost inside the hold, in copies of one block: a large granule is protected there, in one call. */
export function notedPieces({ noted, machine }: Context): number {
  let merged = 0;
  for (let index = 0; index < noted.firsts.length; index++) {
    const granule = machine.granule(noted.firsts[index]!);
    if (granule > 1) merged += noted.counts[index]! * (1 - 1 / granule);
  }
  return Math.max(noted.firsts.length, Math.round(noted.blocks - merged));
}
