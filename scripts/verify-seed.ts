/**
 * `npm run verify:seed [-- --only TEXT]`: shows that every row of docs/seed.md has a test that can fail. In a copy of
 * the sources each row's line is broken, alone, and its test is run: it has to fail, by name, and to pass unbroken.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Row } from './seed/row.ts';
import { ROWS } from './seed/rows.ts';

const LONGEST_MS = 120_000;
const root = join(import.meta.dirname, '..');
const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } });

/** What became of the tests of a file: names that passed, and names that failed. */
interface Results {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
}

/** Runs a file's tests, or those of it whose name begins as given, in the copy. */
function runTests(copy: string, file: string, name?: string): Results {
  const pattern =
    name === undefined ? [] : ['--test-name-pattern', name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')];
  // In one process: one that hangs can then be ended.
  const flags = ['--test', '--test-isolation=none', '--test-reporter=tap', ...pattern];
  const { stdout, error } = spawnSync(process.execPath, [...flags, file], {
    cwd: copy,
    encoding: 'utf8',
    timeout: LONGEST_MS,
    killSignal: 'SIGKILL',
    maxBuffer: 1 << 28,
  });
  if (error !== undefined) console.log(`${file}: ${name}: ${error.message}`);
  const results = { passed: [] as string[], failed: [] as string[] };
  for (const [, not, test = ''] of stdout.matchAll(/^\s*(not )?ok \d+ - (.*)$/gm)) {
    // A test that was passed over for its name is none that passed.
    if (/# SKIP|# TODO/.test(test)) continue;
    results[not === undefined ? 'passed' : 'failed'].push(test.replaceAll(/\\(.)/g, '$1'));
  }
  return results;
}

/** What is wrong with a row, or undefined. */
function faultOf(copy: string, row: Row, unbroken: Results): string | undefined {
  const named = (tests: readonly string[]): boolean => tests.some((test) => test.startsWith(row.test));
  if (named(unbroken.failed)) return 'its test fails unbroken';
  if (!named(unbroken.passed)) return 'it has no such test';
  const path = join(copy, 'src', row.file);
  const source = readFileSync(path, 'utf8');
  const parts = source.split(row.from);
  if (parts.length !== 2) return `its line stands ${parts.length - 1} times in src/${row.file}`;
  try {
    writeFileSync(path, parts.join(row.to));
    return named(runTests(copy, row.testFile, row.test).failed)
      ? undefined
      : 'its test passes with the line broken';
  } finally {
    writeFileSync(path, source);
  }
}

const rows = ROWS.filter((row) => `${row.place}: ${row.statement}`.includes(values.only));
if (rows.length === 0) {
  console.error(`verify:seed: no row has "${values.only}" in its place and statement`);
  process.exit(2);
}
const copy = mkdtempSync(join(tmpdir(), 'livecore-seed-'));
let faults = 0;
try {
  for (const folder of ['src', 'test', 'scripts', 'package.json']) {
    cpSync(join(root, folder), join(copy, folder), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  const unbroken = new Map<string, Results>();
  for (const row of rows) {
    if (!unbroken.has(row.testFile)) unbroken.set(row.testFile, runTests(copy, row.testFile));
    const fault = faultOf(copy, row, unbroken.get(row.testFile)!);
    if (fault === undefined) continue;
    faults++;
    console.log(`${row.place}: ${row.statement}: ${fault}`);
  }
  console.log(
    `${rows.length} rows, ${rows.length - faults} of them with a test that fails when their line is broken`,
  );
} finally {
  rmSync(copy, { recursive: true });
}
process.exitCode = faults === 0 ? 0 : 1;
