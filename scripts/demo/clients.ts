/** The clients, seen from the demonstration: a process of their own (load.ts) that is asked over IPC. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Mark, WriteTimes } from './hand.ts';
import type { Answer, Latencies, Question } from './load.ts';

export class Clients implements Disposable {
  readonly #child: ChildProcess;
  readonly mark: Mark;

  private constructor(child: ChildProcess, mark: Mark) {
    this.#child = child;
    this.mark = mark;
  }

  /** Fills the server and starts the load. */
  static async start(options: Omit<Question & { ask: 'start' }, 'ask'>): Promise<Clients> {
    const child = fork(join(import.meta.dirname, 'load.ts'));
    process.once('exit', () => child.kill('SIGKILL'));
    const { mark } = await ask(child, { ask: 'start', ...options });
    return new Clients(child, mark!);
  }

  /** What the clients saw since the last call. */
  async latencies(): Promise<Latencies> {
    return (await ask(this.#child, { ask: 'latencies' })).latencies!;
  }

  /** What the clients saw while `work` ran. */
  async during<T>(work: () => Promise<T>): Promise<[Latencies, T]> {
    await this.latencies();
    const result = await work();
    return [await this.latencies(), result];
  }

  async timesOf(write: number): Promise<WriteTimes | undefined> {
    return (await ask(this.#child, { ask: 'times', write })).times;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

async function ask(child: ChildProcess, question: Question): Promise<Answer> {
  const over = new AbortController();
  const { signal } = over;
  try {
    child.send(question);
    const answer: Answer = await Promise.race([
      once(child, 'message', { signal }).then(([said]) => said as Answer),
      once(child, 'exit', { signal }).then(() => ({ error: 'the clients have ended' })),
    ]);
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  } finally {
    over.abort();
  }
}
