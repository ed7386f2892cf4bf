/** The target serves the file system that its own core goes to: whoever waits for a write waits for the target. */
import assert from 'node:assert/strict';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { mountPlainFs, noPlainFs, type PlainFs } from '../support/plain-fs.ts';
import { loopsOf, until, wholeCoreOrNone } from '../support/unharmed.ts';
import { noGuardTest, type Subject, Tool, Watched } from './guarded.ts';

const skip = noGuardTest || noPlainFs;
/** It opens and closes files as it is asked to. */
const OWN: readonly RegExp[] = [/^fd \d+: /, /^FDSize: /];

function subjectOf(files: PlainFs): Subject {
  return {
    pid: files.pid,
    beats: async () => (await files.beats()).count,
    longestStallMs: async () => (await files.beats()).maxNs / 1e6,
  };
}

/** It serves files as before, and keeps none that is no core. */
async function assertServes(files: PlainFs, core: string): Promise<void> {
  await until(() => loopsOf(files.pid).length === 0, 'the loop ends');
  writeFileSync(join(files.path, 'another'), 'file');
  assert.equal(statSync(join(files.path, 'another')).size, 4);
  const whole = await wholeCoreOrNone(core);
  await sleep(50);
  assert.deepEqual(readdirSync(files.backing).sort(), whole ? ['another', 'core'] : ['another']);
}

test('it gets its own core', { skip }, async (context) => {
  await using files = await mountPlainFs({ beatMib: 64 });
  await using watched = await Watched.start(subjectOf(files));
  const core = join(files.path, 'core');
  await using tool = new Tool(files.pid, { args: ['-o', core] });
  assert.deepEqual(await tool.ended(), { status: 0, code: undefined }, JSON.stringify(tool.told));
  await watched.unharmed(context, OWN);
  await assertServes(files, core);
});

test('it gets none when the loop stops: the end of that waits for it, and it for nobody', {
  skip,
}, async (context) => {
  await using files = await mountPlainFs({ beatMib: 64 });
  await using watched = await Watched.start(subjectOf(files));
  const core = join(files.path, 'core');
  await using tool = new Tool(files.pid, {
    args: ['-o', core],
    fault: 'process-memory.read.pread@#read/live:stop:20',
  });
  const { status, code } = await tool.ended();
  assert.deepEqual([status, code], [1, 'STALLED']);
  await watched.unharmed(context, OWN);
});

test('it serves the spool of a stream, which the loop asks for its size', { skip }, async (context) => {
  await using files = await mountPlainFs({ beatMib: 64 });
  await using watched = await Watched.start(subjectOf(files));
  await using tool = new Tool(files.pid, {
    args: ['-o', '-', '--spool', '16MiB'],
    env: { TMPDIR: files.path },
    told: 'stderr',
  });
  tool.process.stdout!.resume();
  const { status, code } = await tool.ended();
  // It writes faster than it serves what is written: then the guard ends it.
  assert.ok(status === 0 || code === 'STALLED' || code === 'SPOOL_FULL', JSON.stringify(tool.told));
  await watched.unharmed(context, OWN);
  await assertServes(files, join(files.path, 'core'));
});
