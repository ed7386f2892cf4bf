/** Importing livecore must be cheap and safe anywhere: the native library is loaded by the first call that needs it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { importsOf, root, sourcesUnder } from './sources.ts';

/** Files that start something when imported; what they import is imported here by its own name. */
const entries = ['src/cli/main.ts', 'src/loop/main.ts', 'src/linux/write-thread.ts'];

/** Imports the files in a fresh Node in which to resolve koffi is an error; returns what was said. */
function importAll(files: readonly string[], extra = ''): string {
  const program = `
    import { registerHooks } from 'node:module';
    registerHooks({ resolve(specifier, context, next) {
      if (specifier === 'koffi') throw new Error('koffi loaded by ' + context.parentURL);
      return next(specifier, context);
    } });
    ${extra}
    for (const file of ${JSON.stringify(files)}) await import(file);`;
  const { stderr, stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: root,
    encoding: 'utf8',
  });
  return status === 0 ? `${stdout}${stderr}` : `exit ${status}: ${stderr}`;
}

test('no module of src loads koffi, or says anything, when it is imported', () => {
  const files = sourcesUnder('src').filter((file) => !file.endsWith('.test.ts') && !entries.includes(file));
  assert.equal(importAll(files.map((file) => join(root, file))), '');
  assert.deepEqual(
    entries.flatMap(importsOf).filter(({ to }) => to === 'koffi'),
    [],
  );
});

test('the test itself sees a module that does', () => {
  assert.match(importAll([], "await import('koffi');"), /koffi loaded by/);
});
