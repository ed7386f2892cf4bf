/** `livecore explain`: how a live snapshot works, on the reference machine. The picture is in explain-picture.ts. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { LivecoreError } from '../errors.ts';
import type { Demonstration } from '../machines/ultrasparc/demonstration.ts';
import type { Context } from './context.ts';
import { play } from './explain-player.ts';
import { addExamples } from './help.ts';

interface Flags {
  readonly variant: string[];
  readonly seed: string;
  readonly step?: true;
  readonly svg?: string;
  readonly json?: true;
}

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
  const { asSvg, asText, pictureOf, recordOf } = await import('./explain-picture.ts');
  const shown = demonstrate(Object.assign({}, ...flags.variant.map(parseVariant)), seed);
  if (shown.failure !== undefined) throw new LivecoreError('INVARIANT', shown.failure);
  if (flags.svg !== undefined) {
    await writePictures(flags.svg, shown.frames.length, (index) => asSvg(pictureOf(shown, index, WIDE)));
    voice.say(`${shown.frames.length} pictures in ${flags.svg}`);
  } else if (flags.json === true) {
    for (const index of shown.frames.keys()) voice.record({ type: 'frame', ...recordOf(shown, index) });
    voice.record({ type: 'summary', ...{ frames: shown.frames.length, seed } });
  } else if (process.stdin.isTTY && process.stdout.isTTY) {
    const coloured = process.env['NO_COLOR'] === undefined;
    const pictureAt = (index: number, columns: number): string =>
      asText(pictureOf(shown, index, columns), coloured, columns);
    await play(shown.frames.length, pictureAt, flags.step !== true);
  } else {
    for (const text of plainly(shown, (index) => asText(pictureOf(shown, index, NARROW), false, NARROW)))
      voice.data(text);
  }
}

async function writePictures(
  folder: string,
  count: number,
  pictureAt: (index: number) => string,
): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    for (let index = 0; index < count; index++) {
      const name = `frame-${String(index + 1).padStart(3, '0')}.svg`;
      await writeFile(join(folder, name), pictureAt(index));
    }
  } catch (error) {
    const { message } = error as Error;
    throw new LivecoreError('OUTPUT', `--svg ${folder}: ${message}`, {
      path: folder,
      cure: 'name a folder that can be written to',
    });
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
