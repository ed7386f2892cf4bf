/** Targets at their limits: a dump, or a refusal before anything was done to them; and they go on. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { buildTarget } from '../support/build.ts';
import { startChild } from '../support/child.ts';
import { dumpLive, dumpUnwatched, noLiveDump } from '../support/live-dump.ts';
import { MemoryGroup, noMemoryGroup } from '../support/memory-group.ts';
import { limitTasks, pidsLimitSkip } from '../support/pids-limit.ts';
import { startTarget } from '../support/targets.ts';
import { assertLetGo, OWN_CHANGES } from '../support/unharmed.ts';
import { differences, takeSnapshot } from '../support/watch.ts';
import { startWriter } from '../support/writer.ts';

const MIB = 2 ** 20;
const MEMORY_LEFT = 4 * MIB;

suite('at its limit', { skip: noLiveDump || buildTarget('crowd').skip }, () => {
  test('of threads', { skip: pidsLimitSkip() }, async () => {
    const target = await startTarget('compute', { args: ['--threads', 2] });
    using _limit = limitTasks(target.pid);
    await using _target = target;
    using _core = await dumpLive(target.pid);
    assert.deepEqual(await target.end(), []);
  });

  test('of threads and of descriptors: refused, with the cure', { skip: pidsLimitSkip() }, async () => {
    const target = await startTarget('limits-target');
    using _limit = limitTasks(target.pid);
    await using _target = target;
    const before = takeSnapshot(target.pid);
    await assert.rejects(dumpUnwatched(target.pid), { code: 'UNSUPPORTED_TARGET' });
    assert.deepEqual(differences(before, takeSnapshot(target.pid), { lines: OWN_CHANGES }), []);
    assert.deepEqual(await target.end(), []);
  });

  for (const [what, options] of [
    ['small pages', { thp: 'off' }],
    ['huge pages', { thp: 'on' }],
    ['memory in many places', { mib: 48, reserveGib: 64, thp: 'off' }],
  ] as const) {
    test(`of memory: ${MEMORY_LEFT / MIB} MiB are left, ${what}`, { skip: noMemoryGroup() }, async () => {
      using group = new MemoryGroup('limit');
      await using writer = await startWriter({
        mib: 192,
        threads: 2,
        rate: 20_000,
        pace: 'sleep',
        ...options,
      });
      group.add(writer.pid);
      // What it has was charged to where it was; from here on it may have so much more.
      group.limit(group.usedBytes + MEMORY_LEFT);
      using _core = await dumpLive(writer.pid);
      await writer.advance(2000);
      assert.equal((await writer.check()).wrong, 0);
      await writer[Symbol.asyncDispose]();
    });
  }

  test('of mappings', async () => {
    await using target = await startChild(buildTarget('crowd').path, ['--mappings', 100, '--full', 1]);
    using _core = await dumpUnwatched(target.pid, { maxStallMs: 60_000 });
    await assertLetGo(target.pid);
    const { wrong } = await target.quit<{ wrong: number }>();
    assert.equal(wrong, 0);
  });
});
