import type { Context } from './context.ts';
import { worthAnotherRound } from './policy.ts';

/**
 * Arming: everything is write-protected in steps while the machine runs. What is written meanwhile is noted and
 * released; noted blocks are armed again in rounds, until so few remain that copying them in the hold is
 * cheaper. So the pause does not depend on the size of memory.
 */
export class Arming {
  readonly #context: Context;
  /** ranges still to protect in this round */
  #firsts: number[] = [];
  #counts: number[] = [];
  #next = 0;
  #notedBefore = Number.POSITIVE_INFINITY;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Finds what this round has to protect: what is new, and after the first round what was noted. */
  survey(): void {
    const { machine, swept, statistics } = this.#context;
    this.#firsts = [];
    this.#counts = [];
    this.#next = 0;
    machine.survey({
      add: (first, count) => {
        swept.add(first, count);
        this.#firsts.push(first);
        this.#counts.push(count);
      },
    });
    if (statistics.rounds > 0) this.#takeNoted();
    statistics.rounds++;
  }

  /** Protects the next step; false when the round is over. */
  protect(): boolean {
    const { machine, policy, noted } = this.#context;
    const first = this.#firsts[this.#next];
    if (first === undefined) return false;
    const left = this.#counts[this.#next]!;
    const granule = machine.granule(first);
    const aligned = policy.armStepBlocks - (first % policy.armStepBlocks);
    const count = Math.min(left, Math.max(aligned, granule));
    for (let block = noted.nextSet(first, first + count); block < first + count; ) {
      noted.clear(block);
      block = noted.nextSet(block + 1, first + count);
    }
    machine.protect(first, count);
    if (count === left) {
      this.#next++;
    } else {
      this.#firsts[this.#next] = first + count;
      this.#counts[this.#next] = left - count;
    }
    return true;
  }

  /** Whether to go round again, after a round is over. */
  again(): boolean {
    const { noted, policy, statistics } = this.#context;
    const more = worthAnotherRound(policy, statistics.rounds, noted.size, this.#notedBefore);
    this.#notedBefore = noted.size;
    if (!more) statistics.converged = noted.size <= policy.hotBlocks;
    return more;
  }

  #takeNoted(): void {
    const { noted, swept } = this.#context;
    for (const { first, count } of swept) {
      const end = first + count;
      for (let block = noted.nextSet(first, end); block < end; ) {
        const stop = noted.nextClear(block, end);
        this.#firsts.push(block);
        this.#counts.push(stop - block);
        block = noted.nextSet(stop, end);
      }
    }
  }
}
