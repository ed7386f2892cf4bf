/** Dumps in vain by the command line, and who was not to be touched by them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { differences, takeSnapshot } from './watch.ts';
import type { Writer } from './writer.ts';

const launcher = join(import.meta.dirname, '../../bin/livecore');
const TIMEOUT_MS = 60_000;

export interface Refused {
  readonly status: number;
  readonly stderr: string;
  readonly error: { readonly code: string; readonly message: string; readonly cure?: string };
}

/** Dumps in vain, once for people and once for programs, which have to be told the same. */
export function refused(pid: number, ...args: string[]): Refused {
  return refusedIn({}, pid, ...args);
}

/** The same in an environment. */
export function refusedIn(env: Readonly<Record<string, string>>, pid: number, ...args: string[]): Refused {
  const run = (...more: string[]) =>
    spawnSync(launcher, ['dump', String(pid), ...args, ...more], {
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
      env: { ...process.env, ...env },
    });
  const { status, stderr, stdout } = run();
  assert.equal(stdout, '');
  const lines = run('--json').stdout.trim().split('\n');
  const error = JSON.parse(lines.at(-1)!) as Refused['error'] & { type: string };
  assert.equal(error.type, 'error');
  const last = stderr.trim().split('\n').at(-1)!;
  assert.ok(last.startsWith(`livecore: ${error.message}`), `${last} is not ${error.message}`);
  return { status: status!, stderr: last, error };
}

/** A target that is the same after as before, and goes on. */
export async function unharmed(writer: Writer, act: () => void | Promise<void>): Promise<void> {
  const before = takeSnapshot(writer.pid);
  await act();
  // Its own memory figures move with what it writes.
  const lines = [/^(Rss|Pss|Private|Anonymous|Referenced|Swap|Locked|KSM|Shared|LazyFree)/];
  assert.deepEqual(differences(before, takeSnapshot(writer.pid), { lines }), []);
  await writer.advance(100);
  assert.equal((await writer.check()).wrong, 0);
}
