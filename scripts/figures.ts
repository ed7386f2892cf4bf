/** Draws the figures of docs/method.md, moments of `livecore explain`; with --check only says whether they are up to date. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asSvg, pictureOf } from '../src/cli/explain-picture.ts';
import { demonstrate } from '../src/machines/ultrasparc/demonstration.ts';

/** The figures, each with what happens in its moment. */
const FIGURES = {
  'method-instant.svg': 'T0: this instant is what the snapshot will show.',
  'method-trap.svg': 'Processor 0 wants to write to block 4, and W is cleared: a trap.',
  'method-written.svg': 'A write of processor 0 lands in block 4.',
  'method-end.svg': 'All is copied: the snapshot is done.',
} as const;
/** narrow enough to be read beside the text of a page */
const COLUMNS = 80;

const shown = demonstrate({}, 1);
for (const [name, what] of Object.entries(FIGURES)) {
  const file = join(import.meta.dirname, '../docs', name);
  const index = shown.frames.findIndex((frame) => frame.what === what);
  if (index < 0) throw new Error(`no moment in which it says: ${what}`);
  const drawn = asSvg(pictureOf(shown, index, COLUMNS));
  if (!process.argv.includes('--check')) {
    writeFileSync(file, drawn);
  } else if (!existsSync(file) || readFileSync(file, 'utf8') !== drawn) {
    console.error(`docs/${name} is not what livecore explain draws; the cure: node scripts/figures.ts`);
    process.exitCode = 1;
  }
}
