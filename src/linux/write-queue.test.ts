import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { O_CLOEXEC, O_CREAT, O_DIRECT, O_RDONLY, O_RDWR } from './abi.ts';
import { AioQueue } from './aio.ts';
import { ERRNO } from './errno.ts';
import { closeFile, openFile } from './file.ts';
import { MappedMemory } from './memory.ts';
import { ThreadQueue } from './thread-queue.ts';
import { UringQueue } from './uring.ts';
import { openWriteQueue, type WriteQueue } from './write-queue.ts';

const folder = mkdtempSync(join(tmpdir(), 'livecore-queue-'));
after(() => rmSync(folder, { recursive: true }));
const CHUNK = 64 * 1024;
const DEPTH = 8;
const PIECES = 4;
const memory = new MappedMemory(DEPTH * CHUNK, { populate: true });

const readers = [
  { name: 'io_uring', open: (depth: number): UringQueue => new UringQueue(depth, PIECES) },
  { name: 'AIO', open: (depth: number): AioQueue => new AioQueue(depth, PIECES) },
];
const kinds = [
  ...readers,
  { name: 'a thread', open: (depth: number): ThreadQueue => new ThreadQueue(depth, PIECES) },
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
    const readOnly = openFile(join(folder, `all-${name}`), O_RDONLY | O_CLOEXEC);
    const full = openFile('/dev/full', O_RDWR | O_CLOEXEC);
    using queue = open(1);
    const outcome = (fd: number): number => {
      const begun = write(queue, 0, fd, memory.address, CHUNK, 0);
      if (begun < 0) return begun;
      assert.equal(queue.reap(1), 1);
      return queue.result(0);
    };
    assert.equal(outcome(-1), -ERRNO.EBADF);
    assert.equal(outcome(readOnly), -ERRNO.EBADF);
    closeFile(readOnly);
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

for (const kind of readers) {
  test(`what was written is read, a read beyond the end is short: ${kind.name}`, () => {
    const fd = create(`read-${kind.name}`);
    using queue = kind.open(2);
    memory.bytes.fill(9, 0, CHUNK);
    write(queue, 0, fd, memory.address, CHUNK, 0);
    assert.equal(queue.reap(1), 1);
    assert.equal(readBack(queue, 1, fd, memory.address + CHUNK, 2 * CHUNK), 0);
    assert.equal(queue.reap(1), 1);
    assert.deepEqual([queue.slot(0), queue.result(0)], [1, CHUNK]);
    assert.ok(memory.bytes.subarray(CHUNK, 2 * CHUNK).every((byte) => byte === 9));
    closeFile(fd);
  });
}

test('direct writes are those of io_uring where it is allowed; others have a thread', () => {
  const allowed = readFileSync('/proc/sys/kernel/io_uring_disabled', 'utf8').trim() === '0';
  const direct = openFile(join(folder, 'direct'), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0o600);
  if (direct >= 0) {
    using queue = openWriteQueue(direct, 1, 1);
    assert.equal(queue instanceof UringQueue, allowed);
    closeFile(direct);
  }
  const plain = openFile(join(folder, 'plain'), O_RDWR | O_CREAT | O_CLOEXEC, 0o600);
  using queue = openWriteQueue(plain, 1, 1);
  assert.ok(queue instanceof ThreadQueue);
  closeFile(plain);
});

test('the thread has a descriptor table of its own, without those up to the one named', async () => {
  const fd = create('table');
  using queue = new ThreadQueue(1, 1, 2);
  const later = openFile('/dev/null', O_RDWR | O_CLOEXEC);
  write(queue, 0, fd, memory.address, CHUNK, 0);
  assert.equal(queue.reap(1), 1);
  const tables = readdirSync('/proc/self/task').map((tid) => {
    const table = readdirSync(`/proc/self/task/${tid}/fd`).map(Number);
    return { first: Math.min(...table), later: table.includes(later) };
  });
  assert.deepEqual(
    tables.filter((table) => !table.later),
    [{ first: 3, later: false }],
  );
  closeFile(later);
  closeFile(fd);
});

test('writes of more requests than slots, one after the other, keep their order', () => {
  const fd = create('order');
  using queue = new ThreadQueue(3, 2);
  memory.bytes.fill(1, 0, CHUNK);
  const COUNT = 1000;
  let reported = 0;
  const slots = [0, 1, 2];
  for (let request = 0; request < COUNT; request++) {
    if (slots.length === 0) {
      const count = queue.reap(1);
      for (let index = 0; index < count; index++) {
        assert.equal(queue.slot(index), reported++ % 3);
        assert.equal(queue.result(index), 4096);
        slots.push(queue.slot(index));
      }
    }
    const slot = slots.shift()!;
    assert.equal(slot, request % 3);
    assert.equal(write(queue, slot, fd, memory.address, 4096, request * 4096), 0);
    if (slots.length === 0) assert.equal(write(queue, 0, fd, memory.address, 4096, 0), -ERRNO.EAGAIN);
  }
  while (queue.pending > 0) reported += queue.reap(1);
  assert.equal(reported, COUNT);
  assert.equal(readFileSync(join(folder, 'order')).length, COUNT * 4096);
  closeFile(fd);
});

test("a file that is kept is the thread's alone: what it occupies is asked of the thread, and it comes back", async () => {
  const fd = create('kept');
  using queue = new ThreadQueue(1, 1, 2);
  const inode = readlinkSync(`/proc/self/fd/${fd}`);
  queue.keep(fd);
  assert.equal(readlinkSync(`/proc/self/fd/${fd}`), '/dev/null');
  assert.equal(queue.occupied(fd), 0);
  assert.equal(write(queue, 0, fd, memory.address, CHUNK, 0), 0);
  assert.equal(queue.reap(1), 1);
  assert.equal(queue.result(0), CHUNK);
  for (const end = Date.now() + 10_000; queue.occupied(fd) < CHUNK; await sleep(1))
    assert.ok(Date.now() < end, `${queue.occupied(fd)}`);
  queue.giveBack(fd);
  assert.equal(readlinkSync(`/proc/self/fd/${fd}`), inode);
  assert.ok(queue.occupied(fd) >= CHUNK);
  closeFile(fd);
});
