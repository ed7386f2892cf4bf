/** A target that tries to get hold of the descriptors that the tool makes inside it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildTarget } from '../support/build.ts';
import { type Child, startChild } from '../support/child.ts';
import { dumpLive, noLiveDump } from '../support/live-dump.ts';
import { limitTasks, pidsLimitSkip } from '../support/pids-limit.ts';
import { BREEDS } from '../support/unharmed.ts';

const hunter = buildTarget('hunter');
const NOBODY = 65534;
const DUMPS = 2;

interface Hunt {
  readonly looks: number;
  readonly born: number;
  readonly caught: number;
  readonly inherited: number;
  readonly kept: number;
  readonly listed: number;
}

/** It opens whatever it finds, forks, and duplicates. */
const HUNTS: readonly RegExp[] = [...BREEDS, /^fd /, /children/];

const NOTHING = { caught: 0, inherited: 0, kept: 0, listed: 0 };

function startHunter(...args: (string | number)[]): Promise<Child> {
  return startChild(hunter.path, args, { uid: NOBODY, gid: NOBODY, cwd: '/' });
}

test('no thread and no child of a target gets a descriptor of the tool', {
  skip: noLiveDump || hunter.skip,
}, async () => {
  await using target = await startHunter();
  for (let count = 0; count < DUMPS; count++) {
    using _core = await dumpLive(target.pid, {}, HUNTS);
  }
  const { looks, born, ...prey } = await target.quit<Hunt>();
  assert.ok(
    looks > 1000 && born > 0,
    `it looked ${looks} times, and saw ${born} threads that it had not made`,
  );
  assert.deepEqual(prey, NOTHING);
});

test('nor where they must be made in its own table', {
  skip: noLiveDump || hunter.skip || pidsLimitSkip(),
}, async () => {
  const target = await startHunter('--forks', 0);
  using _limit = limitTasks(target.pid);
  await using _target = target;
  {
    using _core = await dumpLive(target.pid, {}, HUNTS);
  }
  const { looks, born: _born, ...prey } = await target.quit<Hunt>();
  assert.ok(looks > 1000);
  assert.deepEqual(prey, NOTHING);
});

test('where that table is shared with another process, nothing is made in it', {
  skip: noLiveDump || hunter.skip || pidsLimitSkip(),
}, async () => {
  const target = await startHunter('--forks', 0, '--sharer', 1);
  using _limit = limitTasks(target.pid);
  await using _target = target;
  await assert.rejects(dumpLive(target.pid), { code: 'UNSUPPORTED_TARGET' });
  const { looks: _looks, born: _born, ...prey } = await target.quit<Hunt>();
  assert.deepEqual(prey, NOTHING);
});
