/** A target whose names hold what a terminal obeys, what looks like lines of /proc, and what is no text at all. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { NOTE_TYPE } from '../../src/formats/elf-core/elf.ts';
import { PRPSINFO } from '../../src/formats/elf-core/process-notes.ts';
import { Core } from '../../src/index.ts';
import { detach, interrupt, seize, WaitStatus } from '../../src/linux/ptrace.ts';
import { setThreadName } from '../../src/linux/session.ts';
import { buildTarget } from '../support/build.ts';
import { type Child, startChild } from '../support/child.ts';
import { TestFolder } from '../support/cores.ts';
import { noLiveDump } from '../support/live-dump.ts';
import { runTool, type Said } from '../support/tool.ts';

const names = buildTarget('names');
const skip = noLiveDump || names.skip;

interface Names {
  readonly comm: string;
  readonly threads: readonly { readonly tid: number; readonly comm: string }[];
  readonly files: readonly { readonly address: number; readonly word: string; readonly path: string }[];
}

async function startNames(folder: TestFolder): Promise<Child<Names>> {
  return startChild<Names>(
    names.path,
    ['--folder', folder.path],
    // only what a program is given as a string: an empty line, a sequence
    { env: { EVIL: '\u001b[2J\nLD_PRELOAD=x' }, cwd: folder.path },
  );
}

/** What a terminal may obey or hide: controls but the newline, marks of width zero and of direction. */
const UNWANTED: readonly (readonly [from: number, to: number])[] = [
  [0x00, 0x09],
  [0x0b, 0x1f],
  [0x7f, 0x9f],
  [0x200b, 0x200f],
  [0x202a, 0x202e],
  [0x2066, 0x2069],
  [0xfeff, 0xfeff],
];

/** None of that, and nothing that no UTF-8 decoder takes. */
function assertHarmless(said: Said): void {
  for (const stream of ['stdout', 'stderr'] as const) {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(said[stream], 'latin1'));
    const bad = Array.from(text).filter((character) =>
      UNWANTED.some(([from, to]) => from <= character.codePointAt(0)! && character.codePointAt(0)! <= to),
    );
    assert.deepEqual(bad, [], `${stream}: ${JSON.stringify(text)}`);
  }
}

/** The same for JSON lines: each is whole, and nothing stands between them. */
function assertJson(said: Said): Record<string, unknown>[] {
  assertHarmless(said);
  return Buffer.from(said.stdout, 'latin1')
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

const unhex = (text: string): Buffer => Buffer.from(text, 'hex');

test('names reach no terminal and no JSON unescaped, and are right in the core', { skip }, async () => {
  using folder = new TestFolder();
  await using target = await startNames(folder);
  const core = folder.file('core');
  const dumped = await runTool(['dump', target.pid, '-o', core, '--force', '--max-stall', '10s']);
  assert.equal(dumped.status, 0, dumped.stderr);
  assertHarmless(dumped);
  const again = ['dump', target.pid, '-o', `${core}.2`, '--force', '--json', '--max-stall', '10s'];
  const records = assertJson(await runTool(again));
  assert.equal(records.at(-1)!['type'], 'summary');
  for (const args of [
    ['show', core],
    ['doctor', target.pid],
    ['dump', target.pid, '-o', core],
  ]) {
    assertHarmless(await runTool(args));
    assertJson(await runTool([...args, '--json']));
  }
  const shown = assertJson(await runTool(['show', core, '--json']));
  assert.equal(shown.find(({ type }) => type === 'core')!['name'], unhex(target.ready.comm).toString());
  await assertRight(core, target.ready, target.pid);
});

async function assertRight(path: string, ready: Names, pid: number): Promise<void> {
  await using core = await Core.open(path);
  const threads = await Array.fromAsync(core.threads());
  const byTid = new Map(threads.map(({ tid, name }) => [tid, name]));
  assert.equal(byTid.get(pid), unhex(ready.comm).toString());
  for (const { tid, comm } of ready.threads)
    assert.equal(byTid.get(tid), unhex(comm).toString(), `thread ${tid}`);
  const notes = await Array.fromAsync(core.notes());
  const info = await notes.find(({ type }) => type === NOTE_TYPE.PRPSINFO)!.read();
  const fname = Buffer.from(info).subarray(PRPSINFO.at.pr_fname, PRPSINFO.at.pr_fname + 16);
  assert.deepEqual(fname.subarray(0, fname.indexOf(0)), unhex(ready.comm));
  const files = Buffer.from(await notes.find(({ type }) => type === NOTE_TYPE.FILE)!.read());
  for (const { address, word, path: hexPath } of ready.files) {
    const bytes = Buffer.from(await core.read(BigInt(address), 8));
    assert.equal(bytes.readBigUInt64LE(), BigInt(word), unhex(hexPath).toString());
    // the bytes of the name, ended as they are in the list: a debugger opens the file by them
    const stored = Buffer.concat([Buffer.of(0), unhex(hexPath), Buffer.of(0)]);
    assert.ok(files.includes(stored), `the list of files has ${JSON.stringify(unhex(hexPath).toString())}`);
  }
}

test('the name of a process that traces the target is escaped as well', { skip }, async () => {
  using folder = new TestFolder();
  await using target = await startNames(folder);
  const own = process.title;
  setThreadName('\u001b[2J\u0007tracer');
  assert.equal(seize(target.pid, 0), 0);
  try {
    for (const args of [
      ['dump', target.pid],
      ['doctor', target.pid],
    ]) {
      const said = await runTool(args, { cwd: folder.path });
      assert.equal(said.status, 1);
      assert.match(said.stdout + said.stderr, /\\x1b\[2J\\x07tracer/);
      assertHarmless(said);
      assertJson(await runTool([...args, '--json'], { cwd: folder.path }));
    }
  } finally {
    interrupt(target.pid);
    const status = new WaitStatus();
    while (status.wait(target.pid) === 0);
    detach(target.pid);
    setThreadName(own);
  }
});

test('gdb reads such a core', {
  skip: skip || spawnSync('gdb', ['--version']).error !== undefined,
}, async () => {
  using folder = new TestFolder();
  await using target = await startNames(folder);
  const core = folder.file('core');
  assert.equal((await runTool(['dump', target.pid, '-o', core, '--force', '--max-stall', '10s'])).status, 0);
  const [{ address, word }] = target.ready.files as [Names['files'][number]];
  const { stdout } = spawnSync('gdb', ['-batch', '-nx', '-c', core, '-ex', `x/1gd ${address}`], {
    encoding: 'utf8',
  });
  assert.match(stdout, new RegExp(`:\\t${BigInt.asIntN(64, BigInt(word))}\\n`));
});
