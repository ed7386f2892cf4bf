/**
 * A dump by the command in which something stands still, and what its target felt of that: the target measures by itself how
 * long each of its threads, wanting to run, did not.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildTarget } from '../support/build.ts';
import { checkWriterImage } from '../support/check-writer.ts';
import { noLiveDump } from '../support/live-dump.ts';
import type { PlainFsOptions } from '../support/plain-fs.ts';
import { assertLetGo, isRunning, loopsOf, OWN_CHANGES, until, wholeCoreOrNone } from '../support/unharmed.ts';
import { differences, takeSnapshot } from '../support/watch.ts';
import { monotonicNs, startWriter, type Writer, type WriterOptions } from '../support/writer.ts';

/**
 * What a writer may wait: long against all that a busy machine does to it. What stands still in these tests does so until
 * the target has been looked at, so that without a guard a writer waits for ever.
 */
export const MAX_STALL_MS = 3000;
export const GUARD: readonly string[] = ['--max-stall', `${MAX_STALL_MS}ms`, '--force'];
const LOGGED_US = 20_000;
/** How long a machine that has much else to do may take for what is never late by our doing. */
const PATIENCE_MS = 60_000;

export const launcher: string = join(import.meta.dirname, '../../bin/livecore');
const command = join(import.meta.dirname, '../../src/cli/main.ts');
const injector = join(import.meta.dirname, '../faults/inject.ts');

/** Why none of this can be tested here, or false. */
export const noGuardTest: string | false = noLiveDump || buildTarget('writer').skip;

interface Told {
  readonly type: string;
  readonly phase?: string;
  readonly code?: string;
  readonly message?: string;
  readonly text?: string;
}

export interface ToolOptions {
  /** after `dump PID --max-stall ... --force --json` */
  readonly args?: readonly string[];
  /** whether it speaks JSON, as it does if nothing is said */
  readonly json?: boolean;
  /** see LIVECORE_FAULT of test/faults/inject.ts */
  readonly fault?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** folder of a control group that it is started in */
  readonly group?: string;
  readonly stdio?: SpawnOptions['stdio'];
  /** where the JSON comes out, if it is read */
  readonly told?: 'stdout' | 'stderr' | 'nowhere';
}

/** The command at work. Disposing of it ends whatever of it still runs or stands. */
export class Tool implements AsyncDisposable {
  readonly pid: number;
  readonly process: ChildProcess;
  readonly #target: number;
  #text = '';

  constructor(target: number, options: ToolOptions = {}) {
    const { args = [], json = true, fault, env, told = 'stdout' } = options;
    const { stdio = ['ignore', 'pipe', 'pipe'], group } = options;
    this.#target = target;
    const joined =
      group === undefined ? [] : ['sh', '-c', `echo $$ > ${group}/cgroup.procs; exec "$@"`, 'sh'];
    const node = [process.execPath, ...(fault === undefined ? [] : [`--import=${injector}`])];
    const dump = [command, 'dump', String(target), ...GUARD, ...(json ? ['--json'] : []), ...args];
    const [program, ...rest] = [...joined, ...node, ...dump];
    this.process = spawn(program!, rest, {
      stdio,
      env: { ...process.env, ...(fault !== undefined && { LIVECORE_FAULT: fault }), ...env },
    });
    this.pid = this.process.pid!;
    for (const name of ['stdout', 'stderr'] as const) if (told === name) this.#listen(this.process[name]!);
  }

  /** what it has said so far */
  get told(): Told[] {
    const lines = this.#text.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Told);
  }

