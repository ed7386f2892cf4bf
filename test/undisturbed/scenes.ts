/**
 * What a dump could disturb, and who would notice: a target each, that judges itself. `npm run undisturbed` dumps each as
 * often as wanted; the test does so a few times.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Core, LivecoreError } from '../../src/index.ts';
import { detach, interrupt, seize, WaitStatus } from '../../src/linux/ptrace.ts';
import { dumpLive, type LiveDump } from '../support/live-dump.ts';
import { stopped } from '../support/segments.ts';
import { startTarget, type Target, type TargetName } from '../support/targets.ts';
import { BREEDS, OWN_CHANGES } from '../support/unharmed.ts';

export interface Scene {
  readonly name: string;
  readonly target: TargetName;
  readonly musl?: true;
  readonly args: readonly (string | number)[];
  /** what the target changes by itself */
  readonly own: readonly RegExp[];
  /** what it notices of what else is done to it, not of dumps */
  readonly noticed?: RegExp;
  /** what its report says besides, for a person */
  readonly remark?: (report: unknown) => string;
  /** how often it is dumped by the command */
  readonly dumps: number;
  /** what is done to it between two dumps */
  readonly between?: (target: Target, dump: number) => Promise<void>;
  /** what is done to it while it is dumped, again and again */
  readonly meanwhile?: (target: Target) => Promise<void>;
}

const TRIES = 5;

/**
 * While a thread is in sigtimedwait(2) its mask lacks what it waits for. Who waits for a lock is listed with it, and leaves the
 * list for the moment of a stop.
 */
const WAITS: readonly RegExp[] = [
  ...OWN_CHANGES,
  /^lock /,
  /^thread \d+ SigBlk: 0{13}[08]00 -> 0{13}[08]00$/,
];

/** Signals that wait, and masks of those whose handlers run. */
const SIGNALLED: readonly RegExp[] = [...OWN_CHANGES, /Pnd: /, / SigBlk: /];

/** The waits that ended last after their time, and by how much; the thread's own stops are in it. */
function latest(report: unknown): string {
  const kinds = report as readonly { name: string; latestNs: number; rounds: number }[];
  const late = kinds.toSorted((left, right) => right.latestNs - left.latestNs).slice(0, 5);
  const rounds = kinds.reduce((sum, kind) => sum + kind.rounds, 0);
  return `${rounds} waits; the latest: ${late.map(({ name, latestNs }) => `${name} ${(latestNs / 1e6).toFixed(1)} ms`).join(', ')}`;
}

/** SIGSTOP and SIGCONT, as a user does with a job. */
async function stopAndGo({ pid, child }: Target): Promise<void> {
  child.kill('SIGSTOP');
  await stopped(pid);
  child.kill('SIGCONT');
}

/** Somebody else's ptrace(2), after ours. */
function traceShortly(pid: number): void {
  if (seize(pid, 0) < 0 || interrupt(pid) < 0) throw new Error(`process ${pid} can't be traced any more`);
  const status = new WaitStatus();
  status.wait(pid, 0);
  detach(pid, status.event === 0 ? status.stopSignal : 0);
}

export const SCENES: readonly Scene[] = [
  {
    name: 'waiting threads',
    target: 'idle',
    args: ['--timeout-ms', 700],
    own: WAITS,
    remark: latest,
    dumps: 100,
  },
  {
    name: 'waiting threads, musl',
    target: 'idle',
    musl: true,
    args: ['--timeout-ms', 700],
    own: WAITS,
    remark: latest,
    dumps: 100,
  },
  { name: 'threads', target: 'threads', args: ['--rate', 850], own: BREEDS, dumps: 200 },
  { name: 'threads, musl', target: 'threads', musl: true, args: ['--rate', 850], own: BREEDS, dumps: 200 },
  {
    name: 'threads of no C library',
    target: 'raw-threads',
    args: ['--rate', 1000],
    own: BREEDS,
    dumps: 200,
    meanwhile: async ({ child }) => void (await child.ask('kill')),
  },
  { name: 'signals', target: 'signals', args: ['--rate', 12_500], own: SIGNALLED, dumps: 100 },
  {
    name: 'signals, stopped and continued, traced by others',
    target: 'signals',
    args: ['--rate', 5000],
    own: SIGNALLED,
    noticed: /waits interrupted by no signal$/, // signal(7): SIGSTOP does
    dumps: 100,
    between: async (target) => {
      await stopAndGo(target);
      traceShortly(target.pid);
    },
    meanwhile: async (target) => {
      await stopAndGo(target);
      await sleep(50);
    },
  },
  { name: 'registers', target: 'compute', args: ['--threads', 3], own: OWN_CHANGES, dumps: 100 },
  {
    name: 'a family',
    target: 'forker',
    args: ['--mib', 8, '--life-ms', 50, '--spawn', 50],
    own: [...SIGNALLED, /children/, /^map /],
    dumps: 100,
  },
  { name: 'no descriptor left', target: 'limits-target', args: [], own: OWN_CHANGES, dumps: 20 },
  { name: 'behind a filter', target: 'seccomp', args: ['--filter', 'docker'], own: OWN_CHANGES, dumps: 20 },
];

/**
 * Dumps a scene's target, which is watched meanwhile. A difference is thrown.
 *
 * @returns what disturbed the target, in its own words; empty is what is wanted
 */
export async function disturb(
  scene: Scene,
  dumps: number,
  { each, remark }: { each?: (pauseMs: number) => void; remark?: (text: string) => void } = {},
): Promise<string[]> {
  await using target = await startTarget(scene.target, {
    args: scene.args,
    ...(scene.musl && { musl: true }),
  });
  await sleep(200);
  for (let dump = 0; dump < dumps; dump++) {
    let over = false;
    const dumped = dumpPatiently(target.pid, scene.own).finally(() => (over = true));
    // A failure is awaited below.
    dumped.catch(() => {});
    while (scene.meanwhile !== undefined && !over) await scene.meanwhile(target);
    using core = await dumped;
    await assertTold(core, target.pid);
    await scene.between?.(target, dump);
    each?.(core.summary.pauseMs);
  }
  if (scene.remark !== undefined) remark?.(scene.remark(await target.report()));
  return (await target.end()).filter((line) => !scene.noticed?.test(line));
}

/** A core is whole, or says that it is not: stacks of threads that ended before they were copied are lost. */
async function assertTold({ file, summary }: LiveDump, pid: number): Promise<void> {
  await using core = await Core.open(file);
  const { lost, unreliable } = summary.blocks;
  assert.equal(core.livecore!.complete, lost + unreliable === 0);
  for await (const { tid } of core.threads()) {
    assert.equal(tid, pid, 'the first thread comes first');
    break;
  }
}

/** On a busy machine a target of many threads may not stop in time: nothing was done to it then, and it is tried again. */
async function dumpPatiently(pid: number, own: readonly RegExp[]): Promise<LiveDump> {
  for (let tries = 1; ; tries++) {
    try {
      return await dumpLive(pid, {}, own);
    } catch (error) {
      if (!(error instanceof LivecoreError && error.code === 'HOLD_FAILED') || tries === TRIES) throw error;
    }
  }
}
