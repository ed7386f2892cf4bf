/** SIGSTOP of each process of the tool, at moments of which each holds something else of the target; and a frozen loop. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mountPlainFs, noPlainFs } from '../support/plain-fs.ts';
import { isRunning, until } from '../support/unharmed.ts';
import { Guarded, isStopped, SLOW_FILES, SLOWLY, SMALL_BUFFER, noGuardTest as skip } from './guarded.ts';

/** Where the loop stops itself, and what it holds there: see LIVECORE_FAULT. */
const MOMENTS: readonly (readonly [what: string, point: string])[] = [
  ['a thread stopped, to carry a call', 'ptrace.request.ptrace@call/live:stop:1'],
  ['arming, with writers that wait', 'userfaultfd.read.read@#takeFaults/live:stop:1'],
  ['all threads held', 'ptrace.request.ptrace@read/live:stop:2'],
  ['all threads held, some let go', 'ptrace.request.ptrace@#letGo/live:stop:2'],
  ['the copy', 'process-memory.read.pread@#read/live:stop:100'],
  ['mappings being given back', 'userfaultfd.register.UFFDIO_REGISTER@#withdraw/live:stop:1'],
];

test('a loop that stops is ended by its watchdog', { skip }, async (context) => {
  await using target = await Guarded.start();
  for (const [what, fault] of MOMENTS) {
    await context.test(what, async (moment) => {
      await using tool = target.dump({ fault });
      assert.deepEqual(await tool.ended(), { status: 1, code: 'STALLED' });
      await target.unharmed(moment, 'none');
    });
  }
  await target.end();
});

test('so is one that is stopped from outside, while it copies', {
  skip: skip || noPlainFs,
}, async (context) => {
  await using files = await mountPlainFs(SLOW_FILES);
  await using target = await Guarded.start(SLOWLY);
  await using tool = target.dump({ args: ['-o', join(files.path, 'core'), ...SMALL_BUFFER] });
  await tool.copies();
  process.kill(await tool.loop(), 'SIGSTOP');
  assert.deepEqual(await tool.ended(), { status: 1, code: 'STALLED' });
  await target.unharmed(context, 'none');
  await target.end();
});

test('a command that is stopped holds up neither the target nor the dump', { skip }, async (context) => {
  await using target = await Guarded.start();
  for (const moment of ['before the target is touched', 'while it copies']) {
    await context.test(moment, async (subtest) => {
      await using tool = target.dump();
      const loop = await tool.loop();
      if (moment === 'while it copies') await tool.copies();
      process.kill(tool.pid, 'SIGSTOP');
      await until(() => !isRunning(loop), 'the loop ends by itself');
      assert.ok(isStopped(tool.pid));
      await target.unharmed(subtest, 'whole');
      process.kill(tool.pid, 'SIGCONT');
      assert.deepEqual(await tool.ended(), { status: 0, code: undefined });
    });
  }
  await target.end();
});

/** Where a group that freezes (cgroup v2) can be made; that of v1 can't be killed while it is frozen. */
function freezerRoot(): string | undefined {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2')?.[1];
}

test('a loop that its control group freezes is ended by its watchdog', {
  skip: skip || noPlainFs || (freezerRoot() === undefined && 'no cgroup v2 is mounted'),
}, async (context) => {
  const group = join(freezerRoot()!, `livecore-test-${process.pid}`);
  await using files = await mountPlainFs(SLOW_FILES);
  await using target = await Guarded.start(SLOWLY);
  await using tool = target.dump({ args: ['-o', join(files.path, 'core'), ...SMALL_BUFFER] });
  mkdirSync(group);
  try {
    await tool.copies();
    const loop = await tool.loop();
    writeFileSync(join(group, 'cgroup.procs'), String(loop));
    writeFileSync(join(group, 'cgroup.freeze'), '1');
    assert.deepEqual(await tool.ended(), { status: 1, code: 'STALLED' });
    await target.unharmed(context, 'none');
    await target.end();
    await until(() => !existsSync(`/proc/${loop}`), 'the loop is gone');
  } finally {
    writeFileSync(join(group, 'cgroup.freeze'), '0');
    rmdirSync(group);
  }
});
