/** `livecore explain`: how a live snapshot works, on the reference machine. The picture is in explain-picture.ts. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { LivecoreError } from '../errors.ts';
import type { Demonstration } from '../machines/ultrasparc/demonstration.ts';
import type { Context } from './context.ts';
import { addExamples } from './help.ts';

interface Flags {
  readonly variant: string[];
  readonly seed: string;
  readonly step?: true;
  readonly svg?: string;
  readonly json?: true;
}

const FRAME_MS = 900;
const NARROW = 72;
const WIDE = 110;

/** Adds the command to the tree. */
export function addExplain(program: Command, context: Context): void {
  const command = program
    .command('explain')
    .description('how a live snapshot works, shown on a small simulated computer')
    .option('--variant <NAME=VALUE>', 'a choice that the method leaves open; may be given again', collect, [])
    .option('--seed <N>', 'another order of events', '1')
    .option('--step', 'one moment at a time')
    .option('--svg <DIR>', 'a picture of each moment, as SVG files in DIR')
    .option('--json', 'JSON lines on stdout, a moment each')
    .action(async (flags: Flags) => run(flags, context));
  addExamples(
    command,
    ['livecore explain', 'plays; space pauses, the arrows go one moment back and forward, q ends'],
    ['livecore explain --variant arming=live --variant dma=mark', 'armed before the hold; DMA not suspended'],
  );
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

async function run(flags: Flags, { voice }: Context): Promise<void> {
  voice.adopt({ json: flags.json === true });
  const seed = Number(flags.seed);
  if (!Number.isSafeInteger(seed)) {
    throw new LivecoreError('USAGE', `--seed ${flags.seed}: not a whole number`, {
      cure: 'give one, such as 7',
    });
  }
  const { demonstrate } = await import('../machines/ultrasparc/demonstration.ts');
  const { parseVariant } = await import('../machines/ultrasparc/variants.ts');
  const { asSvg, asText, pictureOf } = await import('./explain-picture.ts');
  const shown = demonstrate(Object.assign({}, ...flags.variant.map(parseVariant)), seed);
  if (shown.failure !== undefined) throw new LivecoreError('INVARIANT', shown.failure);
  if (flags.svg !== undefined) {
    await mkdir(flags.svg, { recursive: true });
    for (const index of shown.frames.keys()) {
      const name = `frame-${String(index + 1).padStart(3, '0')}.svg`;
      await writeFile(join(flags.svg, name), asSvg(pictureOf(shown, index, WIDE)));
    }
    voice.say(`${shown.frames.length} pictures in ${flags.svg}`);
  } else if (flags.json === true) {
    for (const [index, { step, what, why, block }] of shown.frames.entries()) {
      voice.record({ type: 'frame', ...{ index, step, what, why, block } });
    }
    voice.record({ type: 'summary', ...{ frames: shown.frames.length, seed } });
  } else if (process.stdin.isTTY && process.stdout.isTTY) {
    const coloured = process.env['NO_COLOR'] === undefined;
    const draw = (index: number): void => {
      const columns = process.stdout.columns;
      const text = asText(pictureOf(shown, index, columns), coloured, columns);
      voice.data(
        `\u001b[H\u001b[2J${text}\n\nspace: play or pause   arrows: one back, one forward   q: quit`,
      );
    };
    await play(shown, draw, flags.step !== true);
  } else {
    for (const text of plainly(shown, (index) => asText(pictureOf(shown, index, NARROW), false, NARROW)))
      voice.data(text);
  }
}

/** Every moment as a line, and the picture where a step begins: for pipes and screen readers. */
function* plainly(shown: Demonstration, pictureAt: (index: number) => string): Generator<string> {
  let step = '';
  for (const [index, frame] of shown.frames.entries()) {
    if (frame.step !== step && !(step === 'S6' && frame.step === 'S5')) yield `\n${pictureAt(index)}\n`;
    else yield `${frame.step}  ${frame.what} ${frame.why}`;
    step = frame.step;
  }
}

/** Plays on a terminal until the end is reached and left, or q. */
async function play(shown: Demonstration, draw: (index: number) => void, playing: boolean): Promise<void> {
  let index = 0;
  let runs = playing;
  const { promise, resolve } = Promise.withResolvers<void>();
  const go = (by: number): void => {
    index = Math.max(0, Math.min(shown.frames.length - 1, index + by));
    draw(index);
  };
  const timer = setInterval(() => {
    if (runs) go(1);
  }, FRAME_MS);
  const onKey = (key: Buffer): void => {
    const text = key.toString('latin1');
    if (text === 'q' || text === '\u0003') resolve();
    else if (text === ' ') runs = !runs;
    else if (text === '\u001b[D' || text === 'p') go(-1);
    else if (text === '\u001b[C' || text === 'n' || text === '\r') go(1);
    if (text !== ' ') runs = false;
  };
  process.stdin.setRawMode(true);
  process.stdin.on('data', onKey);
  draw(0);
  try {
    await promise;
  } finally {
    clearInterval(timer);
    process.stdin.off('data', onKey);
    process.stdin.setRawMode(false);
    process.stdin.pause();
  }
}
