/** The target that changes its own address space (test/targets/mutator.c), and the checker of its images. */
import { execFileSync } from 'node:child_process';
import { buildTarget } from './build.ts';
import { type Child, startChild } from './child.ts';
import { coreSegments, type Segment } from './segments.ts';

export interface MutatorOptions {
  readonly threads?: number;
  /** of each thread's arena */
  readonly mib?: number;
  /** operations a second of each thread */
  readonly rate?: number;
  readonly seed?: number;
  /** "all", or a list of: map, dontneed, free, unmap, fixed, move, keep, shrink, brkgrow, brkshrink */
  readonly ops?: string;
  readonly musl?: boolean;
}

export interface Mutator extends AsyncDisposable {
  readonly pid: number;
  readonly plan: string;
  readonly child: Child<{ plan: string }>;
  /** intruders: mappings of somebody else where the mutator wanted to map; failures: of its own calls */
  report(): Promise<{ operations: number; intruders: number; failures: number; first: string }>;
  /** stops for good and compares the live memory with the model; holes are pages rightly not mapped */
  check(): Promise<{ pages: number; holes: number; wrong: number }>;
}

export interface MutatorCheck {
  readonly pages: number;
  /** pages with another content than at the instant that the image's counters name */
  readonly wrong: number;
  /** pages that were mapped then, but the image does not hold them: to be listed as lost or unreliable */
  readonly absent: number;
  readonly absentPages: readonly string[];
  /** pages that were not mapped then, but the image holds something */
  readonly extra: number;
  /** pages of operations under way, which may be as before or as after */
  readonly underWay: number;
  readonly brokenCounters: number;
  readonly examples: readonly string[];
  /** [begin, end] of each thread */
  readonly counters: readonly (readonly [number, number])[];
}

export async function startMutator(options: MutatorOptions = {}): Promise<Mutator> {
  const { musl = false, ...plain } = options;
  const args = Object.entries(plain).flatMap(([name, value]) => [`--${name}`, value as string | number]);
  const child = await startChild<{ plan: string }>(buildTarget('mutator', { musl }).path, args);
  return {
    pid: child.pid,
    plan: child.ready.plan,
    child,
    report: () => child.ask('report'),
    check: () => child.ask('check'),
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}

/** Compares what a file holds with what the plan demands, page for page; without segments, the file is a core. */
export function checkMutatorImage(plan: string, path: string, segments?: readonly Segment[]): MutatorCheck {
  const lines = (segments ?? coreSegments(path)).map((s) => `${s.address} ${s.offset} ${s.size}\n`);
  const output = execFileSync(buildTarget('check-mutator').path, ['--plan', plan, '--file', path], {
    input: lines.join(''),
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  return JSON.parse(output) as MutatorCheck;
}
