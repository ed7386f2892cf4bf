/** Writes the table of docs/seed.md from its rows (scripts/seed/); with --check only says whether it is up to date. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withTable } from './seed/table.ts';

const file = join(import.meta.dirname, '../docs/seed.md');
const text = readFileSync(file, 'utf8');
const made = withTable(text);

if (!process.argv.includes('--check')) writeFileSync(file, made);
else if (made !== text) {
  console.error('docs/seed.md is not what its rows say; the cure: node scripts/seed.ts');
  process.exitCode = 1;
}
