/** Our cores read by other programs, and other programs' cores read by us. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AddressRange } from '../../src/bytes/ranges.ts';
import { Core } from '../../src/formats/elf-core/core.ts';
import type { CoreSegment } from '../../src/formats/elf-core/layout.ts';
import { buildTarget } from '../support/build.ts';
import { type Child, startChild } from '../support/child.ts';
import { differingFields } from '../support/compare-cores.ts';
import {
  type CoreParts,
  someProcess,
  someProvenance,
  someThread,
  someXstate,
  TestFolder,
  writeCore,
} from '../support/cores.ts';
import { askGdb, askLldb, euReadelf, euStack, gcore, gdb, lldb, readelf, run } from '../support/debuggers.ts';
import { rewriteCore } from '../support/rewrite.ts';

const RW = 6;
const PAGE = 0x1000n;

/** `count` segments of a page each, a page apart. */
function pages(count: number): CoreSegment[] {
  return Array.from({ length: count }, (_, n) => {
    const start = BigInt(n + 16) * 2n * PAGE;
    return { start, end: start + PAGE, flags: RW, stored: true };
  });
}

const threads = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ ...someThread(n + 1), xstate: someXstate() }));

const counting = Uint8Array.from({ length: 4096 }, (_, index) => index);

interface Odd {
  readonly name: string;
  readonly parts: CoreParts;
  /** must be readable; the page counts 0, 1, 2 ... */
  readonly present?: bigint;
  /** must not be readable */
  readonly missing?: readonly AddressRange[];
  readonly threads: number;
}

function oddCores(): Odd[] {
  const many = pages(70_000);
  const one = { start: 0x10_0000n, end: 0x11_0000n, flags: RW, stored: true };
  const process = { info: someProcess(1), threads: threads(2), livecore: someProvenance() };
  const lost = [{ start: 0x10_4000n, end: 0x10_5000n }];
  const memory = (address: bigint) => [{ address, bytes: counting }];
  const last = many.at(-1)!.start;
  const lostOfMany = [{ start: many[7]!.start, end: many[9]!.end }];
  return [
    {
      name: 'plain',
      parts: { segments: [one], process, memory: memory(0x10_8000n) },
      present: 0x10_8000n,
      threads: 2,
    },
    {
      name: 'streamed',
      parts: { segments: [one], process, memory: memory(0x10_8000n), streamed: true },
      present: 0x10_8000n,
      threads: 2,
    },
    {
      name: 'lost blocks',
      parts: { segments: [one], process, memory: memory(0x10_8000n), missing: lost },
      present: 0x10_8000n,
      missing: lost,
      threads: 2,
    },
    {
      name: '70,000 segments',
      parts: { segments: many, process, memory: memory(last), missing: lostOfMany },
      present: last,
      missing: [many[8]!],
      threads: 2,
    },
    {
      name: '1,000 threads',
      parts: { segments: [one], process: { ...process, threads: threads(1000) }, memory: memory(0x10_8000n) },
      present: 0x10_8000n,
      threads: 1000,
    },
    { name: 'no threads', parts: { segments: [one], process: { ...process, threads: [] } }, threads: 0 },
    { name: 'no memory', parts: { segments: [], process }, threads: 2 },
  ];
}

const odd = oddCores();

async function withOdd(core: Odd, check: (path: string) => void | Promise<void>): Promise<void> {
  using folder = new TestFolder();
  writeCore(folder.file('core'), core.parts);
  await check(folder.file('core'));
}

