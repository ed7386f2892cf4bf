/** A live dump of the mutator: what its core shows must be of T0, and what it does not show must be in its lists. */
import { Core } from '../../src/index.ts';
import { dumpLive } from './live-dump.ts';
import { checkMutatorImage, type Mutator } from './mutator.ts';
import { BREEDS } from './unharmed.ts';

export interface MutatorDumpCheck {
  readonly pages: number;
  /** pages that are not as they were at T0 */
  readonly wrong: number;
  /** pages that were there at T0, are not in the core, and in no list of it */
  readonly unlisted: number;
  /** pages that are listed as lost or unreliable */
  readonly listed: number;
  /** pages that were not mapped at T0, but the core has something there */
  readonly extra: number;
  readonly brokenCounters: number;
  /** operations that were performed between T0 and the end of the dump, by the mutator's own count */
  readonly since: number;
  readonly examples: readonly string[];
}

/** Dumps a mutator once, and compares the core with its model. */
export async function checkMutatorDump(mutator: Mutator): Promise<MutatorDumpCheck> {
  using dumped = await dumpLive(mutator.pid, { bufferBytes: 8 << 20 }, BREEDS);
  const { operations } = await mutator.report();
  await using core = await Core.open(dumped.file);
  const { lost, unreliable } = core.livecore!;
  const ranges = [...lost, ...unreliable];
  const isListed = (address: bigint): boolean =>
    ranges.some(({ start, end }) => address >= start && address < end);
  const check = checkMutatorImage(mutator.plan, dumped.file);
  const unlisted = check.absentPages.filter((page) => !isListed(BigInt(page)));
  return {
    pages: check.pages,
    wrong: check.wrong,
    unlisted: unlisted.length,
    listed: dumped.summary.blocks.lost + dumped.summary.blocks.unreliable,
    extra: check.extra,
    brokenCounters: check.brokenCounters,
    since: operations - check.counters.reduce((sum, [, end]) => sum + end, 0),
    examples: [
      ...check.examples,
      ...unlisted.slice(0, 10).map((page) => `${page}: neither there nor listed`),
    ],
  };
}
