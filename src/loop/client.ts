import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Duplex, Writable } from 'node:stream';
import type { DumpOptions, DumpSummary } from '../dump-types.ts';
import { LivecoreError } from '../errors.ts';
import {
  CANCEL,
  cancelled,
  type LoopMessage,
  type LoopRequest,
  takenMessage,
  type WrittenMessage,
} from './protocol.ts';

/**
 * V8 as the loop needs it: optimising compilers and their threads take the target's CPU and stop the loop for
 * milliseconds, and bring nothing, since the loop is system calls; the baseline compiler alone takes a third off them. A
 * young generation of 32 MiB is collected every half second, in 0.3 ms (addresses are numbers on the heap);
 * the old one is collected once, before the target is touched.
 */
const V8_FLAGS = [
  '--no-opt',
  '--no-maglev',
  '--single-threaded',
  '--min-semi-space-size=32',
  '--always-sparkplug',
  '--expose-gc',
  '--no-flush-bytecode',
  '--no-warnings',
];

const PATIENCE_MS = 3000;
/** How long the loop process may take to hear that it is to end: it may be finishing what others wait for. */
const CANCEL_PATIENCE_MS = 10_000;

/** Who streams a core while the loop writes it. */
export interface StreamFollower {
  /** the spool */
  readonly fd: number;
  written(message: WrittenMessage): void;
  /** Gets the function to call with what the reader has taken. */
  attach(taken: (offset: number) => void): void;
}

/**
 * Starts the loop process for one dump and follows it to its end.
 *
 * @param stream where the request has no output
 */
export async function runLoop(
  request: LoopRequest,
  options: DumpOptions,
  stream?: StreamFollower,
): Promise<DumpSummary> {
  options.signal?.throwIfAborted();
  const entry = new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './main.js', import.meta.url);
  const child = spawn(process.execPath, [...V8_FLAGS, entry.pathname, JSON.stringify(request)], {
    // A session of its own: no terminal may stop it, no Ctrl-C reach it but through us.
    detached: true,
    stdio: ['pipe', 'ignore', 'pipe', 'pipe', stream?.fd ?? 'ignore'],
    env: { ...process.env, UV_THREADPOOL_SIZE: '1', NODE_OPTIONS: '' },
  });
  const socket = child.stdio[3] as Duplex;
  const commands = child.stdin as Writable;
  // It may have ended; then its end is told by what it sends.
  commands.on('error', () => {});
  // One that nobody waits for may hang in a file system; asked to end and silent, it is killed.
  let killing: NodeJS.Timeout | undefined;
  const patience = new Patience();
  const cancel = (): void => {
    commands.write(CANCEL);
    killing = setTimeout(() => {
      child.kill('SIGKILL');
      // Its end may not come, and then no last word has: a file of the target may be on a file system that hangs.
      patience.begin();
    }, CANCEL_PATIENCE_MS);
  };
  options.signal?.addEventListener('abort', cancel, { once: true });
  stream?.attach((offset) => void commands.write(takenMessage(offset)));
  try {
    return await follow(child, socket, options, patience, stream);
  } finally {
    options.signal?.removeEventListener('abort', cancel);
    clearTimeout(killing);
    socket.destroy();
    commands.destroy();
  }
}

async function follow(
  child: ChildProcess,
  socket: Duplex,
  options: DumpOptions,
  patience: Patience,
  stream: StreamFollower | undefined,
): Promise<DumpSummary> {
  let last: (LoopMessage & { type: 'summary' | 'error' }) | undefined;
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-4000);
  });
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(signal ?? `exit status ${code}`));
  });
  const heard = hear(socket, (message) => {
    if (message.type === 'written') return stream?.written(message);
    if (message.type !== 'summary' && message.type !== 'error') return tell(message, options);
    last = message;
    patience.begin();
  });
  await Promise.race([heard, patience.over]);
  patience.begin();
  const how = await Promise.race([ended, patience.over]);
  patience.end();
  if (how === undefined) leave(child, options);
  if (last?.type === 'error') throw asError(last);
  if (last !== undefined) return last;
  if (options.signal?.aborted === true) throw cancelled();
  throw died(how ?? 'SIGKILL', complaint);
}

/** Reads messages until there are no more. Rejects with what the listener throws. */
function hear(socket: Duplex, listen: (message: LoopMessage) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = (): void => resolve();
    socket.on('error', over).once('close', over);
    createInterface({ input: socket })
      .on('error', over)
      .once('close', over)
      .on('line', (line) => {
        try {
          listen(JSON.parse(line) as LoopMessage);
        } catch (error) {
          reject(error);
        }
      });
  });
}

function tell(
  message: Exclude<LoopMessage, { type: 'summary' | 'error' | 'written' }>,
  options: DumpOptions,
): void {
  switch (message.type) {
    case 'plan':
      options.onPlan?.(message);
      break;
    case 'progress':
      options.onProgress?.(message);
      break;
    case 'notice':
      options.onNotice?.(message.text);
      break;
  }
}

/** How long the loop process may take to end after its last word, or after the end of its socket. */
class Patience {
  readonly over: Promise<undefined>;
  #timer: NodeJS.Timeout | undefined;
  #resolve: (value: undefined) => void = () => {};

  constructor() {
    this.over = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  begin(): void {
    this.#timer ??= setTimeout(() => this.#resolve(undefined), PATIENCE_MS);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

/**
 * The loop process can't end before a file system that hangs has answered, not even killed; nothing of it is with the
 * target any more. It is left to itself: it removes its unfinished file when it gets to it.
 */
function leave(child: ChildProcess, options: DumpOptions): void {
  child.unref();
  child.stderr?.destroy();
  options.onNotice?.(
    `process ${child.pid} of livecore still waits for a file system, and ends when that answers`,
  );
}

function asError(message: LoopMessage & { type: 'error' }): LivecoreError {
  const { code, message: text, type: _type, cure, ...fields } = message;
  const suffix = cure === undefined ? '' : `; ${cure}`;
  const plain = cure !== undefined && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text;
  return new LivecoreError(code, plain, { ...fields, ...(cure !== undefined && { cure }) });
}

/** The loop said nothing at its end: it was killed, by its own watchdog or by somebody. The target runs on. */
function died(how: string, complaint: string): LivecoreError {
  if (how === 'SIGKILL') {
    return new LivecoreError(
      'STALLED',
      'dump given up: the loop process was killed, by its watchdog or from outside; the target runs on',
      {
        cure: 'it was stopped or got no CPU for longer than --max-stall allows: give more, or relieve the machine',
      },
    );
  }
  return new LivecoreError(
    'LOOP_DIED',
    `dump given up: the loop process ended (${how}); the target runs on`,
    {},
    complaint || undefined,
  );
}
