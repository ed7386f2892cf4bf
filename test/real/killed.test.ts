/**
 * The tool is killed (SIGKILL) at random moments of a dump: the target goes on, untraced and unprotected, its results are
 * right, and no half file bears the final name. `npm run faults -- --moments N` does so more often.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killAtRandomMoments } from '../faults/moments.ts';
import { noLiveDump } from '../support/live-dump.ts';

const KILLS = 25;
const SEED = 20;

test(`killed ${KILLS} times, the target goes on`, { skip: noLiveDump }, async (context) => {
  const finished = await killAtRandomMoments(KILLS, SEED);
  context.diagnostic(`${finished} of ${KILLS} dumps had come to their end before`);
  assert.ok(finished < KILLS, 'no dump was killed');
});
