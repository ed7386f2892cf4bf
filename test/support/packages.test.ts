import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { findProgram, requireProgram } from './packages.ts';

test('a program that is there is found by an absolute path that runs', () => {
  const shell = requireProgram('sh', 'dash');
  assert.equal(shell.skip, false);
  assert.match(shell.path, /^\//);
  assert.equal(spawnSync(shell.path, ['-c', 'exit 7']).status, 7);
});

test('a program that no package brings is a reason to skip, with the cure', () => {
  const missing = requireProgram('livecore-no-such-program', 'livecore-no-such-package');
  assert.ok(missing.skip);
  assert.match(missing.skip, /apt-get install livecore-no-such-package$/);
  assert.equal(missing.path, 'livecore-no-such-program');
});

test('a folder or a file that may not run is not a program', () => {
  assert.equal(findProgram('../../etc/passwd'), undefined);
  assert.equal(findProgram('.'), undefined);
});
