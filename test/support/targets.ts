/**
 * The small targets (test/targets/*.c): each does one thing that a dump could disturb, and knows by itself whether it
 * was disturbed.
 *
 * @example
 * await using target = await startTarget('signals');
 * // ... dump target.pid ...
 * assert.deepEqual(await target.end(), []);
 */
import { buildTarget } from './build.ts';
import { type Child, type ChildOptions, startChild } from './child.ts';

// biome-ignore lint/suspicious/noExplicitAny: each target's report has its own fields; its C file names them
type Report = any;

/** What is wrong with a target's final report, in words; empty when nothing disturbed it. */
type Judge = (report: Report) => (string | false)[];

export type TargetName =
  | 'idle'
  | 'compute'
  | 'threads'
  | 'raw-threads'
  | 'signals'
  | 'forker'
  | 'limits-target'
  | 'seccomp'
  | 'setuid-drop';

const judges: Readonly<Record<TargetName, Judge>> = {
  /** threads asleep in 44 kinds of system calls: no EINTR, no early wake, no surprise */
  idle: (kinds) =>
    kinds.flatMap((kind: Report) => [
      kind.eintr > 0 && `${kind.name}: ${kind.eintr} EINTR`,
      kind.early > 0 && `${kind.name}: ${kind.early} times awake too early`,
      kind.wrong > 0 && `${kind.name}: ${kind.wrong} wrong results`,
    ]),
  /** every register live, SSE to AVX-512, masks, x87 */
  compute: (report) => [report.wrong > 0 && `${report.wrong} wrong registers, first ${report.first}`],
  /** threads born and dead all the time, robust mutexes whose owners die */
  threads: (report) => [
    report.wrong > 0 && `${report.wrong} wrong results`,
    report.hung > 0 && `${report.hung} joins or locks hung`,
    report.deaths !== report.ownerDead && `${report.deaths} owners died, ${report.ownerDead} were noticed`,
    report.born !== report.joined + report.detached &&
      `${report.born} born, ${report.joined + report.detached} ended`,
  ],
  /** the same without a C library's threads, and processes that are killed */
  'raw-threads': (report) => [
    report.wrong > 0 && `${report.wrong} wrong results`,
    report.hung > 0 && `${report.hung} joins hung`,
    report.deaths !== report.ownerDead && `${report.deaths} owners died, ${report.ownerDead} were noticed`,
    report.born !== report.joined && `${report.born} born, ${report.joined} ended`,
  ],
  /** storms of queued signals */
  signals: (report) => [
    report.disorder > 0 && `${report.disorder} signals out of order: ${JSON.stringify(report.channels)}`,
    report.badInfo > 0 && `${report.badInfo} signals with wrong information, mask or call`,
    report.interrupted > 0 && `${report.interrupted} waits interrupted by no signal`,
    report.sent !== report.received && `${report.sent} signals sent, ${report.received} received`,
  ],
  /** a family that shares copy-on-write memory */
  forker: (report) => [
    report.wrong > 0 && `${report.wrong} words were not what a child must see`,
    report.failedSpawns > 0 && `${report.failedSpawns} programs failed`,
  ],
  /** at the limit of its descriptors */
  'limits-target': (report) => [
    report.wrong > 0 && `${report.wrong} descriptors are not what was opened`,
    report.canOpen && 'a descriptor is free that was not',
    !report.reused && 'a closed descriptor was not the next to be opened',
  ],
  /** behind a seccomp filter */
  seccomp: (report) => [
    report.wrong > 0 && `${report.wrong} wrong words`,
    report.beats === 0 && 'it did nothing',
  ],
  /** a daemon that became nobody; needs root */
  'setuid-drop': (report) => [
    report.wrong > 0 && `${report.wrong} wrong words`,
    report.uid !== 65534 && `uid ${report.uid}`,
  ],
};

export const targetNames = Object.keys(judges) as readonly TargetName[];

export interface Target extends AsyncDisposable {
  readonly pid: number;
  readonly child: Child;
  /** the target's report so far */
  report(): Promise<Report>;
  /** ends the target in good order and says what disturbed it; empty is what is wanted */
  end(): Promise<string[]>;
}

export interface TargetOptions extends ChildOptions {
  readonly args?: readonly (string | number)[];
  readonly musl?: boolean;
}

/** Why a target can't be built here, or false. */
export function targetSkip(name: TargetName, options: { musl?: boolean } = {}): string | false {
  if (name === 'setuid-drop' && process.getuid?.() !== 0) return 'only root can give its rights up';
  return buildTarget(name, options).skip;
}

export async function startTarget(name: TargetName, options: TargetOptions = {}): Promise<Target> {
  const { args = [], musl = false, ...childOptions } = options;
  const child = await startChild(buildTarget(name, { musl }).path, args, childOptions);
  const judge: Judge = judges[name];
  return {
    pid: child.pid,
    child,
    report: () => child.ask('report'),
    end: async () => judge(await child.quit()).filter((line) => line !== false),
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}
