/** A stdout that is closed, full or not read to its end: a core does not depend on it, unless it goes there. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { buildTarget } from '../support/build.ts';
import { TestFolder } from '../support/cores.ts';
import { wholeCoreOrNone } from '../support/unharmed.ts';
import { startWriter } from '../support/writer.ts';

const launcher = join(import.meta.dirname, '../../bin/livecore');
const skip = process.getuid!() === 0 ? buildTarget('writer').skip : 'needs root';
const TIMEOUT_MS = 60_000;

suite('a stdout that takes nothing', { skip }, () => {
  const dumpTo = (stdout: string, ...args: string[]) =>
    spawnSync('sh', ['-c', `"$0" dump "$@" -q --max-stall 5s ${stdout}`, launcher, ...args], {
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
    });

  test('it is closed: the file is written all the same, and a stream is refused', async () => {
    using folder = new TestFolder();
    await using writer = await startWriter({ mib: 4, threads: 1, rate: 100, pace: 'sleep' });
    const file = folder.file('core');
    const whole = dumpTo('>&-', String(writer.pid), '-o', file);
    assert.deepEqual([whole.status, whole.stderr], [0, '']);
    assert.ok(await wholeCoreOrNone(file));
    const streamed = dumpTo('>&-', String(writer.pid), '-o', '-');
    assert.equal(streamed.status, 2);
    assert.match(streamed.stderr, /stdout is closed, and the core would go nowhere; send stdout to a file/);
    assert.equal(dumpTo('>/dev/null', String(writer.pid), '-o', '-').status, 0);
  });

  test('its disk is full: the core is written, and what was not told is told of', async () => {
    using folder = new TestFolder();
    await using writer = await startWriter({ mib: 4, threads: 1, rate: 100, pace: 'sleep' });
    const file = folder.file('core');
    const { status, stderr } = dumpTo('--json >/dev/full', String(writer.pid), '-o', file);
    assert.deepEqual(
      [status, stderr],
      [0, 'note: what was told on stdout is not whole: ENOSPC: no space left on device, write\n'],
    );
    assert.ok(await wholeCoreOrNone(file));
    // Not --quiet: there is something to say.
    const talk = `"$0" dump ${writer.pid} --max-stall 5s -o "$1" 2>/dev/full`;
    const second = folder.file('second');
    const silent = spawnSync('sh', ['-c', talk, launcher, second], { encoding: 'utf8', timeout: TIMEOUT_MS });
    assert.deepEqual([silent.status, silent.stdout], [0, `${second}\n`]);
    const shown = spawnSync('sh', ['-c', '"$0" show "$1" >/dev/full', launcher, file], { encoding: 'utf8' });
    assert.equal(shown.status, 1);
    assert.match(shown.stderr, /no space left/);
  });

  test('its reader has gone, or leaves after some of it', async () => {
    using folder = new TestFolder();
    await using writer = await startWriter({ mib: 16, threads: 1, rate: 100, pace: 'sleep' });
    const piped = (args: string, reader: string): string[] => {
      const script = `"$0" dump ${writer.pid} -q --max-stall 5s ${args} | ${reader} >/dev/null; echo "\${PIPESTATUS[0]}"`;
      const run = spawnSync('bash', ['-c', script, launcher], { encoding: 'utf8', timeout: TIMEOUT_MS });
      return [run.stdout.trim(), run.stderr.trim()];
    };
    for (const [index, reader] of ['true', 'head -c 1000'].entries()) {
      const file = folder.file(`core-${index}`);
      assert.deepEqual(piped(`--json -o ${file}`, reader), ['0', '']);
      assert.ok(await wholeCoreOrNone(file));
      const [status, said] = piped('-o -', reader);
      assert.equal(status, '1');
      assert.match(said!, /its reader has gone/);
    }
    await writer.advance(10);
    assert.equal((await writer.check()).wrong, 0);
  });
});