for (const core of odd) {
  test(`readelf has no complaint: ${core.name}`, { skip: readelf.skip }, () =>
    withOdd(core, (path) => {
      const { stdout, stderr, status } = run(readelf, ['-h', '-l', '-n', '-W', path]);
      assert.deepEqual({ stderr, status }, { stderr: '', status: 0 });
      const statuses = stdout.match(/NT_PRSTATUS/g) ?? [];
      assert.equal(statuses.length, core.threads);
    }),
  );

  test(`eu-readelf has no complaint: ${core.name}`, { skip: euReadelf.skip }, () =>
    withOdd(core, (path) => {
      const { stdout, stderr, status } = run(euReadelf, ['-h', '-l', '-n', path]);
      assert.deepEqual({ stderr, status }, { stderr: '', status: 0 });
      assert.equal((stdout.match(/ PRSTATUS$/gm) ?? []).length, core.threads);
    }),
  );

  test(`gdb reads what is there and only that: ${core.name}`, { skip: gdb.skip }, () =>
    withOdd(core, (path) => {
      const reads = (core.missing ?? []).map(({ start }) => `x/1xb ${start}`);
      if (core.present !== undefined) reads.unshift(`x/4xb ${core.present + 1n}`);
      const answer = reads.map((command) => askGdb(path, [command])).join('\n');
      if (core.present !== undefined) assert.match(answer, /:\s0x01\s0x02\s0x03\s0x04$/m);
      for (const { start } of core.missing ?? []) {
        assert.match(answer, new RegExp(`Cannot access memory at address 0x${start.toString(16)}`));
      }
      const listing = askGdb(path, ['info threads']);
      if (core.threads === 0) return assert.match(listing, /Couldn't find general-purpose registers/);
      assert.equal((listing.match(/^[* ] +\d+ +LWP \d+/gm) ?? []).length, core.threads);
      assert.doesNotMatch(listing, /warning|BFD/i);
    }),
  );

  test(
    `lldb reads what is there and only that: ${core.name}`,
    { skip: core.threads === 0 ? 'lldb refuses a core without threads, whoever wrote it' : lldb.skip },
    () =>
      withOdd(core, (path) => {
        const listing = askLldb(path, ['thread list']);
        assert.equal((listing.match(/thread #\d+: tid = \d+/g) ?? []).length, core.threads);
        if (core.present !== undefined) {
          assert.match(askLldb(path, [`memory read -c 4 ${core.present + 1n}`]), /: 01 02 03 04/);
        }
        for (const { start } of core.missing ?? []) {
          assert.match(askLldb(path, [`memory read -c 4 ${start}`]), /core file does not contain/);
        }
      }),
  );
}

test(
  'readelf -S says of the extended numbering what it says of the kernel own, and no more',
  { skip: readelf.skip },
  () =>
    withOdd(odd[1]!, (path) => {
      const { stderr } = run(readelf, ['-a', path]);
      assert.equal(stderr, 'readelf: Warning: [ 0]: Unexpected value (2) in info field.\n');
    }),
);

test('gdb tells threads and registers as written', { skip: gdb.skip }, () =>
  withOdd(odd[0]!, (path) => {
    const answer = askGdb(path, [
      'info threads',
      'thread apply 2 -q info registers r15 rip gs',
      'p $_siginfo.si_signo',
    ]);
    assert.match(answer, /Core was generated by `target --flag'/);
    assert.match(answer, /\* 1 +LWP 1 .*\n +2 +LWP 2 /);
    assert.match(answer, /^r15 +0x200 +512$/m);
    assert.match(answer, /^rip +0x210 +0x210$/m);
    assert.match(answer, /^gs +0x21a +538$/m);
    assert.match(answer, /^\$1 = 0$/m);
  }),
);

test('the script for gdb names the threads, escaped', { skip: gdb.skip }, () => {
  const names = [
    { tid: 1, name: 'main' },
    { tid: 2, name: 'w\u001b[2J' },
  ];
  const process = { info: someProcess(1), threads: threads(3), livecore: someProvenance({ threads: names }) };
  using folder = new TestFolder();
  writeCore(folder.file('core'), { segments: [], process });
  const script = join(import.meta.dirname, '../../docs/livecore-gdb.py');
  const answer = askGdb(folder.file('core'), [`source ${script}`, 'info threads']);
  assert.match(answer, /\* 1 +LWP 1 "main" .*\n +2 +LWP 2 "w\\x1b\[2J" .*\n +3 +LWP 3 +0x/);
});

interface Ready {
  readonly word: string;
  readonly hidden: string;
  readonly changed: string;
  readonly untouched: string;
}

const still = buildTarget('still');

/**
 * `still` in a folder of its own, allowed to dump core there. By a short name, wherever the checkout lies: of arguments
 * longer than pr_psargs the kernel keeps 79 bytes and a NUL, gcore 80 and none.
 */
function startStill(folder: TestFolder): Promise<Child<Ready>> {
  const script = 'ulimit -c unlimited; ln -s "$0" still; exec ./still --threads 3';
  return startChild<Ready>('/bin/sh', ['-c', script, still.path], { cwd: folder.path });
}

/** Differences between gcore's core and the same written by us. All are gcore's omissions. */
const GCORE_DIFFERS = [
  'note GDB 0xff000000', // gdb's own description of registers, which only gdb reads
  'prstatus.pr_fpvalid', // gcore leaves 0, although the floating-point registers are there
];

test('a gcore, read and written again, says the same', { skip: gcore.skip || still.skip }, async () => {
  using folder = new TestFolder();
  await using child = await startStill(folder);
  const { status, stderr } = run(gcore, ['-o', folder.file('gcore'), String(child.pid)]);
  assert.equal(status, 0, stderr);
  const [theirs, ours] = [folder.file(`gcore.${child.pid}`), folder.file('ours')];
  await using before = await Core.open(theirs);
  await rewriteCore(before, ours);
  await using after = await Core.open(ours);
  assert.deepEqual(await differingFields(before, after), GCORE_DIFFERS);
  for await (const { start, contentEnd } of before.segments()) {
    const length = Number(contentEnd - start);
    assert.deepEqual(await after.read(start, length), await before.read(start, length));
  }
  compareInGdb(theirs, ours, child.ready);
  compareInElfutils(theirs, ours);
});

function compareInGdb(theirs: string, ours: string, { word, hidden, changed }: Ready): void {
  const questions = [
    'info threads',
    'thread apply all -q bt',
    'thread apply all -q info all-registers',
    'info auxv',
  ]
    .concat(['info proc mappings', 'info proc', 'p $_siginfo', 'info sharedlibrary', 'x/8i $pc'])
    .concat([`x/gx ${word}`, `x/s ${changed}`]);
  const answers = [theirs, ours].map((core) => askGdb(core, questions, still.path));
  assert.deepEqual(
    answers[1]!.replaceAll(ours, 'CORE').split('\n'),
    answers[0]!.replaceAll(theirs, 'CORE').split('\n'),
  );
  assert.match(answers[1]!, /level_1 .*\n#2 .*level_2 .*\n#3 .*thread_main/);
  assert.match(answers[1]!, /0x1122334455667788/);
  assert.match(answers[1]!, /"changed"/);
  assert.match(askGdb(ours, [`x/gx ${hidden}`]), /Cannot access memory/);
}

function compareInElfutils(theirs: string, ours: string): void {
  const stacks = [theirs, ours].map((core) => run(euStack, ['--core', core, '-e', still.path]));
  assert.deepEqual(stacks[1], stacks[0]);
  assert.match(stacks[1]!.stdout, /level_1.*\n.*level_2\n.*thread_main/);
  const [before, after] = [theirs, ours].map((core) => noteTexts(run(euReadelf, ['-n', core]).stdout));
  const differing = [...new Set([...before!, ...after!])].filter(
    (text) => before!.has(text) !== after!.has(text),
  );
  const names = differing.map((text) => text.replace(/^ *(\S+)[\s\S]*$/, '$1'));
  // each thread's status, for fpvalid; and the note that only gdb writes
  assert.deepEqual(names.sort(), ['CORE', 'CORE', 'CORE', 'CORE', 'CORE', 'CORE', 'CORE', 'CORE', 'GDB']);
  const status = (text: string) => text.replace(/fpvalid: \d/, 'fpvalid: -');
  const rest = [...before!].filter((text) => !text.includes(' GDB ')).map(status);
  assert.deepEqual(new Set([...after!].map(status)), new Set(rest));
}

/** eu-readelf's notes, each as the text it gives, in any order. */
function noteTexts(stdout: string): Set<string> {
  const body = stdout.slice(stdout.indexOf('Owner'));
  return new Set(
    body
      .split(/\n(?= {2}\S+ +\d+ {2}\S)/)
      .slice(1)
      .map((text) => text.trimEnd()),
  );
}

const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim();
const noKernelCore = /^[^|/%]+$/.test(pattern)
  ? false
  : `core_pattern is ${pattern}: the kernel writes its cores elsewhere`;

/** What the kernel writes and we do not. */
const KERNEL_ONLY = [
  'note LINUX 0x205', // NT_X86_XSAVE_LAYOUT, since 6.12: what CPUID tells of the XSAVE area
  'prstatus.pr_info.si_code', // the kernel leaves them 0 for all signals
];

test('the core of the kernel, read and written again, has the same notes in the same order', {
  skip: noKernelCore || still.skip,
}, async () => {
  using folder = new TestFolder();
  await using child = await startStill(folder);
  await child.ask('abort').catch(() => {});
  assert.deepEqual((await child.exited).signal, 'SIGABRT');
  const [theirs] = globSync(folder.file(`${pattern}*`));
  assert.ok(theirs !== undefined && existsSync(theirs), 'the kernel wrote no core');
  await using before = await Core.open(theirs);
  const ours = folder.file('ours');
  await rewriteCore(before, ours);
  await using after = await Core.open(ours);
  const differing = await differingFields(before, after);
  assert.deepEqual(
    differing.filter((name) => !KERNEL_ONLY.includes(name)),
    [],
  );
  const order = async (core: Core) =>
    (await Array.fromAsync(core.notes()))
      .map(({ owner, type }) => `${owner} ${type}`)
      .filter((name) => name !== `LINUX ${0x205}`);
  assert.deepEqual(await order(after), await order(before));
  assert.equal(before.complete, true);
  const [first] = await Array.fromAsync(before.threads());
  assert.deepEqual([first?.tid, first?.name, first?.status.signal], [child.pid, 'still', 6]);
  const word = await before.read(BigInt(child.ready.word), 8);
  assert.equal(Buffer.from(word).readBigUInt64LE(), 0x1122_3344_5566_7788n);
  const noContent = (error: { code?: string }) => error.code === 'NO_CONTENT';
  await assert.rejects(before.read(BigInt(child.ready.hidden), 8), noContent);
});

test('lldb shows the stacks of a core that was written again', {
  skip: gcore.skip || lldb.skip || still.skip,
}, async () => {
  using folder = new TestFolder();
  await using child = await startStill(folder);
  run(gcore, ['-o', folder.file('gcore'), String(child.pid)]);
  await using before = await Core.open(folder.file(`gcore.${child.pid}`));
  await rewriteCore(before, folder.file('ours'));
  const questions = ['thread list', 'bt all', 'register read', `memory read -c 8 ${child.ready.word}`];
  const [theirs, ours] = [before.path, folder.file('ours')].map((core) =>
    askLldb(core, questions, still.path).replaceAll(core, 'CORE'),
  );
  assert.equal(ours, theirs);
  assert.match(ours!, /still`level_1.*\n.*still`level_2.*\n.*still`thread_main/);
  assert.match(ours!, /: 88 77 66 55 44 33 22 11/);
});
