/** `livecore explain`: how a live snapshot works, on the reference machine. The picture is in explain-picture.ts. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { LivecoreError } from '../errors.ts';
import type { Demonstration, Frame } from '../machines/ultrasparc/demonstration.ts';
import {
  CHOICES,
  DEFAULT_VARIANTS,
  parseVariant,
  type VariantName,
} from '../machines/ultrasparc/variants.ts';
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
const NARROWEST = 20;
/** of a word, for who reads quickly */
const WORD_MS = 150;
const AGAIN_MS = 300;

/** Adds the command to the tree. */
export function addExplain(program: Command, context: Context): void {
  const command = program
    .command('explain')
    .description('how a live snapshot works, shown on a small simulated computer')
    .option(
      '--variant <NAME=VALUE>',
      `a choice that the method leaves open; may be given again for another (the default comes first): ${choices()}`,
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

/** All variants with their choices, the default first. */
function choices(): string {
  return Object.entries(CHOICES)
    .map(([name, values]) => {
      const preferred: string = DEFAULT_VARIANTS[name as VariantName];
      return `${name}=${[preferred, ...values.filter((value) => value !== preferred)].join('|')}`;
    })
    .join(', ');
}

function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

async function run(flags: Flags, { voice }: Context): Promise<void> {
  voice.adopt({ json: flags.json === true });
  const seed = seedOf(flags.seed);
  const { demonstrate } = await import('../machines/ultrasparc/demonstration.ts');
  const { asSvg, asText, pictureOf, recordOf, WIDE } = await import('./explain-picture.ts');
  const chosen = (flags.variant ?? []).map(parseVariant);
  const names = chosen.flatMap(Object.keys);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw new LivecoreError('USAGE', `--variant ${twice}: chosen twice`, { cure: 'choose once' });
  const shown = demonstrate(Object.assign({}, ...chosen), seed);
  if (shown.failure !== undefined) throw new LivecoreError('INVARIANT', shown.failure);
  const { frames } = shown;
  if (flags.svg !== undefined) {
    await writePictures(flags.svg, frames.length, (index) => asSvg(pictureOf(shown, index, WIDE)));
    voice.say(`${frames.length} pictures in ${flags.svg}`);
    const older = countOlder(flags.svg, frames.length);
    if (older > 0) voice.say(`${older} that come after them are of an earlier run: of a longer course`);
  }
  if (flags.json === true) {
    for (const index of frames.keys()) voice.record({ type: 'frame', ...recordOf(shown, index) });
    const { listed, wrong, leftOut, computer } = shown;
    const outcome = { variants: computer.plan.variants, leftOut, listed, wrong };
    voice.record({ type: 'summary', ...{ frames: frames.length, seed, ...outcome } });
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
    const columns = plainColumns();
    const pictureAt = (index: number): string => asText(pictureOf(shown, index, columns), false, columns);
    for (const text of plainly(shown, pictureAt, columns)) voice.data(text);
  }
}

/** Lines of a width that is read well, or of a narrower terminal's (COLUMNS: of one that is not asked itself). */
function plainColumns(): number {
  const columns = process.stdout.columns || Number(process.env['COLUMNS']) || PLAIN_COLUMNS;
  return Math.min(PLAIN_COLUMNS, Math.max(NARROWEST, columns));
}

function isPlayable(): boolean {
  return process.stdin.isTTY && process.stdout.isTTY && process.env['TERM'] !== 'dumb';
}

function seedOf(text: string): number {
  const seed = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(seed)) return seed;
  throw new LivecoreError('USAGE', `--seed ${text}: not a whole number of at most 15 digits`, {
    cure: 'give one, such as 7',
  });
}

/** How long a moment is shown: to be read, and where its reason was read before, only to be seen. */
export function readingMs({ what, why, again }: Pick<Frame, 'what' | 'why' | 'again'>): number {
  return again ? AGAIN_MS : AGAIN_MS + WORD_MS * `${what} ${why}`.split(' ').length;
}

/** Pictures in a folder that this run has not written: its last ones are of a longer run. */
function countOlder(folder: string, count: number): number {
  const numbers = readdirSync(folder).map((name) => Number(/^frame-(\d{3,})\.svg$/.exec(name)?.[1] ?? 0));
  return numbers.filter((number) => number > count).length;
}

async function writePictures(
  folder: string,
  count: number,
  pictureAt: (index: number) => string,
): Promise<void> {
  const isFile = existsSync(folder) && !statSync(folder).isDirectory();
  if (folder === '' || isFile)
    throw new LivecoreError('USAGE', `--svg '${folder}': not a folder`, { cure: 'name one, it is made' });
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
function* plainly(
  shown: Demonstration,
  pictureAt: (index: number) => string,
  columns: number,
): Generator<string> {
  const seen = new Set<string>();
  for (const [index, { step, what, why, again }] of shown.frames.entries()) {
    if (seen.has(step)) {
      // The following lines are set in.
      yield wrap(`${step}  ${what}${again ? '' : ` ${why}`}`, columns - 4).join('\n    ');
    } else {
      yield `${index === 0 ? '' : '\n'}${pictureAt(index)}\n`;
    }
    seen.add(step);
  }
}
