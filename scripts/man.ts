/** Writes man/livecore.1 from the tree of commands; with --check only says whether it is up to date. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { renderMan } from '../src/cli/man.ts';
import { buildTree } from '../src/cli/tree.ts';
import { Voice } from '../src/cli/voice.ts';

const file = join(import.meta.dirname, '../man/livecore.1');

const program = buildTree({
  voice: new Voice(process.stdout, process.stderr),
  loadDump: () => Promise.reject(new Error('a page needs no dump')),
  ending: 'whole',
});
const page = renderMan(program);

if (process.argv.includes('--check')) {
  if (readOrEmpty(file) !== page) {
    console.error('man/livecore.1 is not what the commands say; the cure: node scripts/man.ts');
    process.exitCode = 1;
  }
} else {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, page);
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
