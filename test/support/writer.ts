/** The writing target (test/targets/writer.c) with its reports as typed values. Times are CLOCK_MONOTONIC ns. */
import { setTimeout as sleep } from 'node:timers/promises';
import { buildTarget } from './build.ts';
import { type Child, type ChildOptions, startChild } from './child.ts';
import type { Segment } from './segments.ts';

/** The options of writer.c; what is left out has the default that is written there. */
export interface WriterOptions extends ChildOptions {
  readonly threads?: number;
  readonly mib?: number;
  readonly seed?: number;
  /** writes a second of the whole process; 0, the default, is as fast as it goes */
  readonly rate?: number;
  readonly pace?: 'spin' | 'sleep';
  readonly pattern?: 'random' | 'sequential';
  /** random reads before each write */
  readonly reads?: number;
  readonly own?: 'interleaved' | 'slice';
  readonly memory?: 'anon' | 'shared' | 'memfd' | 'hugetlb';
  readonly thp?: 'on' | 'off' | 'default';
  readonly reserveGib?: number;
  readonly mappings?: number;
  /** percent of the pages that start as zeros */
  readonly zero?: number;
  /** percent of the pages that start untouched */
  readonly empty?: number;
  readonly child?: 'none' | 'idle' | 'write';
  /** causal order between the threads; the first is at most this many writes ahead of the last */
  readonly lead?: number;
  readonly gapUs?: number;
  /** static against musl */
  readonly musl?: boolean;
}

export interface WriterReady {
  readonly pid: number;
  /** pid of the forked child, or 0 */
  readonly child: number;
  readonly startNs: number;
  readonly spin: boolean;
  /** for check-writer.ts */
  readonly plan: string;
}

export interface WriterReport {
  readonly nowNs: number;
  readonly writes: number;
  /** gaps between two readings of a thread's clock, whole run, all threads */
  readonly gaps: {
    readonly count: number;
    readonly p50Ns: number;
    readonly p99Ns: number;
    readonly p999Ns: number;
    readonly maxNs: number;
    readonly maxAtNs: number;
    readonly over1ms: number;
    /** gaps over the threshold that the log had no room for */
    readonly unlogged: number;
  };
}

export interface Gap {
  readonly thread: number;
  readonly startNs: number;
  readonly lengthNs: number;
}

export interface ForkDump {
  /** how long the call of fork took, in the thread that called it */
  readonly forkNs: number;
  readonly totalNs: number;
  readonly startNs: number;
  readonly bytes: number;
  readonly segments: readonly Segment[];
}

export interface Writer extends AsyncDisposable {
  readonly pid: number;
  readonly plan: string;
  readonly child: Child<WriterReady>;
  /** the ranges that the plan speaks of: the words, then the counters */
  readonly ranges: readonly { address: bigint; size: bigint }[];
  report(): Promise<WriterReport>;
  /** waits until this many further writes are done */
  advance(writes: number): Promise<void>;
  /** logged gaps (over gapUs) that touch the interval */
  gaps(fromNs: number, toNs: number): Promise<Gap[]>;
  /** writes of all threads from `startNs` on, one number for every 10 ms */
  buckets(fromNs: number, toNs: number): Promise<{ startNs: number; bucketNs: number; writes: number[] }>;
  /** ms of its own undisturbed work (the rate of `before`) that an unthrottled writer did not do in the interval */
  lostWorkMs(during: Interval, before: Interval): Promise<number>;
  /** by cooperation: the writer forks, the child writes the memory to a file and syncs it */
  forkDump(path: string): Promise<ForkDump>;
  /** stops the threads for good and compares the live memory, word for word, with the plan */
  check(): Promise<{ words: number; wrong: number; childWrong: number }>;
  quit(): Promise<WriterReport>;
}

export interface Interval {
  readonly fromNs: number;
  readonly toNs: number;
}

const PAGE = 4096n;

