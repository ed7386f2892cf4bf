/** The tools that are compared, each as one function that takes an image of a target and removes it again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fsyncSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DumpSummary } from '../src/index.ts';
import { compileCached } from '../test/support/build.ts';
import { requireProgram } from '../test/support/packages.ts';
import { monotonicNs, type Writer } from '../test/support/writer.ts';
import { cachedBytes, minorFaults, peaksOfTree } from './proc.ts';

export const toolNames = ['nothing', 'control', 'livecore', 'gcore', 'forkdump'] as const;
export type ToolName = (typeof toolNames)[number];

/** What one tool did to one target. Times are CLOCK_MONOTONIC in ns. */
export interface Image {
  readonly startNs: number;
  /** the file is whole and synced */
  readonly endNs: number;
  /** bytes of memory in it */
  readonly bytes: number;
  /** from when on they were copied */
  readonly copyStartNs: number;
  /** of all processes of the tool; of a forking dumper, the pages that the target had to copy */
  readonly peakBytes?: number;
  /** page cache at the end, against the start */
  readonly cacheBytes: number;
  /** how long the tool itself says that the target stood still */
  readonly pauseMs?: number;
  readonly summary?: DumpSummary;
  /** attempts before this one that were given up by the guard (--max-stall), since the machine took the CPU or disk */
  readonly givenUp?: number;
}

export interface ToolOptions {
  /** where images are written */
  readonly folder: string;
  /** watch the memory of the tool; the watch itself takes a little CPU from a target that has none to spare */
  readonly watchMemory?: boolean;
}

const root = join(import.meta.dirname, '..');
const NOTHING_MS = 1000;
const WATCH_EVERY_MS = 50;
const ATTEMPTS_MAX = 5;

export type Tool = (target: Writer, options: ToolOptions) => Promise<Image>;

export const tools: Readonly<Record<ToolName, Tool>> = {
  /** nobody touches the target: what it sees by itself */
  async nothing() {
    const startNs = monotonicNs();
    await sleep(NOTHING_MS);
    return { startNs, endNs: monotonicNs(), copyStartNs: startNs, bytes: 0, cacheBytes: 0 };
  },

  async control(target, { folder }) {
    const gcc = requireProgram('gcc', 'gcc');
    const program = compileCached(gcc.path, join(root, 'bench/control.c'), {});
    const file = join(folder, 'control.image');
    const ranges = target.ranges.map(({ address, size }) => `${address} ${size}\n`).join('');
    return withFile(file, async () => {
      const args = ['--pid', String(target.pid), '--file', file];
      const { output, ...times } = await run(folder, program, args, { input: ranges });
      const said = JSON.parse(output) as { startNs: number; endNs: number; bytes: number };
      return { ...times, copyStartNs: said.startNs, endNs: said.endNs, bytes: said.bytes };
    });
  },

  async livecore(target, options) {
    for (let givenUp = 0; ; givenUp++) {
      try {
        return { ...(await dumpLive(target.pid, options)), givenUp };
      } catch (error) {
        if (givenUp === ATTEMPTS_MAX || !String(error).includes('"code":"STALLED"')) throw error;
        await sleep(NOTHING_MS);
      }
    }
  },

  async gcore(target, { folder }) {
    const gcore = requireProgram('gcore', 'gdb');
    const prefix = join(folder, 'gcore');
    const file = `${prefix}.${target.pid}`;
    return withFile(file, async () => {
      const times = await run(folder, gcore.path, ['-o', prefix, String(target.pid)], { watch: true });
      syncFile(file);
      const bytes = bytesOf(target);
      return { ...times, copyStartNs: times.startNs, endNs: monotonicNs(), bytes };
    });
  },

  /** by cooperation: the target forks itself, the child writes what it inherited (test/targets/forkdump.h) */
  async forkdump(target, { folder }) {
    const file = join(folder, 'fork.image');
    return withFile(file, async () => {
      const faults = minorFaults(target.pid);
      const { startNs, totalNs, forkNs, bytes } = await target.forkDump(file);
      const peakBytes = (minorFaults(target.pid) - faults) * 4096;
      return {
        startNs,
        endNs: startNs + totalNs,
        copyStartNs: startNs + forkNs,
        bytes,
        peakBytes,
        pauseMs: forkNs / 1e6,
      };
    });
  },
};

