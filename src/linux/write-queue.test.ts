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
import { UringQueue } from './uring.ts';
import { openWriteQueue, type WriteQueue } from './write-queue.ts';

const folder = mkdtempSync(join(tmpdir(), 'livecore-aio-'));
after(() => rmSync(folder, { recursive: true }));
const CHUNK = 64 * 1024;
const DEPTH = 8;
const PIECES = 4;
const memory = new MappedMemory(DEPTH * CHUNK, { populate: true });

const kinds = [
  { name: 'io_uring', open: (depth: number): UringQueue => new UringQueue(depth, PIECES) },
  { name: 'AIO', open: (depth: number): AioQueue => new AioQueue(depth, PIECES) },
];

/** One piece. */
function write(
  queue: WriteQueue,
  slot: number,
  fd: number,
  address: number,
  length: number,
  at: number,
): number {
  queue.setPiece(slot, 0, address, length);
  return queue.write(slot, fd, 1, at);
}

function readBack(
  queue: UringQueue | AioQueue,
  slot: number,
  fd: number,
  address: number,
  length: number,
): number {
  queue.setPiece(slot, 0, address, length);
  return queue.read(slot, fd, 1, 0);
}

/** O_DIRECT where the file system has it. */
function create(name: string): number {
  const path = join(folder, name);
  const direct = openFile(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0o600);
  return direct >= 0 ? direct : openFile(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600);
}

for (const { name, open } of kinds) {
  test(`writes of all slots arrive whole, whatever the order: ${name}`, () => {
    const fd = create(`all-${name}`);
    using queue = open(DEPTH);
    assert.equal(queue.reap(), 0);
    for (let slot = 0; slot < DEPTH; slot++) {
      memory.bytes.fill(slot + 1, slot * CHUNK, (slot + 1) * CHUNK);
      // the last slot first in the file
      const offset = (DEPTH - 1 - slot) * CHUNK;
      assert.equal(write(queue, slot, fd, memory.address + slot * CHUNK, CHUNK, offset), 0);
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
    const content = readFileSync(join(folder, `all-${name}`));
    assert.equal(content.length, DEPTH * CHUNK);
    for (let slot = 0; slot < DEPTH; slot++) {
      const offset = (DEPTH - 1 - slot) * CHUNK;
      assert.ok(content.subarray(offset, offset + CHUNK).every((byte) => byte === slot + 1));
    }
    closeFile(fd);
  });

  test(`what was written is read, a read beyond the end is short: ${name}`, () => {
    const fd = create(`read-${name}`);
    using queue = open(2);
    memory.bytes.fill(9, 0, CHUNK);
    write(queue, 0, fd, memory.address, CHUNK, 0);
    assert.equal(queue.reap(1), 1);
    assert.equal(readBack(queue, 1, fd, memory.address + CHUNK, 2 * CHUNK), 0);
    assert.equal(queue.reap(1), 1);
    assert.deepEqual([queue.slot(0), queue.result(0)], [1, CHUNK]);
    assert.ok(memory.bytes.subarray(CHUNK, 2 * CHUNK).every((byte) => byte === 9));
    closeFile(fd);
  });

  test(`waiting for more than is under way waits for what is: ${name}`, () => {
    const fd = create(`more-${name}`);
    using queue = open(4);
    write(queue, 0, fd, memory.address, CHUNK, 0);
    write(queue, 1, fd, memory.address, CHUNK, CHUNK);
    assert.equal(queue.reap(4), 2);
    assert.equal(queue.reap(4), 0);
    closeFile(fd);
  });

  test(`errors are told: at once, or in the report: ${name}`, () => {
    using queue = open(1);
    const outcome = (fd: number): number => {
      const begun = write(queue, 0, fd, memory.address, CHUNK, 0);
      if (begun < 0) return begun;
      assert.equal(queue.reap(1), 1);
      return queue.result(0);
    };
    assert.equal(outcome(-1), -ERRNO.EBADF);
    const readOnly = openFile(join(folder, `all-${name}`), O_RDONLY | O_CLOEXEC);
    assert.equal(outcome(readOnly), -ERRNO.EBADF);
    closeFile(readOnly);
    const full = openFile('/dev/full', O_RDWR | O_CLOEXEC);
    assert.ok([-ERRNO.ENOSPC, -ERRNO.EINVAL].includes(outcome(full)));
    closeFile(full);
    assert.equal(queue.pending, 0);
    assert.throws(() => open(0), { code: 'SYSTEM_CALL', errno: ERRNO.EINVAL });
  });

  test(`disposal waits for what is under way: ${name}`, () => {
    const fd = create(`disposed-${name}`);
    {
      using queue = open(DEPTH);
      for (let slot = 0; slot < DEPTH; slot++) {
        memory.bytes.fill(7, slot * CHUNK, (slot + 1) * CHUNK);
        write(queue, slot, fd, memory.address + slot * CHUNK, CHUNK, slot * CHUNK);
      }
    }
    const content = readFileSync(join(folder, `disposed-${name}`));
    assert.equal(content.length, DEPTH * CHUNK);
    assert.ok(content.every((byte) => byte === 7));
    closeFile(fd);
  });

  test(`pieces are gathered in their order: ${name}`, () => {
    const fd = create(`gathered-${name}`);
    using queue = open(2);
    for (let piece = 0; piece < PIECES; piece++) {
      memory.bytes.fill(piece + 1, piece * CHUNK, (piece + 1) * CHUNK);
      // the last piece of memory comes first
      queue.setPiece(1, PIECES - 1 - piece, memory.address + piece * CHUNK, CHUNK);
    }
    assert.equal(queue.write(1, fd, PIECES, CHUNK), 0);
    assert.equal(queue.reap(1), 1);
    assert.deepEqual([queue.slot(0), queue.result(0)], [1, PIECES * CHUNK]);
    const content = readFileSync(join(folder, `gathered-${name}`));
    assert.equal(content.length, (PIECES + 1) * CHUNK);
    for (let piece = 0; piece < PIECES; piece++) {
      const at = CHUNK * (PIECES - piece);
      assert.ok(content.subarray(at, at + CHUNK).every((byte) => byte === piece + 1));
    }
    closeFile(fd);
  });
}

test('where io_uring is allowed, it is taken', () => {
  using queue = openWriteQueue(1, 1);
  const allowed = readFileSync('/proc/sys/kernel/io_uring_disabled', 'utf8').trim() === '0';
  assert.equal(queue instanceof UringQueue, allowed);
});
