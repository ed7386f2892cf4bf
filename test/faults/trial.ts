/** One dump with a fault in it, and what became of the target, the file and the message. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkWriterImage } from '../support/check-writer.ts';
import { startTarget, type Target } from '../support/targets.ts';
import { assertLetGo, isRunning, loopsOf, OWN_CHANGES, wholeCoreOrNone } from '../support/unharmed.ts';
import { differences, takeSnapshot } from '../support/watch.ts';
import { startWriter, type Writer } from '../support/writer.ts';

const command = join(import.meta.dirname, '../../src/cli/main.ts');
const injector = join(import.meta.dirname, 'inject.ts');
/** Far above what the tool allows itself: the guards of a hung loop take `MAX_STALL`, those of its end 3 s. */
const BOUND_MS = 30_000;
/** by then a guard has ended a tool that somebody waits for; one that nobody waits for is ended by its user */
const GUARDED_MS = 6000;
const INTERRUPTED = 130;
const MAX_STALL = '2s';

/** Under which circumstances a dump is taken: which ways the tool takes. */
export interface Scene {
  readonly name: string;
  /** who is dumped: a writer whose core is compared word for word, or a daemon that became nobody */
  readonly target: 'writer' | 'nobody';
  /** faults that force the way: see LIVECORE_FAULT */
  readonly forced?: string;
  /** to stdout */
  readonly stream?: true;
}

export const SCENES: readonly Scene[] = [
  { name: 'a file', target: 'writer' },
  { name: 'a stream', target: 'writer', stream: true },
  { name: 'no io_uring', target: 'writer', forced: 'uring.constructor.io_uring_setup:ENOSYS:1+' },
  { name: 'no O_DIRECT', target: 'writer', forced: 'file.openFile.openat@nameless:EINVAL:1' },
  { name: "another user's process", target: 'nobody' },
];

/** What became of a trial. */
export interface Outcome {
  /** the exit status, or the signal that ended the command */
  readonly ended: number | NodeJS.Signals;
  /** whether the fault was put in */
  readonly reached: boolean;
  /** code of the error that was told */
  readonly code: string | undefined;
  readonly message: string | undefined;
  readonly ms: number;
  /** what must not be, in words; empty is what is wanted */
  readonly complaints: readonly string[];
}

/** Targets that live through trial after trial. */
export class Victims implements AsyncDisposable {
  readonly #writer: Writer;
  readonly #nobody: Target;
  readonly #folder = mkdtempSync(join(tmpdir(), 'livecore-faults-'));

  private constructor(writer: Writer, nobody: Target) {
    this.#writer = writer;
    this.#nobody = nobody;
  }

  static async start(): Promise<Victims> {
    const writer = await startWriter({
      mib: 24,
      threads: 2,
      rate: 20_000,
      pace: 'sleep',
      zero: 10,
      empty: 10,
    });
    return new Victims(writer, await startTarget('setuid-drop'));
  }

