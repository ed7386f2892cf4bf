/** SIGKILLs at random moments of a dump: the target goes on, and no half file bears the final name. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf } from '../../src/cli/interruption.ts';
import { Random } from '../conformance/random.ts';
import { startTarget, type Target } from '../support/targets.ts';
import { assertLetGo, isRunning, OWN_CHANGES, until, wholeCoreOrNone } from '../support/unharmed.ts';
import { differences, takeSnapshot } from '../support/watch.ts';
import { startWriter } from '../support/writer.ts';

const launcher = join(import.meta.dirname, '../../bin/livecore');
/** a dump of the writer takes about this long, from the start of the process on */
const DUMP_MS = 900;

/** Who is killed: all that there is of the tool, or one of its two processes. */
const VICTIMS = ['both', 'loop', 'parent'] as const;

async function killDump(
  pid: number,
  file: string,
  atMs: number,
  victim: (typeof VICTIMS)[number],
): Promise<void> {
  const dump = spawn(launcher, ['dump', String(pid), '-o', file, '--max-stall', '5s', '--quiet', '--force'], {
    stdio: 'ignore',
  });
  const ended = once(dump, 'exit');
  await sleep(atMs);
  const loops = childrenOf(dump.pid!);
  // The parent first, or it would end the loop in its own way.
  if (victim !== 'loop') dump.kill('SIGKILL');
  if (victim !== 'parent') for (const loop of loops) kill(loop);
  await ended;
  await until(() => loops.every((loop) => !isRunning(loop)), 'the loop ends');
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended by itself
  }
}

async function assertNothingLeft(pid: number, folder: string, file: string): Promise<boolean> {
  await assertLetGo(pid);
  const finished = await wholeCoreOrNone(file);
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
  return finished;
}

/**
 * Kills the tool so often, and looks at the target after each time, and at what it computed in the end. Throws what was harmed.
 *
 * @returns how many dumps had come to their end before
 */
export async function killAtRandomMoments(
  kills: number,
  seed: number,
  each?: (kill: number) => void,
): Promise<number> {
  const random = new Random(seed);
  const folder = mkdtempSync(join(tmpdir(), 'livecore-killed-'));
  const file = join(folder, 'core');
  await using writer = await startWriter({ mib: 192, threads: 2, rate: 50_000, pace: 'sleep' });
  // One thread: with both CPUs of a small machine busy, a new session of its own can wait for one longer than we do (autogroup).
  await using compute: Target = await startTarget('compute', { args: ['--threads', 1] });
  const before = new Map([writer.pid, compute.pid].map((pid) => [pid, takeSnapshot(pid)]));
  let finished = 0;
  try {
    for (let kill = 0; kill < kills; kill++) {
      const { pid } = kill % 3 === 2 ? compute : writer;
      await killDump(pid, file, 60 + random.below(DUMP_MS), random.pick(VICTIMS));
      if (await assertNothingLeft(pid, folder, file)) finished++;
      await writer.advance(2000);
      assert.deepEqual(differences(before.get(pid)!, takeSnapshot(pid), { lines: OWN_CHANGES }), []);
      each?.(kill);
    }
    assert.equal((await writer.check()).wrong, 0);
    assert.deepEqual(await compute.end(), []);
    return finished;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
