/** Our core of a live dump beside gcore's of the same process, which stands still; and what debuggers read in ours. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Core } from '../../src/index.ts';
import { buildTarget } from '../support/build.ts';
import { type Child, startChild } from '../support/child.ts';
import { differingFields } from '../support/compare-cores.ts';
import { TestFolder } from '../support/cores.ts';
import { askGdb, askLldb, euReadelf, euStack, gcore, gdb, lldb, readelf, run } from '../support/debuggers.ts';
import { dumpLive, type LiveDump, noLiveDump } from '../support/live-dump.ts';

const still = buildTarget('still');
const skip = noLiveDump || still.skip;

interface Ready {
  readonly word: string;
  readonly hidden: string;
  readonly changed: string;
}

/**
 * Started, and still: every thread sleeps in pause(2), the first in read(2). On one CPU: a thread that is stopped and goes on
 * on another finds that CPU's number in its memory (rseq(2)), and the two cores would differ in it. In a session of its own:
 * one that was started outside our pid namespace has the number 0 here, which is what gdb leaves in its place.
 */
async function startStill(folder: TestFolder): Promise<Child<Ready>> {
  const child = await startChild<Ready>(
    '/usr/bin/setsid',
    ['taskset', '-c', '0', still.path, '--threads', '3'],
    { cwd: folder.path },
  );
  const tasks = `/proc/${child.pid}/task`;
  const callOf = (tid: string): string => readFileSync(`${tasks}/${tid}/syscall`, 'utf8').split(' ')[0]!;
  const isStill = (): boolean => readdirSync(tasks).map(callOf).sort().join() === '0,34,34,34';
  while (!isStill()) await sleep(5);
  return child;
}

/** Fields in which the two differ, each with the reason. What is not listed here must be equal. */
const DIFFERS: Readonly<Record<string, string>> = {
  'note CORE 0x2': 'MXCSR_MASK: gdb leaves 0, the kernel gives what the CPU has; the rest is compared below',
  'note LINUX 0x202':
    "gdb writes the area anew from its own registers, in another size; read by gdb they're equal, see below",
  'note CORE 0x53494749': 'gdb stops a thread by a SIGSTOP, and tells of that; ours has no signal',
  'note GDB 0xff000000': "gdb's own description of registers, which only gdb reads",
  'note livecore 0x524f434c': 'ours',
  'prpsinfo.pr_psargs': 'gdb 13 leaves the arguments out',
  'prpsinfo.pr_sname': 'gdb has stopped the process ("t")',
  'prpsinfo.pr_state': 'as pr_sname',
  'prstatus.pr_fpvalid': 'gdb leaves 0, although the floating-point registers are there',
  'prstatus.pr_pgrp': 'gdb leaves 0',
  'prstatus.pr_ppid': 'gdb leaves 0',
  'prstatus.pr_sid': 'gdb leaves 0',
};

async function withBoth(
  check: (ours: LiveDump, theirs: string, child: Child<Ready>) => Promise<void> | void,
) {
  using folder = new TestFolder();
  await using child = await startStill(folder);
  using ours = await dumpLive(child.pid);
  const { status, stderr } = run(gcore, ['-o', folder.file('gcore'), String(child.pid)]);
  assert.equal(status, 0, stderr);
  await check(ours, folder.file(`gcore.${child.pid}`), child);
}

test(
  'every field of every note is as in a gcore, or in the list with the reason',
  { skip: skip || gcore.skip },
  () =>
    withBoth(async ({ file }, theirs) => {
      await using left = await Core.open(theirs);
      await using right = await Core.open(file);
      assert.deepEqual(await differingFields(left, right), Object.keys(DIFFERS).sort());
    }),
);

test('memory is as in a gcore, byte for byte, and what gcore has we have', { skip: skip || gcore.skip }, () =>
  withBoth(async ({ file }, theirs) => {
    await using left = await Core.open(theirs);
    await using right = await Core.open(file);
    let compared = 0;
    for await (const { start, contentEnd } of right.segments()) {
      for (let at = start; at < contentEnd; at += 0x1000n) {
        const ours = await right.read(at, 0x1000);
        const other = await left.read(at, 0x1000).catch(() => undefined);
        if (other === undefined) continue;
        assert.deepEqual(ours, other, `page 0x${at.toString(16)}`);
        compared++;
      }
    }
    assert.ok(compared > 100, `${compared} pages`);
  }),
);

