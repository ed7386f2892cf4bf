import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { LivecoreError } from '../errors.ts';
import { PROT_NONE, PROT_READ } from './abi.ts';
import { ERRNO } from './errno.ts';
import { MappedMemory } from './memory.ts';
import { libc } from './native.ts';
import { ProcessMemory } from './process-memory.ts';

const PAGE = 4096;

test('memory is read and written by address, whatever its protection', () => {
  using process_ = new ProcessMemory(process.pid);
  using there = new MappedMemory(4 * PAGE);
  using here = new MappedMemory(4 * PAGE);
  there.bytes.fill(3);
  libc.mprotect(there.address, PAGE, PROT_NONE);
  libc.mprotect(there.address + PAGE, PAGE, PROT_READ);
  assert.equal(process_.read(there.address + 10, here.address, 3 * PAGE), 3 * PAGE);
  assert.ok(here.bytes.subarray(0, 3 * PAGE).every((byte) => byte === 3));
  assert.equal(here.bytes[3 * PAGE], 0);
  here.bytes.fill(4);
  assert.equal(process_.write(there.address + PAGE - 5, here.address, 10), 10);
  libc.mprotect(there.address, PAGE, PROT_READ);
  assert.deepEqual([...there.bytes.subarray(PAGE - 6, PAGE + 6)], [3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 3]);
});

test('a hole ends the read where it begins', () => {
  using process_ = new ProcessMemory(process.pid);
  const there = new MappedMemory(3 * PAGE);
  using here = new MappedMemory(3 * PAGE);
  there.bytes.fill(5);
  libc.munmap(there.address + PAGE, PAGE);
  assert.equal(process_.read(there.address + 100, here.address, 3 * PAGE - 100), PAGE - 100);
  assert.ok(here.bytes.subarray(0, PAGE - 100).every((byte) => byte === 5));
  assert.equal(process_.read(there.address + PAGE, here.address, 10), -ERRNO.EIO);
  assert.equal(process_.write(there.address + PAGE, here.address, 10), -ERRNO.EIO);
  assert.equal(process_.write(there.address + PAGE - 10, here.address, 20), 10);
  libc.munmap(there.address, PAGE);
  libc.munmap(there.address + 2 * PAGE, PAGE);
});

test('a process that is gone has no bytes, and one that never was is an error', async () => {
  const child = spawn('sleep', ['1000']);
  const pid = child.pid!;
  using memory = new ProcessMemory(pid);
  using here = new MappedMemory(PAGE);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(memory.read(0x10000, here.address, 10), 0);
  assert.throws(
    () => new ProcessMemory(pid),
    (error: unknown) => error instanceof LivecoreError && error.errno === ERRNO.ENOENT && error.pid === pid,
  );
});
