/**
 * `npm test`: installs what the tests use and runs all of them, a process a file.
 * `npm test -- FILE...` runs only these files; arguments that start with a dash go to `node --test`.
 */
import { spawnSync } from 'node:child_process';
import { preparePrograms } from './programs.ts';

const everything = ['src', 'test', 'scripts', 'bench'].map((folder) => `${folder}/**/*.test.ts`);

const given = process.argv.slice(2);
const flags = given.filter((argument) => argument.startsWith('-'));
const files = given.filter((argument) => !argument.startsWith('-'));

if (files.length === 0) for (const missing of preparePrograms()) console.log(`npm test: ${missing}`);
if (process.getuid?.() !== 0) console.log('npm test: not root; tests that need it skip and say so');

const { status } = spawnSync(
  process.execPath,
  [
    '--test',
    '--test-reporter=spec',
    // A file that hangs must not hang the whole run; the longest takes a few minutes.
    '--test-timeout=900000',
    // One file at a time: many of them hold a target and its clock, and would disturb each other.
    '--test-concurrency=1',
    ...flags,
    ...(files.length > 0 ? files : everything),
  ],
  { stdio: 'inherit' },
);
process.exitCode = status ?? 1;
