import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LivecoreError } from '../errors.ts';
import { O_RDONLY } from './abi.ts';
import { ERRNO, errnoName } from './errno.ts';
import { check } from './failure.ts';
import { closeFile, openFile, readFile } from './file.ts';
import { MappedMemory } from './memory.ts';
import { errno, interpose, libc, type NativeName } from './native.ts';

test('a failed call leaves its error number', () => {
  assert.equal(libc.close(-1), -1);
  assert.equal(errno(), ERRNO.EBADF);
});

test('strings reach C as UTF-8', () => {
  assert.equal(openFile('/dev/nüll', O_RDONLY), -ERRNO.ENOENT);
  const fd = openFile('/dev/null', O_RDONLY);
  assert.ok(fd > 2);
  assert.equal(closeFile(fd), 0);
});

test('an interposer stands before the functions it chooses, until it is removed', () => {
  const seen: NativeName[] = [];
  using memory = new MappedMemory(4096);
  const fd = openFile('/dev/zero', O_RDONLY);
  let interruptions = 2;
  interpose((name, original, fail) => {
    if (name === 'read') return (...args) => (interruptions-- > 0 ? fail(ERRNO.EINTR) : original(...args));
    return (...args) => {
      seen.push(name);
      return original(...args);
    };
  });
  try {
    // both EINTR are handled by the wrapper
    assert.equal(readFile(fd, memory.address, 100), 100);
    assert.equal(interruptions, -1);
    interpose((name, original, fail) => (name === 'read' ? () => fail(ERRNO.EIO) : original));
    assert.equal(readFile(fd, memory.address, 100), -ERRNO.EIO);
  } finally {
    interpose(undefined);
  }
  assert.equal(readFile(fd, memory.address, 100), 100);
  seen.length = 0;
  closeFile(fd);
  assert.deepEqual(seen, []);
});

test('a failure names the action, the call and the error', () => {
  assert.equal(check(7, 'read', 'read'), 7);
  assert.throws(
    () => check(-ERRNO.ESRCH, 'open /proc/5/mem', 'openat', { pid: 5 }),
    (error: unknown) => {
      assert.ok(error instanceof LivecoreError);
      assert.equal(error.message, 'open /proc/5/mem: openat failed with ESRCH');
      assert.deepEqual([error.code, error.pid, error.errno, error.syscall], ['SYSTEM_CALL', 5, 3, 'openat']);
      return true;
    },
  );
  assert.equal(errnoName(4000), 'errno 4000');
});
