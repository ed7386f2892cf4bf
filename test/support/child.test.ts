import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { compileCached } from './build.ts';
import { startChild } from './child.ts';
import { requireProgram } from './packages.ts';

const folder = mkdtempSync(join(tmpdir(), 'livecore-child-'));
after(() => rmSync(folder, { recursive: true }));
const gcc = requireProgram('gcc', 'gcc');

function compile(name: string, body: string, flags: readonly string[] = []): string {
  const source = join(folder, `${name}.c`);
  writeFileSync(
    source,
    `#include "target.h"\nint main(int argc, char **argv) { (void)argc; (void)argv; ${body} }\n`,
  );
  return compileCached(gcc.path, source, { flags });
}

const ECHO = `char line[100]; printf("READY {\\"number\\": %lu}\\n", number(argv, "number", 1)); fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) { printf("\\"%s\\"\\n", line); fflush(stdout); }
  printf("{\\"bye\\": true}\\n"); return atoi(option(argv, "status", "0"));`;

test('a target says READY, answers, and quits', { skip: gcc.skip }, async () => {
  await using child = await startChild<{ number: number }>(compile('echo', ECHO), ['--number', 7]);
  assert.deepEqual(child.ready, { number: 7 });
  assert.equal(await child.ask('one'), 'one');
  assert.equal(await child.ask('two'), 'two');
  assert.deepEqual(await child.quit(), { bye: true });
  assert.equal(child.running, false);
});

test('a status other than 0 at the end is an error', { skip: gcc.skip }, async () => {
  await using child = await startChild(compile('echo', ECHO), ['--status', 3]);
  await assert.rejects(child.quit(), /ended with 3/);
});

test('a target that dies before READY gives its stderr', { skip: gcc.skip }, async () => {
  const program = compile('dead', 'errno = ENOENT; die("no luck");');
  await assert.rejects(startChild(program), /ended \(70\) instead of READY: no luck \(errno 2/);
});

test('a target that is killed while asked says by what', { skip: gcc.skip }, async () => {
  await using child = await startChild(compile('mute', 'puts("READY"); fflush(stdout); for (;;) pause();'));
  setTimeout(() => child.kill('SIGKILL'), 50);
  await assert.rejects(child.ask('anything'), /ended \(SIGKILL\)/);
});

test('disposal ends the process and no other', { skip: gcc.skip }, async () => {
  const program = compile('echo', ECHO);
  await using other = await startChild(program);
  let pid = 0;
  {
    await using child = await startChild(program);
    pid = child.pid;
    assert.ok(statSync(`/proc/${pid}`).isDirectory());
  }
  assert.throws(() => statSync(`/proc/${pid}`), { code: 'ENOENT' });
  assert.equal(await other.ask('still here'), 'still here');
});

test('a program that is not there is an error, not a hang', async () => {
  await assert.rejects(startChild(join(folder, 'nothing')), /ENOENT/);
});

test('a compiled target is reused; other flags make another', { skip: gcc.skip }, () => {
  const first = compile('echo', ECHO);
  const inode = statSync(first).ino;
  assert.equal(compile('echo', ECHO), first);
  assert.equal(statSync(first).ino, inode);
  assert.notEqual(compile('echo', ECHO, ['-DOTHER']), first);
});

test('a source with a warning does not compile', { skip: gcc.skip }, () => {
  assert.throws(() => compile('warned', 'int unused; return 0;'), /unused/);
});
