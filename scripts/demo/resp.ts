/** A connection that speaks RESP (Redis' protocol): commands out, replies in, in order; pipelined if need be. */
import { connect, type Socket } from 'node:net';

/** What a command got back: a number, a string, or nothing; errors of the server reject instead. */
export type Reply = number | Buffer | null;

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

const LINE_END = '\r\n';

/** One command in the protocol. */
export function encodeCommand(words: readonly (string | Buffer)[]): Buffer {
  const parts = words.flatMap((word) => {
    const bytes = Buffer.from(word);
    return [Buffer.from(`$${bytes.length}${LINE_END}`), bytes, Buffer.from(LINE_END)];
  });
  return Buffer.concat([Buffer.from(`*${words.length}${LINE_END}`), ...parts]);
}

/** A connection over a Unix socket. */
export class RespConnection {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  #received: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  static open(socketPath: string): Promise<RespConnection> {
    const { promise, resolve, reject } = Promise.withResolvers<RespConnection>();
    const socket = connect(socketPath, () => resolve(new RespConnection(socket)));
    socket.once('error', reject);
    return promise;
  }

  /** Sends one command; resolves when its reply is there. */
  send(...words: readonly (string | Buffer)[]): Promise<Reply> {
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    this.#waiting.push({ resolve, reject });
    this.#socket.write(encodeCommand(words));
    return promise;
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    for (;;) {
      const parsed = parseReply(this.#received);
      if (parsed === undefined) return;
      this.#received = this.#received.subarray(parsed.length);
      const waiting = this.#waiting.shift();
      if (parsed.reply instanceof Error) waiting?.reject(parsed.reply);
      else waiting?.resolve(parsed.reply);
    }
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

/** The first reply in a buffer and its length; undefined while it is not whole. */
export function parseReply(buffer: Buffer): { reply: Reply | Error; length: number } | undefined {
  const lineEnd = buffer.indexOf(LINE_END);
  if (lineEnd < 0) return undefined;
  const line = buffer.toString('latin1', 1, lineEnd);
  const length = lineEnd + LINE_END.length;
  switch (buffer.toString('latin1', 0, 1)) {
    case '+':
      return { reply: Buffer.from(line), length };
    case '-':
      return { reply: new Error(line), length };
    case ':':
      return { reply: Number(line), length };
    case '$': {
      const bytes = Number(line);
      if (bytes < 0) return { reply: null, length };
      if (buffer.length < length + bytes + LINE_END.length) return undefined;
      return {
        reply: Buffer.from(buffer.subarray(length, length + bytes)),
        length: length + bytes + LINE_END.length,
      };
    }
    default:
      return { reply: new Error(`not a reply: ${line}`), length };
  }
}
