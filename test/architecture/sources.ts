/** Reads this repository's sources for the tests of its shape. */
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

export const root: string = join(import.meta.dirname, '../..');

/** One import, static or dynamic, of types or of values. */
export interface Import {
  /** path of the importing file from the repository's root */
  readonly from: string;
  /** path of the imported file from the root for a relative import, the bare specifier otherwise */
  readonly to: string;
}

/** The TypeScript files under a folder, as paths from the root. */
export function sourcesUnder(folder: string): string[] {
  return globSync(`${folder}/**/*.ts`, { cwd: root }).sort();
}

/** The text of a file of this repository. */
export function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

/** Every import of a file. */
export function importsOf(file: string): Import[] {
  return importsIn(file, read(file));
}

/** Every import in a text, found where the language puts them: after from, import and import(. */
export function importsIn(file: string, text: string): Import[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const specifiers = code.matchAll(
    /(?:\bfrom\s+|\bimport\s+|\bimport\s*\(\s*|\brequire\s*\(\s*)(['"])([^'"\n]+)\1/g,
  );
  return [...specifiers].map(([, , specifier = '']) => ({
    from: file,
    to: specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : specifier,
  }));
}

/** Every file that git knows or would take, as paths from the root. */
export function trackedFiles(): string[] {
  const list = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
    cwd: root,
  });
  return list.toString('utf8').split('\0').filter(Boolean);
}
