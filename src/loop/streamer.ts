import { LivecoreError } from '../errors.ts';
import { coreHead } from '../formats/elf-core/headers.ts';
import { MappedMemory } from '../linux/memory.ts';
import type { WrittenMessage } from './protocol.ts';
import type { Spool } from './spool.ts';
import { readerStopped } from './spool-room.ts';
import { openSink, type StreamSink } from './stream-sink.ts';

const CHUNK_BYTES = 1024 * 1024;

/** What a streamer needs to know besides. */
export interface StreamerOptions {
  readonly outputFd: number;
  readonly readerTimeoutMs: number;
  /** called with what the reader has taken */
  readonly taken: (offset: number) => void;
}

/**
 * Streams a core in file order out of its spool, as far as that is written, while the loop still writes it. A core that is
 * whole before the first byte is sent goes as it stands; else the head is the one that fits any tail.
 */
export class Streamer implements Disposable {
  readonly #spool: Spool;
  readonly #sink: StreamSink;
  #writing = false;
  readonly #options: StreamerOptions;
  /** one is sent while the other is filled */
  readonly #memory: readonly [MappedMemory, MappedMemory];
  #limit = 0;
  #tailOffset = 0;
  #whole = false;
  #stopped: Error | undefined;
  #wake: () => void = () => {};
  #stop: (reason: Error) => void = () => {};
  readonly #stopping: Promise<never>;

  constructor(spool: Spool, options: StreamerOptions) {
    this.#spool = spool;
    this.#sink = openSink(options.outputFd);
    this.#options = options;
    this.#memory = [new MappedMemory(CHUNK_BYTES), new MappedMemory(CHUNK_BYTES)];
    this.#stopping = new Promise((_resolve, reject) => {
      this.#stop = reject;
    });
    this.#stopping.catch(() => {});
  }

  /** The loop has come so far. */
  advance({ upTo, tailOffset }: WrittenMessage): void {
    this.#tailOffset = tailOffset;
    this.#limit = Math.max(this.#limit, upTo);
    this.#wake();
  }

  /** The loop has ended well: all of the file can be sent. */
  finish(): void {
    this.#limit = this.#spool.sizeBytes;
    this.#whole = true;
    this.#wake();
  }

  /** No more is to be sent; `run` rejects with the reason. */
  stop(reason: Error): void {
    this.#stopped ??= reason;
    this.#stop(reason);
    this.#wake();
  }

  /** Sends all of it. Rejects when the reader is gone, stops reading, or `stop` is called. */
  async run(): Promise<void> {
    try {
      await this.#sendAll();
    } finally {
      await this.#spool.settle();
    }
  }

  async #sendAll(): Promise<void> {
    const spool = this.#spool;
    let sent = 0;
    let filled = await this.#fill(0, 0);
    for (let turn = 0; filled > 0; turn = 1 - turn) {
      const sending = this.#send(this.#memory[turn]!.bytes.subarray(0, filled));
      sending.catch(() => {});
      // What is written already is read meanwhile; what isn't is waited for when this is sent.
      const next = sent + filled < this.#limit ? await this.#fill(1 - turn, sent + filled) : undefined;
      await sending;
      sent += filled;
      this.#options.taken(sent);
      await spool.giveBack(sent);
      filled = next ?? (await this.#fill(1 - turn, sent));
    }
  }

  /** After `run` has settled. */
  [Symbol.dispose](): void {
    this.#sink[Symbol.dispose]();
    // A write that never ended still has its memory.
    if (!this.#writing) for (const memory of this.#memory) memory[Symbol.dispose]();
  }

  /** Waits until there is something at `offset`, and reads it. 0 at the end. */
  async #fill(turn: number, offset: number): Promise<number> {
    while (offset >= this.#limit && !this.#whole && this.#stopped === undefined)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    if (this.#stopped !== undefined) throw this.#stopped;
    const memory = this.#memory[turn]!;
    const length = Math.min(CHUNK_BYTES, this.#limit - offset);
    const head = offset === 0 && !this.#whole ? coreHead({ tailOffset: this.#tailOffset }) : undefined;
    await this.#spool.fill(memory, length, offset);
    if (head !== undefined) memory.bytes.set(head);
    return length;
  }

  async #send(bytes: Uint8Array): Promise<void> {
    const { readerTimeoutMs, outputFd } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(readerStopped(readerTimeoutMs * 1e6)), readerTimeoutMs);
    });
    this.#writing = true;
    const written = this.#sink.write(bytes).finally(() => {
      this.#writing = false;
    });
    written.catch(() => {});
    try {
      await Promise.race([written, tooLong, this.#stopping]);
    } catch (error) {
      throw error instanceof LivecoreError ? error : sinkError(outputFd, error);
    } finally {
      clearTimeout(timer);
    }
  }
}

function sinkError(outputFd: number, cause: unknown): LivecoreError {
  const { code, errno, message } = cause as NodeJS.ErrnoException;
  const fields = { ...(errno !== undefined && { errno: Math.abs(errno) }) };
  const state = code === 'EPIPE' || code === 'ECONNRESET' ? 'its reader has gone' : message;
  const kind = code === 'ENOSPC' ? 'NO_SPACE' : 'OUTPUT';
  return new LivecoreError(kind, `stream the core to descriptor ${outputFd}: ${state}`, fields, cause);
}
