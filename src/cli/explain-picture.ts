/** Draws one moment of the reference machine: as lines of styled text, from which the terminal and SVG are made. */
import { styleText } from 'node:util';
import type { Demonstration, Frame } from '../machines/ultrasparc/demonstration.ts';
import { type BlockView, blockViewsOf, type ProcessorView, processorsOf, slotsOf } from './explain-view.ts';
import { wrap } from './format.ts';

/** What a piece of text means; how that looks is the medium's. */
export type Style = 'plain' | 'dim' | 'title' | 'good' | 'bad' | 'new';
export type Line = readonly (readonly [text: string, style: Style])[];

const STEPS = {
  S1: 'start',
  S2: 'protect',
  S3: 'first copies',
  S4: 'go on',
  S5: 'trap',
  S6: 'sweep',
  S7: 'all copied?',
} as const;
/** from here on what a block holds has room */
const ROOMY = 60;
/** from here on the processors stand beside the blocks */
export const WIDE = 126;
const BLOCKS_COLUMNS = 80;
/** from here on a processor takes one line */
const ONE_LINE = 80;
/** before processors and devices are left out */
const FEWEST_BLOCKS = 3;
/** the title, and the steps */
const HEAD_LINES = 2;

/**
 * The picture of a frame, for so many columns and at most so many rows. Where these are few, blocks are left out first,
 * then processors and devices, then all blocks: what is said stays longest.
 */
export function pictureOf(
  shown: Demonstration,
  index: number,
  columns: number,
  rows: number = Infinity,
): Line[] {
  const frame = shown.frames[index]!;
  shown.computer.state.words.set(frame.words);
  const said: Line[] = [
    ...wrap(frame.what, columns).map((text): Line => [[text, 'title']]),
    ...wrap(frame.why, columns).map((text): Line => [[text, 'dim']]),
  ];
  const wide = columns >= WIDE;
  const machines = [
    ...processorsOf(shown).flatMap((one) => processorLines(one, columns)),
    ...slotLines(shown),
  ];
  const blocks = blockViewsOf(shown);
  const room = Math.max(0, rows - HEAD_LINES - said.length);
  const below = wide ? 0 : machines.length;
  const spread = room >= blocks.length + 1 + below + (wide ? 2 : 3);
  const gap: Line[] = spread ? [[]] : [];
  const tableRows = Math.min(room, Math.max(FEWEST_BLOCKS + 1, room - below));
  const table = blockLines(windowOf(blocks, frame.block, tableRows - 1), frame.block, columns);
  const fitting = tableRows > 1 ? table : [];
  const middle = wide
    ? beside(fitting, machines).slice(0, room)
    : [...fitting, ...gap, ...machines.slice(0, Math.max(0, room - fitting.length))];
  const needed = wide ? Math.max(blocks.length + 1, machines.length) : blocks.length + 1 + below;
  const head: Line[] = [
    [
      [`livecore explain  ${index + 1}/${shown.frames.length}`, 'title'],
      [room < needed ? '  too low for all' : '', 'bad'],
    ],
    stepsLine(frame, columns),
  ];
  return [...head, ...gap, ...middle, ...gap, ...said].slice(0, Math.max(1, rows));
}

/** Of the blocks as many as there is room for, around the one that it is about. */
function windowOf(blocks: readonly BlockView[], about: number, room: number): readonly BlockView[] {
  const count = Math.max(0, Math.min(blocks.length, room));
  const at = blocks.findIndex(({ block }) => block === about);
  const first = Math.max(0, Math.min(blocks.length - count, at - (count >> 1)));
  return blocks.slice(first, first + count);
}

/** All steps, with their names where these fit; where not even the numbers do, the one that runs. */
function stepsLine(frame: Frame, columns: number): Line {
  const steps = Object.entries(STEPS);
  const lineOf = (named: boolean): Line =>
    steps.map(([step, name]) => {
      const here = step === frame.step;
      const text = here ? `[${step} ${name}]` : named ? ` ${step} ${name} ` : ` ${step} `;
      return [text, here ? 'new' : 'dim'] as const;
    });
  const here: Line = [[`[${frame.step} ${STEPS[frame.step]}]`, 'new']];
  return [lineOf(true), lineOf(false)].find((line) => widthOf(line) <= columns) ?? here;
}

function widthOf(line: Line): number {
  return line.reduce((sum, [text]) => sum + text.length, 0);
}

