/** Memory that whoever reads it may wait for without end. */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildTarget } from '../support/build.ts';
import { type Child, startChild } from '../support/child.ts';
import { TestFolder } from '../support/cores.ts';
import { noLiveDump } from '../support/live-dump.ts';
import { mountPlainFs, noPlainFs } from '../support/plain-fs.ts';
import { lastRecord, runTool, Tool } from '../support/tool.ts';
import { assertLetGo } from '../support/unharmed.ts';

const hanging = buildTarget('hanging');
const skip = noLiveDump || hanging.skip;
/** the loop is told, and killed after ten seconds; three more until it is left to itself */
const CANCEL_MS = 20_000;
const BOUND_MS = 60_000;

interface Beats {
  readonly beats: number;
  readonly wrong: number;
  readonly longestMs: number;
}

/** It goes on, nobody traces it, nothing is registered, and no write had to wait for longer than it may. */
async function assertUnharmed(target: Child, maxStallMs: number): Promise<void> {
  await assertLetGo(target.pid);
  const before = await target.ask<Beats>('report');
  await sleep(100);
  const after = await target.ask<Beats>('report');
  assert.ok(after.beats > before.beats);
  assert.equal(after.wrong, 0);
  assert.ok(after.longestMs <= maxStallMs, `${after.longestMs} ms`);
}

test('a userfaultfd of its own that nobody serves: refused', { skip }, async () => {
  using folder = new TestFolder();
  await using target = await startChild(hanging.path, ['--faults', 'early']);
  const said = await runTool(['dump', target.pid, '-o', folder.file('core'), '--json'], {
    boundMs: BOUND_MS,
  });
  assert.deepEqual([said.status, lastRecord(said)['code']], [1, 'UNSUPPORTED_TARGET'], said.stdout);
  const { longestMs } = await target.ask<Beats>('report');
  assert.ok(longestMs < 1000);
});

test('one that it registers after we have looked: the dump ends, and the target goes on', {
  skip,
}, async () => {
  using folder = new TestFolder();
  await using target = await startChild(hanging.path, ['--faults', 'late']);
  const tool = new Tool(['dump', target.pid, '-o', folder.file('core'), '--json', '--max-stall', '10s'], {
    waitAt: 'ptrace.request.ptrace@stop/live',
    log: folder.file('log'),
    boundMs: BOUND_MS,
  });
  await tool.waits();
  assert.deepEqual(await target.ask('register'), { errno: 0 });
  tool.go();
  const said = await tool.ended;
  assert.ok(said.status === 0 || said.status === 3, `${said.signal} ${said.stdout.slice(-500)}`);
  const { wrong, longestMs } = await target.ask<Beats>('report');
  assert.ok(wrong === 0 && longestMs <= 10_000, `${wrong} wrong, ${longestMs} ms`);
});

test('a mapped file on a file system that hangs: Ctrl-C ends the tool, and the target never waits', {
  skip: skip || noPlainFs,
}, async () => {
  using folder = new TestFolder();
  await using files = await mountPlainFs();
  writeFileSync(`${files.backing}/mapped`, Buffer.alloc(4 * 4096, 7));
  await using target = await startChild(hanging.path, [
    '--file',
    `${files.path}/mapped`,
    '--faults',
    'never',
  ]);
  await files.mute();
  const core = folder.file('core');
  const tool = new Tool(['dump', target.pid, '-o', core, '--json', '--max-stall', '5s'], {
    boundMs: BOUND_MS,
  });
  for (let naps = 0; (await files.held()) === 0 && naps < 1000; naps++) await sleep(20);
  const begin = performance.now();
  tool.process.kill('SIGINT');
  const said = await tool.ended;
  assert.equal(said.signal, null, 'it ends by itself');
  assert.ok(performance.now() - begin < CANCEL_MS, `${performance.now() - begin} ms`);
  assert.equal(said.status, 130, said.stdout);
  await assertUnharmed(target, 5000);
  assert.equal(existsSync(core), false);
  await files.go();
});
