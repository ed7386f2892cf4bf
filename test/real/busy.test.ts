/**
 * Dumps of targets that start and end threads, or fork, all the time, so that some of it falls into each
 * moment of a dump: they are not disturbed, by their own account, and the core has all of T0.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Core } from '../../src/index.ts';
import { dumpLive, noLiveDump } from '../support/live-dump.ts';
import { startTarget, type TargetName, targetSkip } from '../support/targets.ts';

const DUMPS = 4;

for (const name of ['threads', 'forker'] as const satisfies readonly TargetName[]) {
  test(`${name}, dumped ${DUMPS} times`, { skip: noLiveDump || targetSkip(name) }, async () => {
    await using target = await startTarget(name);
    for (let count = 0; count < DUMPS; count++) {
      using dumped = await dumpLive(target.pid);
      await using core = await Core.open(dumped.file);
      const { blocks } = dumped.summary;
      // Stacks of threads that ended before they were copied.
      assert.equal(core.livecore!.complete, blocks.lost + blocks.unreliable === 0);
      const tids = await Array.fromAsync(core.threads(), ({ tid }) => tid);
      assert.equal(tids[0], target.pid);
    }
    assert.deepEqual(await target.end(), []);
  });
}
