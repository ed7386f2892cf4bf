/** What a hold stops goes on as it was: with the signals that were on their way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildTarget } from '../../../test/support/build.ts';
import { startTarget } from '../../../test/support/targets.ts';
import { TaskList } from '../../linux/proc-tasks.ts';
import { Hold } from './hold.ts';

const skip = process.getuid!() === 0 ? buildTarget('signals').skip : 'needs root';
/** so often that many of them meet a thread in front of a delivery */
const HOLDS = 300;

test('no signal is lost, doubled or reordered', { skip }, async () => {
  await using target = await startTarget('signals', { args: ['--rate', 5000] });
  using threads = new TaskList(target.pid);
  for (let count = 0; count < HOLDS; count++) {
    using hold = new Hold(target.pid, threads, []);
    hold.seize();
    hold.begin();
    while (!hold.look());
    hold.capture();
  }
  assert.deepEqual(await target.end(), []);
});