/** Starts a writer and waits until its memory is touched and its threads write. */
export async function startWriter(options: WriterOptions = {}): Promise<Writer> {
  const { musl, env, cwd, uid, gid, readyTimeoutMs, answerTimeoutMs, reserveGib, gapUs, ...plain } = options;
  const program = buildTarget('writer', { musl: musl === true });
  if (program.skip !== false) throw new Error(program.skip);
  const named = { ...plain, 'reserve-gib': reserveGib, 'gap-us': gapUs };
  const given = Object.entries(named).filter(([, value]) => value !== undefined);
  const childOptions = { env, cwd, uid, gid, readyTimeoutMs, answerTimeoutMs };
  const present = Object.fromEntries(Object.entries(childOptions).filter(([, value]) => value !== undefined));
  const args = given.flatMap(([name, value]) => [`--${name}`, String(value)]);
  return makeWriter(await startChild<WriterReady>(program.path, args, present));
}

function makeWriter(child: Child<WriterReady>): Writer {
  const ranges = planRanges(child.ready.plan);
  const buckets: Writer['buckets'] = (fromNs, toNs) => child.ask(`buckets ${ns(fromNs)} ${ns(toNs)}`);
  return {
    pid: child.pid,
    plan: child.ready.plan,
    child,
    ranges,
    buckets,
    report: () => child.ask('report'),
    async advance(writes) {
      const { writes: start } = await child.ask<WriterReport>('report');
      while ((await child.ask<WriterReport>('report')).writes < start + writes) await sleep(1);
    },
    async gaps(fromNs, toNs) {
      const rows = await child.ask<[number, number, number][]>(`gaps ${ns(fromNs)} ${ns(toNs)}`);
      return rows.map(([thread, startNs, lengthNs]) => ({ thread, startNs, lengthNs }));
    },
    async lostWorkMs(during, before) {
      // whole buckets only: before the interval those inside it, during it all that it touches, once they are over
      const bucketNs = 10e6;
      const perNs = writesPerNs(await buckets(before.fromNs + bucketNs, before.toNs - bucketNs));
      while (monotonicNs() < during.toNs + bucketNs) await sleep(5);
      const here = await buckets(during.fromNs, during.toNs);
      return (here.writes.length * here.bucketNs - sum(here.writes) / perNs) / 1e6;
    },
    async forkDump(path) {
      const report = await child.ask<Omit<ForkDump, 'segments'> & { status: number; error?: string }>(
        `forkdump ${path}`,
      );
      if (report.error !== undefined || report.status !== 0)
        throw new Error(`forkdump: ${JSON.stringify(report)}`);
      let offset = 0n;
      const segments = ranges.map(({ address, size }) => {
        offset += size;
        return { address, size, offset: offset - size };
      });
      return { ...report, segments };
    },
    check: () => child.ask('check'),
    quit: () => child.quit(),
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}

/** See PLAN_FIELDS of pattern.h for the order. */
function planRanges(plan: string): { address: bigint; size: bigint }[] {
  const fields = plan.trim().split(' ').map(BigInt);
  const [, base, extent, stride, extents, threads] = fields as [
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
  ];
  const [countersAt, countersStep] = fields.slice(11) as [bigint, bigint];
  const counters = { address: countersAt, size: ((threads * countersStep + PAGE - 1n) / PAGE) * PAGE };
  if (stride === extent) return [{ address: base, size: extent * extents }, counters];
  const pieces = Array.from({ length: Number(extents) }, (_, i) => ({
    address: base + BigInt(i) * stride,
    size: extent,
  }));
  return [...pieces, counters];
}

function writesPerNs(buckets: { bucketNs: number; writes: number[] }): number {
  return sum(buckets.writes) / (buckets.writes.length * buckets.bucketNs);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}

/** A time for a command line: whole, and never in the notation with an exponent. */
function ns(time: number): string {
  return BigInt(Math.round(Math.min(time, Number.MAX_SAFE_INTEGER))).toString();
}

/** The clock of all reports, in ns: CLOCK_MONOTONIC, which is what process.hrtime reads. */
export function monotonicNs(): number {
  return Number(process.hrtime.bigint());
}
