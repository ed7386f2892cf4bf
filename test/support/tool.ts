/** The command line as a user has it, with all that it says; at will with a place where it waits (test/faults/inject.ts). */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './unharmed.ts';

const root = join(import.meta.dirname, '../..');
const injector = join(root, 'test/faults/inject.ts');
const main = join(root, 'src/cli/main.ts');
const BOUND_MS = 120_000;

export interface ToolOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** where it stands still, as a POINT of LIVECORE_FAULT with its caller and count; in need of `log` */
  readonly waitAt?: string;
  /** a file name for what the injector notes */
  readonly log?: string;
  /** it is killed when it takes longer */
  readonly boundMs?: number;
}

export interface Said {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

/** A run of `livecore`. */
export class Tool {
  readonly process: ChildProcess;
  readonly ended: Promise<Said>;
  readonly #options: ToolOptions;

  constructor(args: readonly (string | number)[], options: ToolOptions = {}) {
    this.#options = options;
    const { waitAt, log, cwd, env, boundMs = BOUND_MS } = options;
    const fault = waitAt?.replace(/^([^:]*)(?::(.*))?$/, (_, point, count = 1) => `${point}:wait:${count}`);
    const injection = fault === undefined ? {} : { LIVECORE_FAULT: fault, LIVECORE_FAULT_LOG: log };
    const flags = fault === undefined ? [] : [`--import=${injector}`];
    const begin = performance.now();
    this.process = spawn(process.execPath, [...flags, main, ...args.map(String)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(cwd !== undefined && { cwd }),
      env: { ...process.env, ...env, ...injection },
    });
    // As bytes, one character each: what is no UTF-8 would hide in replacement characters.
    const said = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      this.process[name]!.setEncoding('latin1').on('data', (text: string) => {
        said[name] += text;
      });
    const timer = setTimeout(() => this.process.kill('SIGKILL'), boundMs);
    this.ended = once(this.process, 'close').then(([status, signal]) => {
      clearTimeout(timer);
      return { status, signal, ...said, ms: performance.now() - begin };
    });
  }

  /** Until it stands where it was told to. */
  async waits(): Promise<void> {
    const { log } = this.#options;
    await until(() => existsSync(log!) && readFileSync(log!, 'utf8').includes(':wait:'), 'the tool waits');
  }

  /** Lets it go on from there. */
  go(): void {
    writeFileSync(`${this.#options.log}.go`, '');
  }
}

/** Runs the command line to its end. */
export function runTool(args: readonly (string | number)[], options?: ToolOptions): Promise<Said> {
  return new Tool(args, options).ended;
}

/** The last JSON line of stdout. */
export function lastRecord(said: Said): Record<string, unknown> & { type: string } {
  return JSON.parse(said.stdout.trimEnd().split('\n').at(-1)!);
}
