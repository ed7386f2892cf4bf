/** `livecore explain`: how a live snapshot works, on the reference machine. The picture is in explain-picture.ts. */
import { existsSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { LivecoreError } from '../errors.ts';
import type { Demonstration, Frame } from '../machines/ultrasparc/demonstration.ts';
import type { Context } from './context.ts';
import { play } from './explain-player.ts';
import { wrap } from './format.ts';
import { addExamples } from './help.ts';

interface Flags {
  readonly variant?: string[];
  readonly seed: string;
  readonly step?: true;
  readonly svg?: string;
  readonly json?: true;
}

const PLAIN_COLUMNS = 72;
/** of a word, for who reads quickly */
const WORD_MS = 180;
const AGAIN_MS = 450;

/** Adds the command to the tree. */
export function addExplain(program: Command, context: Context): void {
  const command = program
    .command('explain')
    .description('how a live snapshot works, shown on a small simulated computer')
    .option(
      '--variant <NAME=VALUE>',
      'a choice that the method leaves open, such as arming=live; may be given again',
      collect,
    )
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

function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

async function run(flags: Flags, { voice }: Context): Promise<void> {
  voice.adopt({ json: flags.json === true });
  const seed = seedOf(flags.seed);
  const { demonstrate } = await import('../machines/ultrasparc/demonstration.ts');
  const { parseVariant } = await import('../machines/ultrasparc/variants.ts');
  const { asSvg, asText, pictureOf, recordOf, WIDE } = await import('./explain-picture.ts');
  const shown = demonstrate(Object.assign({}, ...(flags.variant ?? []).map(parseVariant)), seed);
  if (shown.failure !== undefined) throw new LivecoreError('INVARIANT', shown.failure);
  const { frames } = shown;
  if (flags.svg !== undefined) {
    await writePictures(flags.svg, frames.length, (index) => asSvg(pictureOf(shown, index, WIDE)));
    voice.say(`${frames.length} pictures in ${flags.svg}`);
  }
  if (flags.json === true) {
    for (const index of frames.keys()) voice.record({ type: 'frame', ...recordOf(shown, index) });
    voice.record({ type: 'summary', ...{ frames: frames.length, seed } });
  } else if (flags.svg === undefined && isPlayable()) {
    // https://no-color.org: "when present and not an empty string"
    const coloured = (process.env['NO_COLOR'] ?? '') === '';
    await play({
      count: frames.length,
      pictureAt: (index, columns, rows) => asText(pictureOf(shown, index, columns, rows), coloured, columns),
      durationMs: (index) => readingMs(frames[index]!),
      playing: flags.step !== true,
    });
  } else if (flags.svg === undefined) {
    const pictureAt = (index: number): string =>
      asText(pictureOf(shown, index, PLAIN_COLUMNS), false, PLAIN_COLUMNS);
    for (const text of plainly(shown, pictureAt)) voice.data(text);
  }
}

function isPlayable(): boolean {
  return process.stdin.isTTY && process.stdout.isTTY && process.env['TERM'] !== 'dumb';
}

function seedOf(text: string): number {
  const seed = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(seed)) return seed;
  throw new LivecoreError('USAGE', `--seed ${text}: not a whole number`, { cure: 'give one, such as 7' });
}

/** How long a moment is shown: to be read, and where its reason was read before, only to be seen. */
export function readingMs({ what, why, again }: Pick<Frame, 'what' | 'why' | 'again'>): number {
  return again ? AGAIN_MS : AGAIN_MS + WORD_MS * `${what} ${why}`.split(' ').length;
}

async function writePictures(
  folder: string,
  count: number,
  pictureAt: (index: number) => string,
): Promise<void> {
  try {
    await makeFolder(folder);
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

/** As mkdir -p. Node's own goes round for ever where a file system answers ENOENT below a folder that is there, as /proc does. */
async function makeFolder(folder: string): Promise<void> {
  if (existsSync(folder)) {
    if (statSync(folder).isDirectory()) return;
  } else {
    await makeFolder(dirname(folder));
  }
  await mkdir(folder);
}

/** Every moment as a line, and the picture where a step is first seen: for pipes and screen readers. */
function* plainly(shown: Demonstration, pictureAt: (index: number) => string): Generator<string> {
  const seen = new Set<string>();
  for (const [index, { step, what, why, again }] of shown.frames.entries()) {
    if (seen.has(step)) {
      yield fold(`${step}  ${what}${again ? '' : ` ${why}`}`);
    } else {
      yield `${index === 0 ? '' : '\n'}${pictureAt(index)}\n`;
    }
    seen.add(step);
  }
}

/** Lines of a width that is read well, the following ones set in. */
function fold(text: string): string {
  return wrap(text, PLAIN_COLUMNS - 4).join('\n    ');
}
