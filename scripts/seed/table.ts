import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { withBlock } from '../made-block.ts';
import { ROWS, symbolOf } from './rows.ts';

const root = join(import.meta.dirname, '../..');

/** docs/seed.md with the table as the rows have it. */
export function withTable(document: string): string {
  return withBlock(document, 'made by scripts/seed.ts', table());
}

function table(): string {
  const lines = ['| | place | statement | code | test |', '|---|---|---|---|---|'];
  for (const [index, { place, statement, file, from, testFile, test }] of ROWS.entries()) {
    const source = readFileSync(join(root, 'src', file), 'utf8');
    const code = `\`${file}\` ${symbolOf(source, source.indexOf(from))}`;
    lines.push(
      `| ${[index + 1, place, statement, code, `\`${testFile.slice(testFile.lastIndexOf('/') + 1)}\`: ${test}`].join(' | ')} |`,
    );
  }
  return lines.join('\n');
}
