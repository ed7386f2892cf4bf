/**
 * How livecore speaks, all of it: data goes to stdout, talk to stderr, and how it ended into the exit status.
 *
 * Nothing else in the command line writes to a stream. Colours appear only on a terminal and without NO_COLOR
 * (https://no-color.org), both of which `styleText` knows. With --json, stdout is JSON lines.
 */
import { styleText } from 'node:util';
import { LivecoreError } from '../errors.ts';
import { escapeJson, escapeText } from './escape.ts';

/** How a command ended. */
export type Ending = 'whole' | 'failed' | 'usage' | 'incomplete' | 'interrupted';

/** The exit status of each ending, and what the help says of it. */
export const exitStatuses: Readonly<Record<Ending, readonly [status: number, meaning: string]>> = {
  whole: [0, 'done; every byte that the core shows is of T0'],
  failed: [1, 'failed; no core was left behind'],
  usage: [2, 'wrong usage'],
  incomplete: [3, 'done, but something is unreliable or lost; the core lists what'],
  interrupted: [130, 'interrupted; the target runs on, no core was left behind'],
};

/** The ending that an error leads to; docs/errors.md has the same table by code. */
export function endingOf(error: unknown): Ending {
  if (!(error instanceof LivecoreError)) return 'failed';
  if (error.code === 'USAGE') return 'usage';
  return error.code === 'CANCELLED' ? 'interrupted' : 'failed';
}

/** A stream to speak into; process.stdout and process.stderr are such. */
export type Stream = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };

/** What the voice is told by the options of a command. */
export interface Manner {
  /** JSON lines instead of words */
  readonly json?: boolean;
  /** only data, warnings and errors */
  readonly quiet?: boolean;
  /** stdout carries a core, so JSON lines go to stderr, where nothing else is said */
  readonly coreOnStdout?: boolean;
}

/** Speaks in the manner that the options ask for. */
export class Voice {
  readonly #stdout: Stream;
  readonly #stderr: Stream;
  #manner: Manner = {};
  #lineIsOpen = false;
  #lost = false;

  constructor(stdout: Stream, stderr: Stream) {
    this.#stdout = stdout;
    this.#stderr = stderr;
    // Neither may end a dump in its middle: what is said from then on is dropped.
    stdout.on('error', (error: NodeJS.ErrnoException) => this.#lose(error));
    stderr.on('error', () => {});
  }

  /** Whether stdout did not take what it was told, and not because its reader has gone. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Whoever reads us may stop reading (`livecore show FILE | head`): that is no failure. A disk that is full is. */
  #lose({ code, message }: NodeJS.ErrnoException): void {
    if (this.#lost || code === 'EPIPE') return;
    this.#lost = true;
    this.#line(`what was told on stdout is not whole: ${message}`, 'note: ');
  }

  adopt(manner: Manner): void {
    this.#manner = manner;
  }

  get isJson(): boolean {
    return this.#manner.json === true;
  }

  /** whether a line on stderr can be written over */
  get isLive(): boolean {
    return this.#stderr.isTTY === true && process.env['TERM'] !== 'dumb' && !this.isJson;
  }

  /** What the command was asked for; the caller has escaped what comes from a target. */
  data(text: string): void {
    this.#stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  }

  /** Until whoever reads the data has caught up: what is much is kept in memory otherwise. */
  async drained(): Promise<void> {
    const stream = this.#stdout as Stream & {
      readonly writableNeedDrain?: boolean;
      readonly destroyed?: boolean;
    };
    if (stream.writableNeedDrain !== true || stream.destroyed === true) return;
    await new Promise<void>((resolve) => {
      for (const event of ['drain', 'close', 'error']) stream.once(event, resolve);
    });
  }

  /** One JSON line, where JSON was asked for; nothing otherwise. Addresses (bigint) become 0x strings. */
  record(value: { readonly type: string }): void {
    if (!this.isJson) return;
    const stream = this.#manner.coreOnStdout ? this.#stderr : this.#stdout;
    const json = JSON.stringify(value, (_key, field) => (typeof field === 'bigint' ? hex(field) : field));
    stream.write(`${escapeJson(json)}\n`);
  }

  /** Something worth knowing. */
  say(text: string): void {
    if (!this.#manner.quiet && !this.isJson) this.#line(text);
  }

  /** Something that needs care: shown even with --quiet. */
  warn(text: string): void {
    if (this.isJson) this.record(record('notice', { text }));
    else this.#line(text, styleText('yellow', 'note: ', { stream: this.#stderr }));
  }

  /** Why nothing came of it. */
  fail(error: unknown): void {
    if (this.isJson) this.record(record('error', plain(error)));
    else this.#line(describe(error), styleText('red', 'livecore: ', { stream: this.#stderr }));
  }

  /** A line that the next one overwrites, where `isLive`. */
  flash(text: string): void {
    if (this.#manner.quiet || !this.isLive) return;
    this.#stderr.write(`\r${text.slice(0, (this.#stderr.columns ?? 80) - 1)}\u001b[K`);
    this.#lineIsOpen = true;
  }

  /** Clears the overwritten line. */
  settle(): void {
    if (this.#lineIsOpen) this.#stderr.write('\r\u001b[K');
    this.#lineIsOpen = false;
  }

  /** Messages hold names that a target chose; `prefix` is ours. */
  #line(text: string, prefix = ''): void {
    this.settle();
    this.#stderr.write(`${prefix}${text.split('\n').map(escapeText).join('\n')}\n`);
  }
}

/** A record of one type, from fields that are not its own. */
export function record<T extends string>(type: T, fields: object): { readonly type: T } {
  return { type, ...fields };
}

function plain(error: unknown): { code: string; message: string } {
  if (error instanceof LivecoreError) return error.toJSON();
  return { code: 'UNEXPECTED', message: describe(error) };
}

/** An error of ours speaks for itself; any other is a fault of livecore, and its stack is the report. */
function describe(error: unknown): string {
  if (error instanceof LivecoreError) return error.message;
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `this should not have happened, please report it: ${stack}`;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