  /** The loop process, once there is one. */
  async loop(): Promise<number> {
    await until(() => loopsOf(this.#target).length > 0 || this.hasEnded, 'there is a loop', PATIENCE_MS);
    return loopsOf(this.#target)[0]!;
  }

  get hasEnded(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  /** Waits for the copy: T0 is past, and memory is protected. */
  async copies(): Promise<void> {
    const isThere = (): boolean =>
      this.told.some(({ type, phase }) => type === 'progress' && phase === 'copy');
    await until(() => isThere() || this.hasEnded, 'it copies', PATIENCE_MS);
    assert.ok(isThere() && !this.hasEnded, `it ended too early: ${this.#text}`);
  }

  /** Waits for the end; its exit status, and the error that it told. */
  async ended(): Promise<{ status: number | NodeJS.Signals; code: string | undefined }> {
    await until(() => this.hasEnded, 'the command ends', PATIENCE_MS);
    // What it wrote last comes after that.
    await sleep(50);
    const status = this.process.exitCode ?? this.process.signalCode!;
    return { status, code: this.told.findLast(({ type }) => type === 'error')?.code };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const loops = loopsOf(this.#target);
    this.process.kill('SIGKILL');
    for (const pid of loops) if (isRunning(pid)) process.kill(pid, 'SIGKILL');
    for (const stream of [this.process.stdout, this.process.stderr]) stream?.destroy();
    await until(() => this.hasEnded, 'it ends when it is killed', PATIENCE_MS);
  }

  #listen(stream: Readable): void {
    stream.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text;
    });
  }
}

/** A process that measures itself. */
export interface Subject {
  readonly pid: number;
  /** what grows as long as it goes on */
  beats(): Promise<number>;
  /** the longest that it did not go on, in ms, since a moment or longer ago */
  longestStallMs(sinceNs: number): Promise<number>;
}

/** The subject that the writing target is. */
export function subjectOf(writer: Writer): Subject {
  return {
    pid: writer.pid,
    beats: async () => (await writer.report()).writes,
    async longestStallMs(sinceNs) {
      const gaps = await writer.gaps(sinceNs, monotonicNs());
      return Math.max(0, ...gaps.map(({ lengthNs }) => lengthNs)) / 1e6;
    },
  };
}

/** Watches a subject from before a dump on. A process that nobody dumps tells what the machine itself does to such. */
export class Watched implements AsyncDisposable {
  readonly #subject: Subject;
  readonly #control: Writer;
  readonly #before: ReturnType<typeof takeSnapshot>;
  #sinceNs = monotonicNs();

  private constructor(subject: Subject, control: Writer) {
    this.#subject = subject;
    this.#control = control;
    this.#before = takeSnapshot(subject.pid);
  }

  static async start(subject: Subject): Promise<Watched> {
    return new Watched(
      subject,
      await startWriter({ mib: 1, threads: 1, rate: 1000, pace: 'sleep', gapUs: LOGGED_US }),
    );
  }

  /** The subject goes on, is as it was, and has never waited longer than it may, since `unharmed` was called last. */
  async unharmed(context: TestContext, ownChanges: readonly RegExp[] = []): Promise<void> {
    const { pid } = this.#subject;
    await this.#goesOn();
    await assertLetGo(pid);
    const longest = await this.#subject.longestStallMs(this.#sinceNs);
    const machine = await subjectOf(this.#control).longestStallMs(this.#sinceNs);
    this.#sinceNs = monotonicNs();
    context.diagnostic(
      `longest stall ${longest.toFixed(0)} ms; of a process beside it ${machine.toFixed(0)} ms`,
    );
    assert.ok(longest <= MAX_STALL_MS + machine, `it waited for ${longest} ms`);
    assert.deepEqual(
      differences(this.#before, takeSnapshot(pid), { lines: [...OWN_CHANGES, ...ownChanges] }),
      [],
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#control[Symbol.asyncDispose]();
  }

  /** What waits for ever does not answer, so it is asked beside. */
  async #goesOn(): Promise<void> {
    let first: number | undefined;
    let goesOn = false;
    const ask = async (): Promise<void> => {
      while (!goesOn) {
        const beats = await this.#subject.beats();
        first ??= beats;
        goesOn = beats > first + 500;
        await sleep(20);
      }
    };
    const asking = ask().catch(() => {});
    await until(() => goesOn, 'the target goes on');
    await asking;
  }
}

/** A writer to be dumped while something stands still. */
export class Guarded implements AsyncDisposable {
  readonly writer: Writer;
  readonly folder: string;
  /** where the core goes */
  readonly file: string;
  readonly #watched: Watched;

  private constructor(writer: Writer, watched: Watched) {
    this.writer = writer;
    this.#watched = watched;
    this.folder = mkdtempSync(join(tmpdir(), 'livecore-guard-'));
    this.file = join(this.folder, 'core');
  }

  /** Two threads that write all over 256 MiB, so that each waits at once when nobody releases. */
  static async start(options: WriterOptions = {}): Promise<Guarded> {
    const usual: WriterOptions = { mib: 256, threads: 2, rate: 20_000, pace: 'sleep', gapUs: LOGGED_US };
    const writer = await startWriter({ ...usual, ...options });
    await writer.advance(2000);
    return new Guarded(writer, await Watched.start(subjectOf(writer)));
  }

  get pid(): number {
    return this.writer.pid;
  }

  /** Starts a dump into `file`. */
  dump(options: ToolOptions = {}): Tool {
    return new Tool(this.pid, { ...options, args: ['-o', this.file, ...(options.args ?? [])] });
  }

  /** See Watched; and there is a whole core, or nothing. */
  async unharmed(context: TestContext, core: 'whole' | 'none'): Promise<void> {
    await this.#watched.unharmed(context);
    assert.equal(await wholeCoreOrNone(this.file), core === 'whole');
    assert.deepEqual(readdirSync(this.folder), core === 'whole' ? ['core'] : []);
    if (core === 'none') return;
    const { wrong, absent, brokenCounters } = checkWriterImage(this.writer.plan, this.file);
    assert.deepEqual([wrong, absent, brokenCounters], [0, 0, 0]);
    rmSync(this.file);
  }

  /** The memory is what was written to it; the writers stop for good. */
  async end(): Promise<void> {
    assert.equal((await this.writer.check()).wrong, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watched[Symbol.asyncDispose]();
    await this.writer[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A file system that is slow, so that the copy lasts some seconds; and a writer whose core can be copied so slowly. */
export const SLOW_FILES: PlainFsOptions = { delayUs: 1000 };
export const SLOWLY: WriterOptions = { mib: 128, rate: 300 };
/** of the tool: a buffer that does not hold much of that */
export const SMALL_BUFFER: readonly string[] = ['--buffer', '8MiB'];

/** Whether a process stands still by a signal. */
export function isStopped(pid: number): boolean {
  return /^State:\tT/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}
