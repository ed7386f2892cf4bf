/**
 * The clients of the demonstration, in a process of their own: requests at a fixed rate, whatever the server does, and
 * the hand of the clock. A request's latency counts from when it was due, not from when it could be sent, so a server
 * that stands still is charged for every request that it kept waiting (no coordinated omission).
 *
 * Speaks with its parent over IPC: see `Question` and `Answer`.
 */
import { randomBytes } from 'node:crypto';
import { ClockHand, type Mark, type WriteTimes } from './hand.ts';
import { RespConnection } from './resp.ts';

/** What the clients saw since the last question. */
export interface Latencies {
  readonly requests: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

export type Question =
  | {
      readonly ask: 'start';
      readonly socketPath: string;
      readonly keys: number;
      readonly valueBytes: number;
      readonly ratePerSecond: number;
    }
  | { readonly ask: 'latencies' }
  | { readonly ask: 'times'; readonly write: number }
  | { readonly ask: 'stop' };

export interface Answer {
  readonly mark?: Mark;
  readonly latencies?: Latencies;
  readonly times?: WriteTimes | undefined;
  readonly error?: string;
}

const CONNECTIONS = 16;
const FILL_AT_ONCE = 64;

class Load {
  readonly #connections: readonly RespConnection[];
  readonly #hand: ClockHand;
  readonly #handConnection: RespConnection;
  readonly #options: Question & { ask: 'start' };
  /** values are cut from this, at random places */
  readonly #noise: Buffer;
  #latenciesMs: number[] = [];
  #failed = 0;
  #stopped = false;

  private constructor(
    connections: RespConnection[],
    handConnection: RespConnection,
    options: Question & { ask: 'start' },
  ) {
    this.#connections = connections;
    this.#handConnection = handConnection;
    this.#hand = new ClockHand(handConnection);
    this.#options = options;
    this.#noise = randomBytes(options.valueBytes * 64);
  }

  static async start(options: Question & { ask: 'start' }): Promise<Load> {
    const open = Array.from({ length: CONNECTIONS }, () => RespConnection.open(options.socketPath));
    const load = new Load(await Promise.all(open), await RespConnection.open(options.socketPath), options);
    await load.#fill();
    await load.#hand.wind();
    void load.#hand.run().catch(() => load.#failed++);
    load.#pace();
    return load;
  }

  get mark(): Mark {
    return this.#hand.mark;
  }

  timesOf(write: number): WriteTimes | undefined {
    return this.#hand.timesOf(write);
  }

  takeLatencies(): Latencies {
    const sorted = this.#latenciesMs.sort((a, b) => a - b);
    const failed = this.#failed;
    this.#latenciesMs = [];
    this.#failed = 0;
    const at = (share: number): number =>
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return {
      requests: sorted.length,
      failed,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      p999Ms: at(0.999),
      maxMs: sorted.at(-1) ?? 0,
    };
  }

  stop(): void {
    this.#stopped = true;
    this.#hand.stop();
    for (const connection of [...this.#connections, this.#handConnection]) connection.close();
  }

  async #fill(): Promise<void> {
    for (let key = 0; key < this.#options.keys; key += FILL_AT_ONCE) {
      const last = Math.min(key + FILL_AT_ONCE, this.#options.keys);
      const batch = Array.from({ length: last - key }, (_, index) => key + index);
      await Promise.all(
        batch.map((each) => this.#connection(each).send('SET', `key:${each}`, this.#value())),
      );
    }
  }

  /** Issues what is due, every millisecond: request i is due at start + i / rate. */
  #pace(): void {
    const startMs = performance.now();
    const intervalMs = 1000 / this.#options.ratePerSecond;
    let issued = 0;
    const tick = (): void => {
      if (this.#stopped) return;
      const nowMs = performance.now();
      for (; startMs + issued * intervalMs <= nowMs; issued++)
        this.#request(issued, startMs + issued * intervalMs);
      setTimeout(tick, 1);
    };
    tick();
  }

  /** Every second one writes. */
  #request(number: number, dueMs: number): void {
    const key = `key:${Math.floor(Math.random() * this.#options.keys)}`;
    const connection = this.#connection(number);
    const reply = number % 2 === 0 ? connection.send('GET', key) : connection.send('SET', key, this.#value());
    reply.then(
      () => this.#latenciesMs.push(performance.now() - dueMs),
      () => this.#stopped || this.#failed++,
    );
  }

  #connection(number: number): RespConnection {
    return this.#connections[number % this.#connections.length]!;
  }

  #value(): Buffer {
    const start = Math.floor(Math.random() * (this.#noise.length - this.#options.valueBytes));
    return this.#noise.subarray(start, start + this.#options.valueBytes);
  }
}

let load: Load | undefined;

async function answer(question: Question): Promise<Answer> {
  switch (question.ask) {
    case 'start':
      load = await Load.start(question);
      return { mark: load.mark };
    case 'latencies':
      return { latencies: load!.takeLatencies() };
    case 'times':
      return { times: load!.timesOf(question.write) };
    case 'stop':
      load?.stop();
      process.disconnect();
      return {};
  }
}

process.on('message', (question: Question) => {
  answer(question).then(
    (said) => process.connected && process.send!(said),
    (error: Error) => process.connected && process.send!({ error: error.message } satisfies Answer),
  );
});
// The parent is gone, however it went.
process.on('disconnect', () => process.exit(0));
