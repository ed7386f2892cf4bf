/** Ctrl-C: once cancels, twice kills; either way the target goes on and nothing is left. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { childrenOf } from '../../src/cli/interruption.ts';
import { Random } from '../conformance/random.ts';
import { CommandDump, MOMENTS, type Moment } from '../support/command-dump.ts';
import { assertLetGo, loopsOf, until, wholeCoreOrNone } from '../support/unharmed.ts';
import { startWriter, type Writer } from '../support/writer.ts';

const launcher = join(import.meta.dirname, '../../bin/livecore');
const skip = process.getuid!() === 0 ? false : 'needs root';

/** A dump that has its T0 behind it: some 0.5 GiB are being copied. */
async function startDump(writer: Writer, folder: string): Promise<ChildProcess> {
  const dump = spawn(launcher, ['dump', String(writer.pid), '--json', '--max-stall', '5s'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for await (const line of createInterface({ input: dump.stdout! })) {
    const { type, phase, ...rest } = JSON.parse(line) as { type: string; phase?: string };
    if (type === 'error' || type === 'summary')
      assert.fail(`ended too early: ${type} ${JSON.stringify(rest)}`);
    if (type === 'progress' && phase === 'copy') break;
  }
  return dump;
}

async function withDump(
  act: (dump: ChildProcess, writer: Writer, folder: string) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'livecore-interruption-'));
  await using writer = await startWriter({ mib: 1536, threads: 2, rate: 20_000, pace: 'sleep' });
  const dump = await startDump(writer, folder);
  try {
    await act(dump, writer, folder);
    await writer.advance(10_000);
    assert.match(readFileSync(`/proc/${writer.pid}/status`, 'utf8'), /^TracerPid:\t0$/m);
    assert.deepEqual(readdirSync(folder), []);
  } finally {
    dump.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} cancels the dump: 130, no file, the target goes on`, { skip }, async () => {
    await withDump(async (dump) => {
      const loops = childrenOf(dump.pid!);
      assert.notEqual(loops.length, 0);
      dump.kill(signal);
      const [status] = (await once(dump, 'exit')) as [number | null];
      assert.equal(status, 130);
      assert.deepEqual(
        loops.filter((pid) => existsSync(`/proc/${pid}/exe`)),
        [],
      );
    });
  });
}

test('a second Ctrl-C kills what is at work', { skip }, async () => {
  await withDump(async (dump) => {
    const loops = childrenOf(dump.pid!);
    // A loop that is stopped cannot answer the first one. (The kernel lifts the protection when it is killed.)
    for (const pid of loops) process.kill(pid, 'SIGSTOP');
    dump.kill('SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 50));
    dump.kill('SIGINT');
    const [status] = (await once(dump, 'exit')) as [number | null];
    assert.equal(status, 130);
    assert.deepEqual(
      loops.filter((pid) => existsSync(`/proc/${pid}/exe`)),
      [],
    );
  });
});

/** What came of a dump that was interrupted at a moment, in words. */
async function interrupted(
  writer: Writer,
  folder: string,
  moment: Moment,
  { signal, streamed }: { signal: NodeJS.Signals; streamed: boolean },
): Promise<string> {
  const file = join(folder, 'core');
  const dump = new CommandDump(writer.pid, file, { streamed });
  await dump.reached(moment);
  dump.kill(signal);
  const ended = await dump.ended;
  await until(() => loopsOf(writer.pid).length === 0, 'the loop ends');
  await assertLetGo(writer.pid);
  const names = readdirSync(folder);
  // What was streamed before is its reader's.
  if (streamed) rmSync(file);
  else if (ended === 130) assert.deepEqual(names, []);
  else if (await wholeCoreOrNone(file)) rmSync(file);
  assert.deepEqual(readdirSync(folder), []);
  // Before it listens, or when it listens no more, the signal ends it as any program.
  if (ended === signal) return 'ended by the signal';
  if (ended === 0) return 'done before';
  assert.equal(ended, 130, JSON.stringify(dump.lines.at(-1)));
  assert.equal(dump.lines.at(-1)!.code, 'CANCELLED');
  return 'cancelled';
}

for (const streamed of [false, true]) {
  const what = streamed ? 'a stream' : 'a file';
  test(`interrupted at random moments, ${what} is whole or none, and the target goes on`, {
    skip,
  }, async (context) => {
    const random = new Random(streamed ? 71 : 70);
    const folder = mkdtempSync(join(tmpdir(), 'livecore-moments-'));
    await using writer = await startWriter({ mib: 128, threads: 2, rate: 20_000, pace: 'sleep' });
    try {
      const came: string[] = [];
      for (const { phase, withinMs } of MOMENTS) {
        for (const signal of ['SIGINT', 'SIGTERM'] as const) {
          for (let count = 0; count < 2; count++) {
            const moment = { phase, afterMs: random.below(withinMs) };
            came.push(await interrupted(writer, folder, moment, { signal, streamed }));
            context.diagnostic(`${signal} ${moment.afterMs} ms after ${phase}: ${came.at(-1)}`);
          }
        }
      }
      assert.ok(came.includes('cancelled'));
      await writer.advance(1000);
      assert.equal((await writer.check()).wrong, 0);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
