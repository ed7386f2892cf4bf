import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { O_CLOEXEC, O_CREAT, O_DIRECT, O_RDONLY, O_RDWR } from './abi.ts';
import { AioQueue } from './aio.ts';
import { ERRNO } from './errno.ts';
import { closeFile, openFile } from './file.ts';
import { MappedMemory } from './memory.ts';

const folder = mkdtempSync(join(tmpdir(), 'livecore-aio-'));
after(() => rmSync(folder, { recursive: true }));
const CHUNK = 64 * 1024;
const DEPTH = 8;
const memory = new MappedMemory(DEPTH * CHUNK, { populate: true });

/** O_DIRECT where the file system has it. */
function create(name: string): number {
  const path = join(folder, name);
  const direct = openFile(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0o600);
  return direct >= 0 ? direct : openFile(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600);
}

test('writes of all slots arrive whole, whatever the order', () => {
  const fd = create('all');
  using queue = new AioQueue(DEPTH);
  assert.equal(queue.reap(), 0);
  for (let slot = 0; slot < DEPTH; slot++) {
    memory.bytes.fill(slot + 1, slot * CHUNK, (slot + 1) * CHUNK);
    // the last slot first in the file
    const offset = (DEPTH - 1 - slot) * CHUNK;
    assert.equal(queue.write(slot, fd, memory.address + slot * CHUNK, CHUNK, offset), 0);
  }
  assert.equal(queue.pending, DEPTH);
  const slots = new Set<number>();
  while (queue.pending > 0) {
    const count = queue.reap(1);
    assert.ok(count >= 1);
    for (let index = 0; index < count; index++) {
      assert.equal(queue.result(index), CHUNK);
      slots.add(queue.slot(index));
    }
  }
  assert.equal(slots.size, DEPTH);
  const content = readFileSync(join(folder, 'all'));
  assert.equal(content.length, DEPTH * CHUNK);
  for (let slot = 0; slot < DEPTH; slot++) {
    const offset = (DEPTH - 1 - slot) * CHUNK;
    assert.ok(content.subarray(offset, offset + CHUNK).every((byte) => byte === slot + 1));
  }
  closeFile(fd);
});

test('what was written is read, a read beyond the end is short', () => {
  const fd = create('read');
  using queue = new AioQueue(2);
  memory.bytes.fill(9, 0, CHUNK);
  queue.write(0, fd, memory.address, CHUNK, 0);
  assert.equal(queue.reap(1), 1);
  assert.equal(queue.read(1, fd, memory.address + CHUNK, 2 * CHUNK, 0), 0);
  assert.equal(queue.reap(1), 1);
  assert.deepEqual([queue.slot(0), queue.result(0)], [1, CHUNK]);
  assert.ok(memory.bytes.subarray(CHUNK, 2 * CHUNK).every((byte) => byte === 9));
  closeFile(fd);
});

test('waiting for more than is under way waits for what is', () => {
  const fd = create('more');
  using queue = new AioQueue(4);
  queue.write(0, fd, memory.address, CHUNK, 0);
  queue.write(1, fd, memory.address, CHUNK, CHUNK);
  assert.equal(queue.reap(4), 2);
  assert.equal(queue.reap(4), 0);
  closeFile(fd);
});

test('errors are told: at once, or in the report', () => {
  using queue = new AioQueue(1);
  assert.equal(queue.write(0, -1, memory.address, CHUNK, 0), -ERRNO.EBADF);
  assert.equal(queue.pending, 0);
  const readOnly = openFile(join(folder, 'all'), O_RDONLY | O_CLOEXEC);
  assert.equal(queue.write(0, readOnly, memory.address, CHUNK, 0), -ERRNO.EBADF);
  closeFile(readOnly);
  const full = openFile('/dev/full', O_RDWR | O_CLOEXEC);
  const begun = queue.write(0, full, memory.address, CHUNK, 0);
  if (begun === 0) {
    assert.equal(queue.reap(1), 1);
    assert.equal(queue.result(0), -ERRNO.ENOSPC);
  } else assert.equal(begun, -ERRNO.EINVAL);
  closeFile(full);
  assert.throws(() => new AioQueue(0), { code: 'SYSTEM_CALL', syscall: 'io_setup', errno: ERRNO.EINVAL });
});

test('disposal waits for what is under way', () => {
  const fd = create('disposed');
  {
    using queue = new AioQueue(DEPTH);
    for (let slot = 0; slot < DEPTH; slot++) {
      memory.bytes.fill(7, slot * CHUNK, (slot + 1) * CHUNK);
      queue.write(slot, fd, memory.address + slot * CHUNK, CHUNK, slot * CHUNK);
    }
  }
  const content = readFileSync(join(folder, 'disposed'));
  assert.equal(content.length, DEPTH * CHUNK);
  assert.ok(content.every((byte) => byte === 7));
  closeFile(fd);
});
