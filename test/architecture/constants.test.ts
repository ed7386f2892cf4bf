/** A constant of the kernel is defined once, in src/linux: a second definition is one that can differ. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { read, sourcesUnder } from './sources.ts';

interface Constant {
  readonly file: string;
  readonly name: string;
  /** undefined where it is not a plain number */
  readonly value: number | undefined;
}

/** The constants of a text: `const NAME = 0x1234`, with or without export, type, n or underscores. */
function constantsIn(file: string, text: string): Constant[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const declarations = code.matchAll(
    /\bconst ([A-Z][A-Z0-9_]+)(?:\s*:\s*[\w<> ]+)? = (?:([\dA-Fa-fx_]+)n?;)?/g,
  );
  return [...declarations].map(([, name = '', value]) => ({
    file,
    name,
    value: value === undefined ? undefined : Number(value.replaceAll('_', '')),
  }));
}

/** Numbers that say nothing by themselves: small ones, round ones, sizes. */
function isTelling(value: number | undefined): value is number {
  if (value === undefined || value < 0x1000 || value % 1000 === 0) return false;
  return !Number.isInteger(Math.log2(value)) && !Number.isInteger(Math.log2(value + 1));
}

function duplicatesIn(constants: readonly Constant[], isAbi: (file: string) => boolean): string[] {
  const abi = constants.filter(({ file }) => isAbi(file));
  return constants.flatMap(({ file, name, value }, index) => {
    const twin = abi.find((other) => {
      if (constants.indexOf(other) >= index && isAbi(file)) return false;
      if (other.file === file) return false;
      return other.name === name || (isTelling(value) && other.value === value);
    });
    return twin === undefined ? [] : [`${name} of ${file} is ${twin.name} of ${twin.file}`];
  });
}

const isAbi = (file: string): boolean => /^src\/linux\/[\w-]*abi[\w-]*\.ts$/.test(file);
const files = ['src', 'scripts', 'bench'].flatMap(sourcesUnder).filter((file) => !file.endsWith('.test.ts'));

test('no constant of the kernel is defined twice', () => {
  assert.deepEqual(
    duplicatesIn(
      files.flatMap((file) => constantsIn(file, read(file))),
      isAbi,
    ),
    [],
  );
});

test('the test itself sees a twin by name and a twin by number', () => {
  const texts: [string, string][] = [
    ['src/linux/abi.ts', 'export const UFFDIO_API: number = 0xc018_aa3f;\nexport const PAGE = 4096;\n'],
    ['src/cli/a.ts', 'const API_CALL = 0xc018aa3f;\n'],
    ['src/cli/b.ts', 'const UFFDIO_API = 1;\nconst BLOCK = 4096;\n'],
  ];
  const constants = texts.flatMap(([file, text]) => constantsIn(file, text));
  assert.deepEqual(duplicatesIn(constants, isAbi), [
    'API_CALL of src/cli/a.ts is UFFDIO_API of src/linux/abi.ts',
    'UFFDIO_API of src/cli/b.ts is UFFDIO_API of src/linux/abi.ts',
  ]);
});
