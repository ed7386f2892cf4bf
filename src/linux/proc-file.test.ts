import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { buildTarget } from '../../test/support/build.ts';
import { startChild } from '../../test/support/child.ts';
import { LivecoreError } from '../errors.ts';
import { ERRNO } from './errno.ts';
import { isGone, listProc, ProcFile, readProcLink, readProcText } from './proc-file.ts';

const target = buildTarget('waits');

test('a file is read whole, however small the room to begin with', { skip: target.skip }, async () => {
  await using child = await startChild(target.path, ['--call', 'pause']);
  const path = `/proc/${child.pid}/smaps`;
  using small = new ProcFile(path, { capacityBytes: 4096 });
  using large = new ProcFile(path, { capacityBytes: 1 << 20 });
  assert.equal(small.read(), large.read());
  assert.ok(small.length > 4096);
  assert.equal(Buffer.from(small.bytes.subarray(0, small.length)).toString(), readFileSync(path, 'utf8'));
  assert.ok(small.equals(large));
  child.kill('SIGKILL');
  await child.exited;
  assert.equal(small.read(), -ERRNO.ESRCH);
});

test('a change shows', () => {
  // Not our own maps: V8 changes those whenever it likes.
  using before = new ProcFile('/proc/self/comm');
  using after = new ProcFile('/proc/self/comm');
  before.read();
  after.read();
  assert.ok(before.equals(after));
  const own = readFileSync('/proc/self/comm', 'utf8').trimEnd();
  writeFileSync('/proc/self/comm', 'changed');
  after.read();
  writeFileSync('/proc/self/comm', own);
  assert.ok(!before.equals(after));
});

test('what is not there is an error that says so', () => {
  const absent = (error: unknown): boolean =>
    error instanceof LivecoreError &&
    error.code === 'SYSTEM_CALL' &&
    error.errno === ERRNO.ENOENT &&
    isGone(error);
  assert.throws(() => new ProcFile('/proc/0/maps'), absent);
  assert.throws(() => readProcText('/proc/0/maps'), absent);
  assert.throws(() => readProcLink('/proc/0/exe'), absent);
  assert.throws(() => listProc('/proc/0/task'), absent);
  assert.ok(!isGone(new Error('other')));
});
