/** What must hold for every file of the repository, not only for code. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { read, root, trackedFiles } from './sources.ts';

const isText = (file: string): boolean => !/(^|\/)package-lock\.json$|\.(png|gz|core)$/.test(file);
const files = trackedFiles().filter((file) => isText(file) && existsSync(join(root, file)));

/** The lines of a text that match, as file:line. */
function linesMatching(pattern: RegExp, texts: readonly (readonly [file: string, text: string])[]): string[] {
  return texts.flatMap(([file, text]) =>
    text
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
  );
}

const texts = files.map((file) => [file, read(file)] as const);

test('no file names a folder of the machine that it was written on', () => {
  const escaped = root.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const parent = dirname(escaped);
  const here = parent.length > 1 ? `${parent}/|` : '';
  const pattern = new RegExp(`${here}(?<![\\w.$}/-])/(work|home|Users|workspace|builds?)/[\\w.-]+`);
  assert.deepEqual(linesMatching(pattern, texts), []);
});

test('every Markdown file that is mentioned is in the repository', () => {
  const faults = texts.flatMap(([file, text]) =>
    [...text.matchAll(/(?<![\w:/.-])((?:\.{1,2}\/)*(?:[\w-]+\/)*[\w-]+\.md)\b/g)].flatMap(
      ([, mentioned = '']) => {
        const places = [join(dirname(file), mentioned), mentioned].map((place) => normalize(place));
        return places.some((place) => existsSync(join(root, place))) ? [] : [`${file}: ${mentioned}`];
      },
    ),
  );
  assert.deepEqual(faults, []);
});

test('every link of a document leads to a file', () => {
  const faults = texts
    .filter(([file]) => file.endsWith('.md'))
    .flatMap(([file, text]) =>
      [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)].flatMap(([, target = '']) =>
        existsSync(join(root, dirname(file), target)) ? [] : [`${file}: ${target}`],
      ),
    );
  assert.deepEqual(faults, []);
});

test('the tests themselves see what they forbid', () => {
  assert.equal(linesMatching(/x{3}/, [['a', 'one\nxxx\n']]).length, 1);
});