function blockLines(blocks: readonly BlockView[], about: number, columns: number): Line[] {
  const [roomy, wide] = [columns >= ROOMY, columns >= WIDE];
  const holding = (text: string): string => (roomy ? `${text.padEnd(17)} ` : '');
  const [title, width] = roomy ? ['block', 5] : ['', 2];
  const header = `  ${title.padEnd(width)} ${holding('holds')}${'memory'.padEnd(wide ? 20 : 11)}write   ${roomy ? 'copied ' : 'map  '}snapshot`;
  const rows = blocks.map((one): Line => {
    const word = (words: readonly string[]): string => (wide ? words.slice(0, 2).join(' ') : words[0]!);
    return [
      [one.block === about ? '> ' : '  ', 'new'],
      [`${String(one.block).padStart(width)} ${holding(one.holds)}`, 'plain'],
      [`${word(one.memory)}${one.changed ? '*' : ' '}  `, one.changed ? 'new' : 'plain'],
      [one.write.padEnd(8), WRITE_STYLES[one.write]],
      [`${one.copied ? '[x]' : '[ ]'}${roomy ? '    ' : '  '}`, one.copied ? 'good' : 'plain'],
      one.snapshot === undefined
        ? [one.leftOut ? 'left out' : '-', 'dim']
        : [one.partly ? 'in part' : word(one.snapshot), one.copied ? 'good' : 'plain'],
    ];
  });
  return [[[header, 'dim']], ...rows];
}

const WRITE_STYLES: Readonly<Record<BlockView['write'], Style>> = {
  W: 'good',
  traps: 'bad',
  never: 'dim',
  'no page': 'dim',
};

function beside(left: readonly Line[], right: readonly Line[]): Line[] {
  return Array.from({ length: Math.max(left.length, right.length) }, (_, row) => {
    const line = left[row] ?? [];
    return [
      ...line,
      [' '.repeat(Math.max(0, BLOCKS_COLUMNS - widthOf(line))), 'plain'],
      ...(right[row] ?? []),
    ];
  });
}

function processorLines(one: ProcessorView, columns: number): Line[] {
  const { waitsFor, stopped } = one;
  const state = waitsFor !== undefined ? `waits for ${waitsFor}` : stopped ? 'stopped' : 'runs';
  const entries = one.tlb.map(({ blocks, writable }) => `${blocks}:${writable ? 'W' : '-'}`).join(' ');
  const name: Line = [
    [`processor ${one.number}  `, 'plain'],
    [state.padEnd(13), waitsFor !== undefined || stopped ? 'bad' : 'good'],
  ];
  const rest = `  buffer ${one.buffered}  TLB ${entries}`;
  if (columns < ROOMY) {
    return [name, [[`  ${one.next}  buffer ${one.buffered}`, 'plain']], [[`  TLB ${entries}`, 'dim']]];
  }
  if (columns < ONE_LINE || columns >= WIDE)
    return [[...name, [`  ${one.next}`, 'plain']], [[`           ${rest}`, 'dim']]];
  return [[...name, [`  ${one.next.padEnd(17)}`, 'plain'], [rest, 'dim']]];
}

function slotLines(shown: Demonstration): Line[] {
  return slotsOf(shown).map(({ slot, open, begun }) => [
    [`device ${slot}     `, 'plain'],
    [(open ? 'slot open' : 'slot closed').padEnd(13), open ? 'good' : 'bad'],
    [`  DMA: ${begun}`, 'plain'],
  ]);
}

/** A frame as plain data, for programs. */
export function recordOf(shown: Demonstration, index: number): Record<string, unknown> {
  const { step, what, why, block, words } = shown.frames[index]!;
  shown.computer.state.words.set(words);
  return {
    index,
    step,
    what,
    why,
    block,
    blocks: blockViewsOf(shown),
    processors: processorsOf(shown),
    devices: slotsOf(shown),
  };
}

const LOOKS = {
  plain: 'reset',
  dim: 'dim',
  title: 'bold',
  good: 'green',
  bad: 'red',
  new: 'yellow',
} as const;

/** The picture as text; colours where the stream has them. */
export function asText(picture: readonly Line[], coloured: boolean, columns: number): string {
  return picture
    .map((line) => {
      let left = columns;
      return line
        .map(([text, style]) => {
          const cut = text.slice(0, Math.max(0, left));
          left -= text.length;
          return coloured && style !== 'plain'
            ? styleText(LOOKS[style], cut, { validateStream: false })
            : cut;
        })
        .join('')
        .trimEnd();
    })
    .join('\n');
}

const INKS = {
  plain: '#222',
  dim: '#777',
  title: '#000',
  good: '#17672b',
  bad: '#b3261e',
  new: '#8a5a00',
} as const;

/** The same picture as SVG. */
export function asSvg(picture: readonly Line[]): string {
  const columns = Math.max(...picture.map(widthOf));
  const [width, height] = [columns * 8.4 + 24, picture.length * 18 + 24];
  const rows = picture.map((line, row) => {
    const spans = line.map(
      ([text, style]) =>
        `<tspan fill="${INKS[style]}"${style === 'title' ? ' font-weight="bold"' : ''}>${escapeXml(text)}</tspan>`,
    );
    return `<text x="12" y="${row * 18 + 26}" xml:space="preserve">${spans.join('')}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="monospace" font-size="14"><rect width="100%" height="100%" fill="#fff"/>${rows.join('')}</svg>\n`;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
