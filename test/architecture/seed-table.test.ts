/** docs/seed.md: each row's line is in the code, once, and its test is in the suite. `npm run verify:seed` breaks them. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROWS, symbolOf } from '../../scripts/seed/rows.ts';
import { withTable } from '../../scripts/seed/table.ts';
import { read, root } from './sources.ts';

test("each row's line stands in its file, once, and belongs to something that has a name", () => {
  assert.ok(ROWS.length > 100);
  const faults = ROWS.flatMap(({ statement, file, from, to }) => {
    if (!existsSync(join(root, 'src', file))) return [`${statement}: no file src/${file}`];
    const source = read(`src/${file}`);
    const times = source.split(from).length - 1;
    if (times !== 1) return [`${statement}: its line stands ${times} times in src/${file}`];
    if (from === to) return [`${statement}: nothing is broken`];
    return symbolOf(source, source.indexOf(from)) === '' ? [`${statement}: belongs to nothing`] : [];
  });
  assert.deepEqual(faults, []);
});

test("each row's test is in its file, by its name", () => {
  const faults = ROWS.flatMap(({ testFile, test: name }) => {
    if (!existsSync(join(root, testFile))) return [`no file ${testFile}`];
    // The name of a test that is run for each of several values ends where the value stands.
    const literal = name.replace(/=[\w-]+$/, '=');
    const text = read(testFile);
    return [name, literal].some((one) =>
      ["'", '"', '`'].some((quote) => text.includes(`test(${quote}${one}`)),
    )
      ? []
      : [`${testFile}: no test "${name}"`];
  });
  assert.deepEqual(faults, []);
});

test('docs/seed.md has the table that the rows make', () => {
  const text = read('docs/seed.md');
  assert.equal(withTable(text), text, 'the cure: node scripts/seed.ts');
});

test('a line is named after what it belongs to', () => {
  const source = [
    'const ONE = 1;',
    'function two(): void {',
    '  if (ONE) three();',
    '}',
    'export class Four {',
    '  #five(): void {',
    '    six();',
    '  }',
    '  readonly seven = 7;',
    '}',
  ].join('\n');
  const names = ['= 1', 'three', 'six', 'Four'].map((text) => symbolOf(source, source.indexOf(text)));
  assert.deepEqual(names, ['ONE', 'two', 'Four.#five', 'Four']);
});
