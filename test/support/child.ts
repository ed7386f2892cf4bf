/** A target process: started, awaited until it says READY, spoken to by lines, ended by its pid alone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** how long READY may take, 60,000 by default: a large target touches its memory first */
  readonly readyTimeoutMs?: number;
  /** how long one answer may take, 60,000 by default */
  readonly answerTimeoutMs?: number;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Anything that speaks target.h's protocol: "READY {json}", then a line of JSON for each command line. */
export interface Child<Ready = Record<string, unknown>> {
  readonly pid: number;
  /** what the READY line said */
  readonly ready: Ready;
  /** everything the process wrote to stderr so far */
  readonly stderr: string;
  /** settles when the process has ended */
  readonly exited: Promise<Exit>;
  /** is the process still there? */
  readonly running: boolean;
  /** sends one command and returns its answer; rejects when the process ends or stays silent */
  ask<Answer = Record<string, unknown>>(command: string): Promise<Answer>;
  /** sends a command that is not answered */
  tell(command: string): void;
  /** sends "quit", returns the final report, and asserts that the process ended with status 0 */
  quit<Answer = Record<string, unknown>>(): Promise<Answer>;
  kill(signal: NodeJS.Signals): void;
  /** kills the process, if it is there; does not wait */
  [Symbol.dispose](): void;
  /** kills the process and waits until it is gone */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts a program that speaks the protocol of `test/targets/target.h` and waits until it is ready. */
export async function startChild<Ready = Record<string, unknown>>(
  program: string,
  args: readonly (string | number)[] = [],
  options: ChildOptions = {},
): Promise<Child<Ready>> {
  using resources = new DisposableStack();
  const reached = options.uid === undefined ? program : resources.use(new OpenCopy(program)).path;
  const child = spawn(reached, args.map(String), {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  const speaker = new Speaker(child, program, options.answerTimeoutMs ?? 60_000);
  try {
    const line = await speaker.nextLine(options.readyTimeoutMs ?? 60_000, 'READY');
    if (!line.startsWith('READY')) throw new Error(`${program}: expected READY, it said: ${line}`);
    speaker.ready = line.length > 6 ? JSON.parse(line.slice(6)) : {};
    const owned = resources.move();
    void speaker.exited.then(() => owned.dispose());
    return speaker as Child<unknown> as Child<Ready>;
  } catch (error) {
    await speaker[Symbol.asyncDispose]();
    throw error;
  }
}

/** A program where every user may run it: a checkout may lie where only its owner comes. Stays as long as it runs. */
class OpenCopy implements Disposable {
  readonly path: string;
  readonly #folder: string;

  constructor(program: string) {
    this.#folder = mkdtempSync(join(tmpdir(), 'livecore-program-'));
    chmodSync(this.#folder, 0o755);
    this.path = join(this.#folder, basename(program));
    copyFileSync(program, this.path);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

class Speaker implements Child<unknown> {
  ready: unknown = {};
  stderr = '';
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #answerTimeoutMs: number;
  readonly #lines: string[] = [];
  #waiting: ((line: string | undefined) => void) | undefined;
  #ended = false;

  constructor(child: ChildProcess, name: string, answerTimeoutMs: number) {
    this.#child = child;
    this.#name = name;
    this.#answerTimeoutMs = answerTimeoutMs;
    this.exited = new Promise((resolve) => {
      child.once('error', (error) => {
        this.stderr += error.message;
        this.#end();
        resolve({ code: null, signal: null });
      });
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    child.stdin!.on('error', () => {}); // EPIPE: the end of the process is reported by its exit
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    const lines = createInterface({ input: child.stdout! });
    lines.on('line', (line) => this.#deliver(line));
    lines.on('close', () => this.#end());
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async ask<Answer>(command: string): Promise<Answer> {
    this.#child.stdin!.write(`${command}\n`);
    return JSON.parse(await this.nextLine(this.#answerTimeoutMs, `an answer to "${command}"`)) as Answer;
  }

  tell(command: string): void {
    this.#child.stdin!.write(`${command}\n`);
  }

  async quit<Answer>(): Promise<Answer> {
    const report = await this.ask<Answer>('quit');
    const exit = await this.exited;
    if (exit.code !== 0)
      throw new Error(`${this.#name}: ended with ${exit.code ?? exit.signal}: ${this.stderr}`);
    return report;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  [Symbol.dispose](): void {
    if (this.running) this.#child.kill('SIGKILL'); // by ChildProcess, which never signals a pid it has reaped
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) stream?.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this[Symbol.dispose]();
    await this.exited;
  }

  /** The next line of stdout. One caller at a time: the protocol is question and answer. */
  async nextLine(timeoutMs: number, what: string): Promise<string> {
    const line = this.#lines.shift() ?? (this.#ended ? undefined : await this.#arrival(timeoutMs, what));
    if (line !== undefined) return line;
    if (this.running)
      await Promise.race([once(this.#child, 'exit'), new Promise((done) => setTimeout(done, 1000))]);
    const { exitCode, signalCode } = this.#child;
    throw new Error(`${this.#name}: ended (${exitCode ?? signalCode}) instead of ${what}: ${this.stderr}`);
  }

  #arrival(timeoutMs: number, what: string): Promise<string | undefined> {
    if (this.#waiting !== undefined) throw new Error(`${this.#name}: two questions at once`);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting = undefined;
        reject(new Error(`${this.#name}: no ${what} within ${timeoutMs} ms; stderr: ${this.stderr}`));
      }, timeoutMs);
      this.#waiting = (line) => {
        clearTimeout(timer);
        this.#waiting = undefined;
        resolve(line);
      };
    });
  }

  #deliver(line: string): void {
    if (this.#waiting !== undefined) this.#waiting(line);
    else this.#lines.push(line);
  }

  #end(): void {
    this.#ended = true;
    this.#waiting?.(undefined);
  }
}
