/* oxlint-disable no-control-regex -- what a terminal sends */
/** Plays pictures on a terminal, forward and back. */
import { clearInterval, setInterval } from 'node:timers';

/** long enough to read a sentence */
const FRAME_MS = 1800;
const HELP = 'space: play, pause  arrows: step  q: quit';
/** an arrow, or one character */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is what a terminal sends
const KEY = /\u001b[[O][A-D]|[\s\S]/g;

// xterm, "Alt Screen Buffer" and "Show cursor": what the screen showed before comes back
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const CLEAR = '\u001b[H\u001b[2J';

/** These end a program, and would leave the terminal as it is while it plays. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Plays until q, on process.stdin and process.stdout, which have to be terminals. However it ends, the terminal is as
 * it was.
 *
 * @param pictureAt the picture of a moment, for so many columns
 * @param playing whether it goes on by itself, or waits for keys
 */
export async function play(
  count: number,
  pictureAt: (index: number, columns: number) => string,
  playing: boolean,
): Promise<void> {
  const { stdin, stdout } = process;
  let index = 0;
  let runs = playing;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const draw = (): void => {
    try {
      const state = index === count - 1 ? 'the end' : runs ? 'playing' : 'paused';
      stdout.write(
        `${CLEAR}${pictureAt(index, stdout.columns)}\n\n${state.padEnd(9)}${HELP}`.slice(0, 1 << 16),
      );
    } catch (error) {
      reject(error);
    }
  };
  const go = (by: number): void => {
    index = Math.max(0, Math.min(count - 1, index + by));
    draw();
  };
  const onKey = (key: string): void => {
    if (key === 'q' || key === '\u0003') {
      resolve();
      return;
    }
    const by = STEPS[key] ?? 0;
    runs = key === ' ' ? !runs : runs && by === 0;
    go(by);
  };
  // Keys that come quickly come together.
  const onData = (keys: Buffer): void => keys.toString('latin1').match(KEY)?.forEach(onKey);
  const onSignal = (): void => resolve();
  const timer = setInterval(() => {
    if (runs && index < count - 1) go(1);
  }, FRAME_MS);
  stdin.setRawMode(true);
  stdin.on('data', onData);
  stdout.on('resize', draw);
  for (const signal of SIGNALS) process.once(signal, onSignal);
  stdout.write(ENTER);
  draw();
  try {
    await promise;
  } finally {
    clearInterval(timer);
    for (const signal of SIGNALS) process.off(signal, onSignal);
    stdout.off('resize', draw);
    stdin.off('data', onData);
    stdin.setRawMode(false);
    stdin.pause();
    stdout.write(LEAVE);
  }
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
