/**
 * Real dumps of a process that changes its address space all the time: maps, unmaps, moves, shrinks, throws away. Each
 * page of the core is compared with a model of the process. `npm run verify:changes` does more of them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildTarget } from '../support/build.ts';
import { checkMutatorDump } from '../support/check-mutator-dump.ts';
import { noLiveDump } from '../support/live-dump.ts';
import { startMutator } from '../support/mutator.ts';

const skip = noLiveDump || buildTarget('mutator').skip;
const SEEDS = 6;

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`what the core shows is of T0, and what it lacks is listed, seed ${seed}`, { skip }, async () => {
    await using mutator = await startMutator({ seed, threads: 2, mib: 32, rate: 10_000 });
    while ((await mutator.report()).operations < 6000);
    const check = await checkMutatorDump(mutator);
    const { wrong, unlisted, extra, brokenCounters, examples } = check;
    assert.deepEqual(
      { wrong, unlisted, extra, brokenCounters },
      { wrong: 0, unlisted: 0, extra: 0, brokenCounters: 0 },
      examples.join('\n'),
    );
    assert.ok(check.since > 0, 'nothing was changed while it was dumped');
    const { failures, first } = await mutator.report();
    assert.equal(failures, 0, first);
    assert.equal((await mutator.check()).wrong, 0, 'the target itself was changed');
  });
}
