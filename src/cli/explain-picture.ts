/** Draws one moment of the reference machine: as lines of styled text, from which the terminal and SVG are made. */
import { styleText } from 'node:util';
import type { Demonstration, Frame } from '../machines/ultrasparc/demonstration.ts';
import { storedContent } from '../machines/ultrasparc/storage.ts';
import { SAVED_W, V, W } from '../machines/ultrasparc/tte.ts';

/** What a piece of text means; how that looks is the medium's. */
export type Style = 'plain' | 'dim' | 'title' | 'good' | 'bad' | 'new';
export type Line = readonly (readonly [text: string, style: Style])[];

const STEPS = {
  S1: 'start',
  S2: 'hold, W := 0',
  S3: 'copy first',
  S4: 'W := 1, mark',
  S5: 'trap: copy',
  S6: 'sweep',
  S7: 'all copied?',
} as const;
const WIDE = 96;

/** The picture of a frame, for so many columns. */
export function pictureOf(shown: Demonstration, index: number, columns: number): Line[] {
  const frame = shown.frames[index]!;
  const { computer } = shown;
  computer.state.words.set(frame.words);
  const wide = columns >= WIDE;
  return [
    [[`livecore explain  ${index + 1}/${shown.frames.length}`, 'title']],
    stepsLine(frame, wide),
    [],
    ...blockLines(shown, frame, wide),
    [],
    ...processorLines(shown, wide),
    [],
    ...wrap(frame.what, columns).map((text): Line => [[text, 'title']]),
    ...wrap(frame.why, columns).map((text): Line => [[text, 'dim']]),
  ];
}

function stepsLine(frame: Frame, wide: boolean): Line {
  return Object.entries(STEPS).map(([step, name]) => {
    const here = step === frame.step;
    const text = here ? `[${step} ${name}]` : wide ? ` ${step} ${name} ` : ` ${step} `;
    return [text, here ? 'new' : 'dim'] as const;
  });
}

function blockLines(shown: Demonstration, frame: Frame, wide: boolean): Line[] {
  const { computer } = shown;
  const { plan, memory, places, state } = computer;
  const lines: Line[] = [
    [[`  block ${wide ? 'holds            ' : ''} memory    may write copied snapshot`, 'dim']],
  ];
  for (let block = plan.firstBlock; block < plan.firstBlock + plan.blocks; block++) {
    const bit = block - (plan.firstBlock - (plan.firstBlock % 32));
    const active = state.words[places.active] === 1 || frame.step === 'S7';
    const copied = active && (state.words[places.map + (bit >>> 5)]! & (1 << (bit & 31))) !== 0;
    const holds = plan.contents[block - plan.firstBlock]!;
    const kept = storedContent(computer, block);
    const same =
      kept !== undefined &&
      !kept.every((word, at) => word === computer.contentBefore(placeOf(shown, block) + at));
    const [may, style] = mayWrite(shown, block);
    lines.push([
      [block === frame.block ? '> ' : '  ', 'new'],
      [`${String(block).padStart(5)} ${wide ? holds.padEnd(17) : ''} `, 'plain'],
      [`${hex(memory.read(block, 0))}${wide ? ` ${hex(memory.read(block, 1))}` : ''}  `, 'plain'],
      [may.padEnd(9), style],
      [copied ? '  [x]  ' : '  [ ]  ', copied ? 'good' : 'plain'],
      [same ? `${hex(kept[0]!)}${wide ? ` ${hex(kept[1]!)}` : ''}` : '-', same ? 'good' : 'dim'],
    ]);
  }
  return lines;
}

/** A frame as plain data, for programs. */
export function recordOf(shown: Demonstration, index: number): Record<string, unknown> {
  const { step, what, why, block: about, words } = shown.frames[index]!;
  const { computer } = shown;
  computer.state.words.set(words);
  const { plan, memory, places, state, processors, bridge } = computer;
  const blocks = Array.from({ length: plan.blocks }, (_, at) => {
    const block = plan.firstBlock + at;
    const bit = block - (plan.firstBlock - (plan.firstBlock % 32));
    return {
      block,
      holds: plan.contents[at],
      memory: hex(memory.read(block, 0)),
      write: mayWrite(shown, block)[0],
      copied: (state.words[places.map + (bit >>> 5)]! & (1 << (bit & 31))) !== 0,
      snapshot: hex(storedContent(computer, block)?.[0] ?? 0),
    };
  });
  return {
    index,
    step,
    what,
    why,
    block: about,
    blocks,
    processors: processors.map((one) => ({
      number: one.number,
      stopped: one.stopped,
      waitsFor: one.waitsFor,
      buffered: one.buffered,
    })),
    devices: [...bridge.devices.keys()].map((slot) => ({ slot, open: bridge.isOpen(slot) === 1 })),
  };
}

function placeOf({ computer }: Demonstration, block: number): number {
  return computer.places.storage + (block - computer.plan.firstBlock) * computer.plan.wordsPerBlock;
}

/** What the translation table says of writing to a block. */
function mayWrite({ computer }: Demonstration, block: number): [string, Style] {
  const { tables, plan } = computer;
  let found: [string, Style] = ['no page', 'dim'];
  for (let entry = 0; entry < plan.sttEntries; entry++) {
    const count = 8 ** ((tables.dataHigh(entry) >>> 29) & 3);
    const first = tables.pageNumber(entry);
    if ((tables.dataHigh(entry) & V) === 0 || block < first || block >= first + count) continue;
    const dataLow = tables.dataLow(entry);
    if ((dataLow & SAVED_W) !== 0) return ['traps', 'bad'];
    found = (dataLow & W) !== 0 ? ['W', 'good'] : ['never', 'dim'];
  }
  return found;
}

function processorLines({ computer }: Demonstration, wide: boolean): Line[] {
  const { processors, bridge, state } = computer;
  const lines = processors.flatMap((one): Line[] => {
    const next = one.program.instructions[one.pc];
    const doing = next === undefined ? 'done' : `${next.kind} ${next.va?.toString(16) ?? ''}`;
    const waits = one.waitsFor >= 0 ? `waits for block ${one.waitsFor}` : one.stopped ? 'stopped' : 'runs';
    let tlb = '';
    one.dataTlb.forEach((at) => {
      tlb += ` ${state.words[at + 1]!.toString(16)}${(state.words[at + 4]! & W) !== 0 ? ':W' : ':-'}`;
    });
    const style = one.waitsFor >= 0 || one.stopped ? 'bad' : 'good';
    const rest = `${one.buffered} buffered  TLB${tlb}`;
    const line: Line = [
      [`processor ${one.number} `, 'plain'],
      [waits.padEnd(18), style],
      [` ${doing.padEnd(14)}${wide ? `  ${rest}` : ''}`, 'plain'],
    ];
    return wide ? [line] : [line, [[`            ${rest}`, 'dim']]];
  });
  for (const slot of bridge.devices.keys()) {
    const open = bridge.isOpen(slot) === 1;
    const register = open ? 'open' : 'closed';
    lines.push([
      [`device ${slot}    slot `, 'plain'],
      [register, open ? 'good' : 'bad'],
      [`  DMA ${bridge.begun(slot)} begun`, 'plain'],
    ]);
  }
  return lines;
}

function wrap(text: string, columns: number): string[] {
  const lines: string[] = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1)!;
    if (last !== '' && last.length + 1 + word.length > columns) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
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
  const columns = Math.max(...picture.map((line) => line.reduce((sum, [text]) => sum + text.length, 0)));
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
