/** What a tool that died may not leave: traced threads, registered memory, processes of its own, a half file. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Core } from '../../src/index.ts';
import { listProcesses } from '../../src/linux/proc.ts';

const PATIENCE_MS = 20_000;

/** What a target that runs changes by itself: see `Allowed` of watch.ts. */
export const OWN_CHANGES: readonly RegExp[] = [
  /^(Referenced|Vm\w+|Pss\w*|Shared_\w+|Private_\w+|Rss|Anonymous): /,
  / state: /,
  /^State: /,
];

/** What one changes that makes and ends threads, or moves memory about. */
export const BREEDS: readonly RegExp[] = [
  ...OWN_CHANGES,
  /^thread /,
  /^map /,
  /^(FDSize|LazyFree|AnonHugePages|Locked): /,
];

/** Waits until it holds; fails after 20 seconds, or as many as are given. */
export async function until(
  holds: () => boolean,
  what: string,
  patienceMs: number = PATIENCE_MS,
): Promise<void> {
  for (const end = Date.now() + patienceMs; !holds(); await sleep(10))
    assert.ok(Date.now() < end, `${what}: not within ${patienceMs} ms`);
}

/** A zombie is not: its parent may be gone as well. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\t[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** The loop processes that dump a target, whoever their parent is now. */
export function loopsOf(target: number): number[] {
  return listProcesses().filter((pid) => {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      return line.includes('loop/main.ts') && line.includes(`"pid":${target},`) && isRunning(pid);
    } catch {
      return false;
    }
  });
}

/** Waits until no thread is traced and no memory registered. */
export async function assertLetGo(pid: number): Promise<void> {
  await until(() => tracers(pid).every((tracer) => tracer === '0'), 'nobody is traced');
  await until(() => !isRegistered(pid), 'nothing is registered');
}

/** Whether a file is there. If so it must be a whole core: only that may bear the name. */
export async function wholeCoreOrNone(file: string): Promise<boolean> {
  if (!existsSync(file)) return false;
  await using core = await Core.open(file);
  assert.equal(core.livecore?.complete, true);
  return true;
}

/** Whether any mapping is registered with a userfaultfd. */
function isRegistered(pid: number): boolean {
  return /^VmFlags:.* (um|uw|ui)( |$)/m.test(readFileSync(`/proc/${pid}/smaps`, 'utf8'));
}

/** The tracer of each thread, "0" for none; of a thread that ends while it is looked at as well. */
export function tracers(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).map((tid) => {
    try {
      return /^TracerPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8'))?.[1] ?? '?';
    } catch {
      return '0';
    }
  });
}
