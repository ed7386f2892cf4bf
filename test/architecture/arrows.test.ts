/** Who may import whom. Arrows point down only: cli, index, loop, machines, then engine, linux and formats, then the floor. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Import, importsIn, importsOf, sourcesUnder } from './sources.ts';

/** The folders below each folder of src. A file in src itself belongs to `index`, except those of the floor. */
const below: Readonly<Record<string, readonly string[]>> = {
  cli: ['index', 'loop', 'machines', 'engine', 'linux', 'formats', 'bytes', 'dump-types', 'errors'],
  index: ['loop', 'machines', 'engine', 'linux', 'formats', 'bytes', 'dump-types', 'errors'],
  loop: ['machines', 'engine', 'linux', 'formats', 'bytes', 'dump-types', 'errors'],
  machines: ['engine', 'linux', 'formats', 'bytes', 'dump-types', 'errors'],
  engine: ['errors'],
  linux: ['bytes', 'errors'],
  formats: ['bytes', 'errors'],
  bytes: [],
  'dump-types': [],
  errors: [],
};

const floorFiles: Readonly<Record<string, string>> = { 'errors.ts': 'errors', 'dump-types.ts': 'dump-types' };

/** The part of src that a file belongs to; each machine is a part of its own. */
function partOf(file: string): string {
  const [, folder = '', next] = file.split('/');
  if (next === undefined) return floorFiles[folder] ?? 'index';
  return folder === 'machines' ? `machines/${next}` : folder;
}

/** Why an import is not allowed, or undefined. Only relative imports and koffi are judged here. */
function faultOf({ from, to }: Import): string | undefined {
  const part = partOf(from);
  const layer = part.split('/')[0]!;
  if (to === 'koffi') return layer === 'linux' ? undefined : `${from}: koffi is loaded by src/linux only`;
  if (!to.startsWith('src/')) {
    if (layer === 'engine') return `${from}: the engine knows no OS, but imports ${to}`;
    return to.includes('/') &&
      !to.startsWith('@') &&
      !to.startsWith('node:') &&
      !to.includes(':') &&
      /\.(ts|js)$/.test(to)
      ? `${from}: src imports nothing outside src, but ${to}`
      : undefined;
  }
  const target = partOf(to);
  if (target === part || below[layer]!.includes(target.split('/')[0]!)) {
    // machines/process and machines/memory are siblings, not layers.
    if (layer === 'machines' && target.startsWith('machines/') && target !== part)
      return `${from}: imports its sibling ${to}`;
    return undefined;
  }
  return `${from}: ${layer} may not import ${to}`;
}

const files = sourcesUnder('src').filter((file) => !file.endsWith('.test.ts'));

test('every folder of src has its place in the order', () => {
  const parts = new Set(files.map((file) => partOf(file).split('/')[0]!));
  assert.deepEqual(
    [...parts].filter((part) => !(part in below)),
    [],
  );
});

test('arrows point down only', () => {
  assert.ok(files.length > 10, 'the sources were not found');
  assert.deepEqual(files.flatMap(importsOf).map(faultOf).filter(Boolean), []);
});

test('the engine and the floor use no package and no builtin', () => {
  const pure = files.filter((file) => /^src\/(engine|bytes)\//.test(file) || file === 'src/errors.ts');
  const bare = pure.flatMap(importsOf).filter(({ to }) => !to.startsWith('src/'));
  assert.deepEqual(bare, []);
});

test('the test itself sees what it forbids', () => {
  const faults = (from: string, line: string): number =>
    importsIn(from, line).map(faultOf).filter(Boolean).length;
  assert.equal(faults('src/engine/x.ts', "import { a } from '../linux/a.ts';"), 1);
  assert.equal(faults('src/engine/x.ts', "import { readFileSync } from 'node:fs';"), 1);
  assert.equal(faults('src/linux/x.ts', "import type { M } from '../machines/process/m.ts';"), 1);
  assert.equal(faults('src/machines/memory/x.ts', "const a = await import('../process/a.ts');"), 1);
  assert.equal(faults('src/cli/x.ts', "import koffi from 'koffi';"), 1);
  assert.equal(faults('src/cli/x.ts', "import { b } from '../../scripts/b.ts';"), 1);
  assert.equal(faults('src/machines/memory/x.ts', "import { a } from '../../engine/a.ts';"), 0);
});
