/** Targets with as many mappings, and as many threads, as a machine allows: refused with a reason, or dumped, in bounds. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { Core } from '../../src/index.ts';
import { buildTarget } from '../support/build.ts';
import { type Child, startChild } from '../support/child.ts';
import { TestFolder } from '../support/cores.ts';
import { noLiveDump } from '../support/live-dump.ts';
import { lastRecord, runTool, type Said } from '../support/tool.ts';
import { assertLetGo } from '../support/unharmed.ts';

const crowd = buildTarget('crowd');
const NOBODY = { uid: 65534, gid: 65534, cwd: '/' };
/** what is left of the limit is for the C library and the program */
const MAPPINGS = Math.min(1_000_000, Number(readFileSync('/proc/sys/vm/max_map_count', 'utf8'))) - 200;
/** some thousands are left to everybody else */
const THREADS = Math.min(8_000, Number(readFileSync('/proc/sys/kernel/pid_max', 'utf8')) / 3) | 0;
const BOUND_MS = 60_000;
/** so many are held, if not at once */
const HELD = 2_000;
/** of the tool's two processes, for each of what there are many */
const BYTES_EACH = 20 * 1024;
const BYTES_BASE = 400 * 1024 * 1024;

interface Ready {
  readonly memory: number;
}

/** Dumps it, and sees that it goes on, with nobody tracing it and no memory registered. */
async function dumpCrowd(target: Child<Ready>, core: string, ...args: string[]): Promise<Said> {
  const said = await runTool(['dump', target.pid, '-o', core, '--json', ...args]);
  assert.ok(said.ms < BOUND_MS, `${said.ms} ms`);
  await assertLetGo(target.pid);
  assert.equal((await target.quit<{ wrong: number }>()).wrong, 0);
  return said;
}

function assertRefused(said: Said, limitMs: number): void {
  const { code, message } = lastRecord(said);
  assert.deepEqual([said.status, code], [1, 'PAUSE_TOO_LONG'], said.stdout.slice(-500));
  assert.match(
    String(message),
    new RegExp(`a pause of [\\d.]+ ms is forecast, the limit is ${limitMs}\\.00 ms; allow`),
  );
}

suite(`${MAPPINGS} mappings`, { skip: noLiveDump || crowd.skip }, () => {
  test('refused, since the pause would be long', async () => {
    using folder = new TestFolder();
    await using target = await startChild<Ready>(crowd.path, ['--mappings', MAPPINGS]);
    assertRefused(await dumpCrowd(target, folder.file('core')), 20);
  });

  test('dumped where that is allowed', async () => {
    using folder = new TestFolder();
    await using target = await startChild<Ready>(crowd.path, ['--mappings', MAPPINGS]);
    const file = folder.file('core');
    const said = await dumpCrowd(target, file, '--force', '--max-stall', '60s');
    const { peakRssBytes } = lastRecord(said) as unknown as { peakRssBytes: number };
    assert.equal(said.status, 0, said.stdout.slice(-500));
    assert.ok(peakRssBytes < BYTES_BASE + MAPPINGS * BYTES_EACH, `${peakRssBytes} bytes`);
    await using core = await Core.open(file);
    assert.ok((await Array.fromAsync(core.segments())).length >= MAPPINGS);
    const middle = Buffer.from(await core.read(BigInt(target.ready.memory + 2 * 4096 * 1000), 8));
    assert.notEqual(middle.readBigUInt64LE(), 0n);
    const show = await runTool(['show', file]);
    assert.equal(show.status, 0, show.stderr);
  });
});

suite(`${THREADS} threads`, { skip: noLiveDump || crowd.skip }, () => {
  for (const [name, options] of [
    ['root', {}],
    ['a user', NOBODY],
  ] as const) {
    test(`of ${name}: refused, since the pause would be long`, async () => {
      using folder = new TestFolder();
      await using target = await startChild<Ready>(crowd.path, ['--threads', THREADS], options);
      assertRefused(await dumpCrowd(target, folder.file('core'), '--max-pause', '10'), 10);
    });
  }

  test(`${HELD} of them dumped, or given up with a reason, where that is allowed`, async () => {
    using folder = new TestFolder();
    await using target = await startChild<Ready>(crowd.path, ['--threads', HELD]);
    const file = folder.file('core');
    const said = await dumpCrowd(target, file, '--force', '--max-stall', '60s');
    if (said.status === 1) {
      assert.equal(lastRecord(said)['code'], 'HOLD_FAILED');
      return;
    }
    assert.equal(said.status, 0, said.stdout.slice(-500));
    await using core = await Core.open(file);
    assert.equal((await Array.fromAsync(core.threads())).length, HELD + 1);
  });
});