/** One `livecore dump`, as a user starts it. */
export async function dumpLive(pid: number, { folder, watchMemory = false }: ToolOptions): Promise<Image> {
  const file = join(folder, 'livecore.core');
  return withFile(file, async () => {
    const args = ['dump', String(pid), '-o', file, '--json'];
    const { output, peakBytes, ...times } = await run(folder, join(root, 'bin/livecore'), args, {
      watch: watchMemory,
      // 3: complete, with something that others may have written meanwhile
      accept: [0, 3],
    });
    const summary = JSON.parse(output.trim().split('\n').at(-1)!) as DumpSummary;
    return {
      ...times,
      copyStartNs: summary.courseNs.hold,
      bytes: summary.memoryBytes,
      pauseMs: summary.pauseMs,
      peakBytes: peakBytes ?? summary.peakRssBytes,
      summary,
    };
  });
}

/** The bytes of a writer's plan, which are nearly all of its memory. */
function bytesOf(target: Writer): number {
  return target.ranges.reduce((total, { size }) => total + Number(size), 0);
}

/** Adds what is told while the file is there, and removes it. */
async function withFile(file: string, act: () => Promise<Omit<Image, 'cacheBytes'>>): Promise<Image> {
  const cachedBefore = cachedBytes();
  try {
    const image = await act();
    return { ...image, cacheBytes: cachedBytes() - cachedBefore };
  } finally {
    rmSync(file, { force: true });
  }
}

function syncFile(file: string): void {
  const fd = openSync(file, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

interface RunOptions {
  readonly input?: string;
  readonly watch?: boolean;
  readonly accept?: readonly number[];
}

const running = new Set<ChildProcess>();

/** Ends what is still running, by pid; for an end before the time. */
export function stopTools(): void {
  for (const child of running) child.kill('SIGTERM');
}

interface Ran {
  readonly startNs: number;
  readonly endNs: number;
  readonly output: string;
  readonly peakBytes?: number;
}

/** Runs a program; its output goes to a file, so that nothing of ours wakes while it runs. */
async function run(folder: string, program: string, args: string[], options: RunOptions): Promise<Ran> {
  const outputFile = join(folder, 'output');
  const errorFile = join(folder, 'errors');
  const output = openSync(outputFile, 'w');
  const errors = openSync(errorFile, 'w');
  const startNs = monotonicNs();
  const child = spawn(program, args, {
    stdio: [options.input === undefined ? 'ignore' : 'pipe', output, errors],
  });
  running.add(child);
  const peaks = new Map<number, number>();
  const timer = options.watch && setInterval(() => peaksOfTree(child.pid!, peaks), WATCH_EVERY_MS);
  try {
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input);
    const [status, signal] = (await once(child, 'exit')) as [number | null, string | null];
    const endNs = monotonicNs();
    if (status === null || !(options.accept ?? [0]).includes(status)) {
      const said = `${readFileSync(errorFile, 'utf8')}${readFileSync(outputFile, 'utf8')}`;
      throw new Error(`${program} ${args.join(' ')}: ended with ${status ?? signal}: ${said.slice(-2000)}`);
    }
    const peakBytes = [...peaks.values()].reduce((total, peak) => total + peak, 0);
    return { startNs, endNs, output: readFileSync(outputFile, 'utf8'), ...(options.watch && { peakBytes }) };
  } finally {
    if (timer) clearInterval(timer);
    running.delete(child);
    closeSync(output);
    closeSync(errors);
  }
}