/** The FXSAVE image of each thread without the four bytes of MXCSR_MASK (Intel SDM vol. 1, 10.5.1). */
async function fpuImages(core: Core): Promise<Map<number, string>> {
  const images = new Map<number, string>();
  for await (const { tid, notes } of core.threads()) {
    const [note] = notes.filter(({ owner, type }) => owner === 'CORE' && type === NT_PRFPREG);
    const bytes = Buffer.from(await note!.read());
    images.set(tid, bytes.fill(0, 28, 32).toString('hex'));
  }
  return images;
}
const NT_PRFPREG = 2;

test('floating-point registers are as in a gcore', { skip: skip || gcore.skip }, () =>
  withBoth(async ({ file }, theirs) => {
    await using left = await Core.open(theirs);
    await using right = await Core.open(file);
    assert.deepEqual(await fpuImages(right), await fpuImages(left));
  }),
);

/** eu-readelf, readelf: nothing on stderr. */
test(
  'readelf and eu-readelf have no complaint',
  { skip: skip || gcore.skip || readelf.skip || euReadelf.skip },
  () =>
    withBoth(({ file }) => {
      for (const [tool, args] of [
        [readelf, ['-h', '-l', '-n', '-W', file]],
        [euReadelf, ['-h', '-l', '-n', file]],
      ] as const) {
        const { stderr, status } = run(tool, args);
        assert.deepEqual({ stderr, status }, { stderr: '', status: 0 });
      }
    }),
);

/**
 * Registers of AVX-512: gdb before 14 takes Intel's places in the XSAVE area for everybody's, also in the kernel's own
 * cores, warns that AMD's is too small, and shows them as unavailable. A gcore has them where that gdb looks.
 */
const AVX512 = /^(k[0-7]|zmm\d+|[xy]mm(1[6-9]|2\d|3[01])|pkru) |^warning: Section `.reg-xstate.* too small/;

test(
  'gdb says the same of both: registers of all kinds, stacks, memory',
  { skip: skip || gcore.skip || gdb.skip },
  () =>
    withBoth(({ file }, theirs, { ready }) => {
      const questions = ['info threads', 'thread apply all -q bt', 'thread apply all -q info all-registers']
        .concat(['info auxv', 'info sharedlibrary', 'x/8i $pc'])
        .concat([`x/gx ${ready.word}`, `x/s ${ready.changed}`]);
      const [expected, answer] = [theirs, file].map((core) => askGdb(core, questions, still.path));
      const lines = (text: string, core: string): string[] => text.replaceAll(core, 'CORE').split('\n');
      // The signal that gdb stopped it with, see above.
      const own = (line: string): boolean =>
        !/^(Program terminated|Core was generated|\[Current thread)/.test(line);
      const compared = (text: string, core: string): string[] =>
        lines(text, core).filter((line) => own(line) && !AVX512.test(line));
      assert.deepEqual(compared(answer!, file), compared(expected!, theirs));
      assert.match(answer!, /level_1 .*\n#2 .*level_2 .*\n#3 .*thread_main/);
      assert.match(answer!, /0x1122334455667788/);
      assert.match(askGdb(file, [`x/gx ${ready.hidden}`]), /Cannot access memory/);
    }),
);

test(
  'eu-stack and lldb show the same stacks of both',
  { skip: skip || gcore.skip || euStack.skip || lldb.skip },
  () =>
    withBoth(({ file }, theirs, { ready }) => {
      const stacks = [theirs, file].map((core) => run(euStack, ['--core', core, '-e', still.path]).stdout);
      assert.equal(stacks[1]!.replaceAll(file, 'CORE'), stacks[0]!.replaceAll(theirs, 'CORE'));
      assert.match(stacks[1]!, /level_1.*\n.*level_2\n.*thread_main/);
      const answer = askLldb(file, ['thread list', 'bt all', `memory read -c 8 ${ready.word}`], still.path);
      assert.equal((answer.match(/thread #\d+: tid = \d+/g) ?? []).length, 4);
      assert.match(answer, /still`level_1.*\n.*still`level_2.*\n.*still`thread_main/);
      assert.match(answer, /: 88 77 66 55 44 33 22 11/);
    }),
);