  /**
   * Takes a dump with a fault in it.
   *
   * @param fault see LIVECORE_FAULT
   * @param counts see LIVECORE_FAULT_COUNT
   */
  async try(scene: Scene, fault?: string, counts?: string): Promise<Outcome> {
    const pid = scene.target === 'writer' ? this.#writer.pid : this.#nobody.pid;
    const file = join(this.#folder, 'core');
    const marks = join(this.#folder, 'marks');
    const before = takeSnapshot(pid);
    const begin = performance.now();
    const { ended, output, complaints } = await this.#dump(scene, pid, file, {
      LIVECORE_FAULT: [fault, scene.forced].filter((one) => one !== undefined).join(',') || undefined,
      LIVECORE_FAULT_LOG: marks,
      LIVECORE_FAULT_COUNT: counts,
    });
    const ms = performance.now() - begin;
    const reached =
      fault !== undefined && existsSync(marks) && readFileSync(marks, 'utf8').includes(` ${fault} `);
    rmSync(marks, { force: true });
    const last = lastMessage(output);
    const complain = async (check: () => unknown): Promise<void> => {
      try {
        await check();
      } catch (error) {
        complaints.push(error instanceof Error ? error.message : String(error));
      }
    };
    await complain(() => assertLetGo(pid));
    const lines = differences(before, takeSnapshot(pid), { lines: OWN_CHANGES });
    complaints.push(...lines.map((line) => `target: ${line}`));
    await complain(() => this.#judgeEnd(scene, file, ended, last));
    for (const name of readdirSync(this.#folder)) {
      if (name !== 'core') complaints.push(`left in the folder: ${name}`);
      rmSync(join(this.#folder, name));
    }
    return { ended, reached, code: last?.code, message: last?.message, ms, complaints };
  }

  /** Waits until the writer goes on; then its memory, and what the other computed, must be right. */
  async end(): Promise<string[]> {
    await this.#writer.advance(2000);
    const { wrong } = await this.#writer.check();
    return [...(await this.#nobody.end()), ...(wrong > 0 ? [`${wrong} words of the writer are wrong`] : [])];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer[Symbol.asyncDispose]();
    await this.#nobody[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #dump(
    scene: Scene,
    pid: number,
    file: string,
    env: NodeJS.ProcessEnv,
  ): Promise<{ ended: number | NodeJS.Signals; output: string; complaints: string[] }> {
    const options = [
      '--max-stall',
      MAX_STALL,
      '--force',
      ...(scene.stream ? ['--quiet', '-o', '-'] : ['--json', '-o', file]),
    ];
    const child = spawn(
      process.execPath,
      [`--import=${injector}`, command, 'dump', String(pid), ...options],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, ...env },
      },
    );
    const closed = once(child, 'close');
    if (scene.stream) child.stdout.resume();
    const output = text(scene.stream ? child.stderr : child.stdout);
    if (!scene.stream) child.stderr.resume();
    const ending = (boundMs: number): Promise<unknown> =>
      Promise.race([closed, sleep(boundMs, undefined, { ref: false })]);
    const complaints: string[] = [];
    await ending(GUARDED_MS);
    const loops = loopsOf(pid);
    if (hasNotEnded(child)) {
      await assertLetGo(pid).catch((error: Error) => complaints.push(`it hangs, and ${error.message}`));
      child.kill('SIGINT');
      await ending(BOUND_MS);
      if (hasNotEnded(child)) complaints.push(`not ended ${BOUND_MS} ms after Ctrl-C`);
      child.kill('SIGKILL');
    }
    await closed;
    // without its parent the loop ends in its own way, within its own bound
    for (const end = Date.now() + BOUND_MS; loops.some(isRunning) && Date.now() < end; ) await sleep(10);
    for (const loop of loops.filter(isRunning)) {
      complaints.push(`the loop ${loop} did not end after its parent`);
      process.kill(loop, 'SIGKILL');
    }
    return { ended: child.exitCode ?? child.signalCode!, output: await output, complaints };
  }

  async #judgeEnd(
    scene: Scene,
    file: string,
    ended: number | NodeJS.Signals,
    last: Message | undefined,
  ): Promise<void> {
    const written = await wholeCoreOrNone(file);
    if (ended === 0 || ended === 3) {
      if (!scene.stream && !written) throw new Error(`exit status ${ended}, and no file`);
      if (!written || scene.target !== 'writer') return;
      const { wrong, absent, brokenCounters, examples } = checkWriterImage(this.#writer.plan, file);
      if (wrong + brokenCounters > 0) throw new Error(`${wrong} words wrong: ${JSON.stringify(examples[0])}`);
      if (ended === 0 && absent > 0) throw new Error(`${absent} words absent, and exit status 0`);
    } else if (ended === 1) {
      if (last === undefined) throw new Error('exit status 1, and no message');
      if (!scene.stream && (last.code === 'INVARIANT' || last.code === undefined))
        throw new Error(`told as ${last.code}: ${last.message}`);
      // what fails, or is killed, once the file has its name can't take that back
      if (written && last.code !== 'OUTPUT' && last.code !== 'STALLED')
        throw new Error(`${last.code}, and yet there is a file`);
      // Ctrl-C may come before there is anybody who listens, on a machine that is as busy as this.
    } else if (ended !== 'SIGKILL' && ended !== 'SIGINT' && ended !== INTERRUPTED) {
      throw new Error(`ended by ${ended}`);
    }
  }
}

function hasNotEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null;
}

interface Message {
  readonly code?: string;
  readonly message?: string;
}

/** What was told last: an error or a summary in JSON, or the last line for people. */
function lastMessage(output: string): Message | undefined {
  const line = output.trimEnd().split('\n').at(-1) ?? '';
  if (line === '') return undefined;
  try {
    return JSON.parse(line) as Message;
  } catch {
    return { message: line };
  }
}
