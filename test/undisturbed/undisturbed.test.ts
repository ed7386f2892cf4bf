/** Targets that notice what a dump could disturb, dumped a few times: `npm run undisturbed` does so often. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { noLiveDump } from '../support/live-dump.ts';
import { targetSkip } from '../support/targets.ts';
import { disturb, SCENES } from './scenes.ts';

const DUMPS = 2;

suite('undisturbed by a dump', { skip: noLiveDump }, () => {
  for (const scene of SCENES)
    test(scene.name, { skip: targetSkip(scene.target, { musl: scene.musl ?? false }) }, async () => {
      assert.deepEqual(await disturb(scene, DUMPS), []);
    });
});
