/**
 * A target, or a thread of it, that ends while the tool is at work, and whose number another process gets at once: whoever
 * that is, is neither dumped nor harmed.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Core } from '../../src/index.ts';
import { buildTarget } from '../support/build.ts';
import { type Child, startChild } from '../support/child.ts';
import { TestFolder } from '../support/cores.ts';
import { noLiveDump } from '../support/live-dump.ts';
import { lastRecord, Tool } from '../support/tool.ts';
import { assertLetGo, until } from '../support/unharmed.ts';

const crowd = buildTarget('crowd');
const skip = noLiveDump || crowd.skip;
const NOBODY = { uid: 65534, gid: 65534, cwd: '/' };
/** after the target was judged, before anything of it is opened */
const AT_OPENING = 'file.openFile.openat@Attachment/live';
/** the first thread of the target that is stopped */
const AT_STOPPING = 'ptrace.request.ptrace@stop/live';
/** those that are held while it is stopped: the second one */
const AT_HOLDING = 'ptrace.request.ptrace@#seizeNew/live:2';

/** A tool that stands still at a place, and a successor for whoever ends meanwhile. */
async function dumpUntil(
  place: string,
  act: (scene: {
    target: Child<{ lastTid: number }>;
    succeed: (id: number) => Promise<void>;
    tool: Tool;
    core: string;
  }) => Promise<void>,
): Promise<void> {
  using folder = new TestFolder();
  const core = folder.file('core');
  await using successor = await startChild(buildTarget('successor').path);
  await using target = await startChild<{ lastTid: number }>(crowd.path, ['--threads', 3], NOBODY);
  const options = { waitAt: place, log: folder.file('log') };
  const tool = new Tool(['dump', target.pid, '-o', core, '--json', '--max-stall', '60s'], options);
  const succeed = async (id: number): Promise<void> => {
    for (let tries = 0; tries < 100; tries++) {
      const { error } = await successor.ask<{ error?: string }>(`succeed ${id}`);
      if (error === undefined) return;
      await sleep(10);
    }
    assert.fail(`nobody could be given the number ${id}`);
  };
  try {
    await tool.waits();
    await act({ target, succeed, tool, core });
  } finally {
    tool.process.kill('SIGKILL');
  }
}

/** How often it was let on a CPU and left it: whoever sleeps and is left alone stays at one figure. */
function switches(pid: number): string[] {
  return readFileSync(`/proc/${pid}/status`, 'utf8').match(/^(non)?voluntary_ctxt_switches:.*$/gm)!;
}

test('a process that has the number of one that was looked at is not dumped, and feels nothing', {
  skip,
}, async () => {
  await dumpUntil(AT_OPENING, async ({ target, succeed, tool, core }) => {
    target.kill('SIGKILL');
    await target.exited;
    await succeed(target.pid);
    await sleep(50);
    const before = switches(target.pid);
    tool.go();
    const said = await tool.ended;
    assert.deepEqual([said.status, lastRecord(said)['code']], [1, 'TARGET_GONE'], said.stdout);
    assert.equal(existsSync(core), false);
    assert.deepEqual(switches(target.pid), before);
  });
});

test('nor one that has it when the first thread is to be stopped', { skip }, async () => {
  await dumpUntil(AT_STOPPING, async ({ target, succeed, tool, core }) => {
    target.kill('SIGKILL');
    await target.exited;
    await succeed(target.pid);
    tool.go();
    const said = await tool.ended;
    assert.deepEqual([said.status, lastRecord(said)['code']], [1, 'TARGET_GONE'], said.stdout);
    assert.equal(existsSync(core), false);
    await assertLetGo(target.pid);
    assert.match(readFileSync(`/proc/${target.pid}/status`, 'utf8'), /^State:\tS/m);
  });
});

test('a process that has the number of a thread that ended is let go, and no part of the core', {
  skip,
}, async () => {
  await dumpUntil(AT_HOLDING, async ({ target, succeed, tool, core: file }) => {
    const tid = target.ready.lastTid;
    target.kill('SIGUSR1');
    await until(() => !existsSync(`/proc/${target.pid}/task/${tid}`), 'the thread is gone');
    await succeed(tid);
    tool.go();
    const said = await tool.ended;
    assert.equal(said.status, 0, said.stdout);
    await using core = await Core.open(file);
    const tids = (await Array.fromAsync(core.threads())).map((thread) => thread.tid);
    assert.equal(tids.length, 3);
    assert.equal(tids.includes(tid), false);
    await assertLetGo(tid);
    assert.match(readFileSync(`/proc/${tid}/status`, 'utf8'), /^State:\tS/m);
    assert.equal((await target.quit<{ wrong: number }>()).wrong, 0);
  });
});
