/* oxlint-disable no-control-regex -- what a terminal sends */
/** Plays pictures on a terminal, forward and back. */
import { clearTimeout, setTimeout } from 'node:timers';

const HELP = 'space: play, pause  arrows: step  q: quit';
/** what ends it comes first: the rest may not fit */
const SHORT_HELP = 'q: quit  space, arrows';
const STATE_COLUMNS = 9;
/** an arrow, or one character */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is what a terminal sends
const KEY = /\u001b[[O][A-D]|[\s\S]/g;

// xterm, "Alt Screen Buffer" and "Show cursor": what the screen showed before comes back
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const CLEAR = '\u001b[H\u001b[2J';

/** These end a program, and would leave the terminal as it is while it plays. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

/** A terminal that does not know its size says 0. */
const USUAL_COLUMNS = 80;
const USUAL_ROWS = 24;

/** What is played. */
export interface Play {
  /** number of moments */
  readonly count: number;
  /** the picture of a moment, for so many columns and rows */
  readonly pictureAt: (index: number, columns: number, rows: number) => string;
  /** how long a moment is shown */
  readonly durationMs: (index: number) => number;
  /** whether it goes on by itself, or waits for keys */
  readonly playing: boolean;
}

/**
 * Plays until q, on process.stdin and process.stdout, which have to be terminals. However it ends, the terminal is as
 * it was; a signal then ends the process, as it would have without us.
 */
export async function play({ count, pictureAt, durationMs, playing }: Play): Promise<void> {
  const { stdin, stdout } = process;
  let index = 0;
  let runs = playing;
  let timer: NodeJS.Timeout | undefined;
  const { promise, resolve, reject } = Promise.withResolvers<NodeJS.Signals | undefined>();
  const draw = (): void => {
    clearTimeout(timer);
    try {
      const state = index === count - 1 ? 'the end' : runs ? 'playing' : 'paused';
      const columns = stdout.columns || USUAL_COLUMNS;
      const picture = pictureAt(index, columns, (stdout.rows || USUAL_ROWS) - 2);
      const help = columns < STATE_COLUMNS + HELP.length ? SHORT_HELP : HELP;
      const last = `${state.padEnd(STATE_COLUMNS)}${help}`.slice(0, columns);
      stdout.write(`${CLEAR}${picture}\n\n${last}`);
    } catch (error) {
      reject(error);
    }
    if (runs && index < count - 1) timer = setTimeout(() => go(1), durationMs(index));
  };
  const go = (by: number): void => {
    index = Math.max(0, Math.min(count - 1, index + by));
    draw();
  };
  const onKey = (key: string): void => {
    if (key === 'q' || key === '\u0004') {
      resolve(undefined);
      return;
    }
    // Raw mode makes no signal of it.
    if (key === '\u0003') {
      resolve('SIGINT');
      return;
    }
    const by = STEPS[key] ?? 0;
    if (by === 0 && key !== ' ') return;
    // At the end, space plays it again.
    if (key === ' ' && index === count - 1) index = 0;
    runs = key === ' ' ? !runs || index === 0 : false;
    go(by);
  };
  // Keys that come quickly come together.
  const onData = (keys: Buffer): void => keys.toString('latin1').match(KEY)?.forEach(onKey);
  const onEnd = (): void => resolve(undefined);
  const leave = (): void => {
    stdin.setRawMode(false);
    stdout.write(LEAVE);
  };
  stdin.setRawMode(true);
  stdin.on('data', onData).once('end', onEnd).once('error', onEnd);
  stdout.on('resize', draw);
  for (const signal of SIGNALS) process.once(signal, resolve);
  process.once('exit', leave);
  let ended: NodeJS.Signals | undefined;
  try {
    stdout.write(ENTER);
    draw();
    ended = await promise;
  } finally {
    clearTimeout(timer);
    for (const signal of SIGNALS) process.off(signal, resolve);
    stdout.off('resize', draw);
    stdin.off('data', onData).off('end', onEnd).off('error', onEnd);
    process.off('exit', leave);
    leave();
    stdin.pause();
  }
  if (ended !== undefined) process.kill(process.pid, ended);
}

/** What a key does. */
const STEPS: Readonly<Record<string, number>> = {
  '\u001b[D': -1,
  '\u001bOD': -1,
  p: -1,
  '\u001b[C': 1,
  '\u001bOC': 1,
  n: 1,
  '\r': 1,
  '\n': 1,
};
