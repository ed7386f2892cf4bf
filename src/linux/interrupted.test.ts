/** Interrupted calls and short counts, by interposition: no wrapper of this folder lets its caller see them. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { buildTarget } from '../../test/support/build.ts';
import { startChild } from '../../test/support/child.ts';
import { O_CLOEXEC, O_CREAT, O_RDWR, PAGE_IS_PRESENT, SOCK_STREAM } from './abi.ts';
import { AioQueue } from './aio.ts';
import { ERRNO } from './errno.ts';
import {
  closeFile,
  controlFile,
  fileSystemSpace,
  openFile,
  readFile,
  readFileAt,
  syncFile,
  truncateFile,
  writeFile,
  writeFileAt,
} from './file.ts';
import { MappedMemory } from './memory.ts';
import { interpose, type NativeName } from './native.ts';
import { Pagemap } from './pagemap.ts';
import { ProcFile } from './proc-file.ts';
import { ProcessMemory } from './process-memory.ts';
import { detach, interrupt, seize, WaitStatus } from './ptrace.ts';
import { receiveDescriptor, sendDescriptor, socketPair } from './socket.ts';
import { createUserfaultfd } from './userfaultfd.ts';

const target = buildTarget('waits');
const folder = mkdtempSync(join(tmpdir(), 'livecore-interrupted-'));
after(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'file');
const PAGE = 4096;

/** Runs `action` while each call of `names` fails twice with EINTR before it is let through. */
function interrupted<T>(names: readonly NativeName[], action: () => T): T {
  const reached = new Set<NativeName>();
  interpose((name, original, fail) => {
    if (!names.includes(name)) return original;
    let left = 2;
    return (...args) => {
      reached.add(name);
      if (left-- > 0) return fail(ERRNO.EINTR);
      left = 2;
      return original(...args);
    };
  });
  try {
    return action();
  } finally {
    interpose(undefined);
    assert.deepEqual([...reached].sort(), [...names].sort());
  }
}

/** Runs `action` while the function `name` is asked for at most `most` bytes at a time (its third argument). */
function short<T>(name: NativeName, most: number, action: () => T): T {
  interpose((called, original) =>
    called === name
      ? (first, second, length, ...rest) =>
          original(first!, second!, Math.min(length as number, most), ...rest)
      : original,
  );
  try {
    return action();
  } finally {
    interpose(undefined);
  }
}

test('files', () => {
  using memory = new MappedMemory(PAGE);
  memory.bytes.fill(65);
  const fd = interrupted(['openat'], () => openFile(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600));
  const { address } = memory;
  assert.equal(
    interrupted(['pwrite'], () => writeFileAt(fd, address, 100, 0)),
    100,
  );
  assert.equal(
    interrupted(['pread'], () => readFileAt(fd, address, 100, 0)),
    100,
  );
  assert.equal(
    interrupted(['write'], () => writeFile(fd, address, 100)),
    100,
  );
  assert.equal(
    interrupted(['read'], () => readFile(fd, address, 0)),
    0,
  );
  assert.equal(
    interrupted(['fsync'], () => syncFile(fd)),
    0,
  );
  assert.equal(
    interrupted(['ftruncate'], () => truncateFile(fd, 3)),
    0,
  );
  assert.ok(interrupted(['fcntl'], () => controlFile(fd, 1, 0)) >= 0);
  assert.ok(interrupted(['fstatfs'], () => fileSystemSpace(fd)).blockBytes > 0);
  assert.equal(readFileSync(path, 'utf8'), 'AAA');
  closeFile(fd);
});

test('a write goes on until all is written', () => {
  using memory = new MappedMemory(PAGE);
  for (let index = 0; index < 1000; index++) memory.bytes[index] = index;
  const fd = openFile(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600);
  assert.equal(
    short('pwrite', 7, () => writeFileAt(fd, memory.address, 1000, 50)),
    1000,
  );
  closeFile(fd);
  assert.ok(readFileSync(path).subarray(50).equals(memory.bytes.subarray(0, 1000)));
});

test('a write that makes no progress is an error, not a loop', () => {
  interpose((name, original) => (name === 'pwrite' ? () => 0 : original));
  try {
    assert.equal(writeFileAt(1, 0, 10, 0), -ERRNO.EIO);
  } finally {
    interpose(undefined);
  }
});

test('memory of a process', () => {
  using there = new MappedMemory(4 * PAGE);
  using here = new MappedMemory(4 * PAGE);
  for (let index = 0; index < there.length; index++) there.bytes[index] = index % 251;
  using memory = new ProcessMemory(process.pid);
  const read = (): number => memory.read(there.address, here.address, there.length);
  assert.equal(short('pread', 1000, read), there.length);
  assert.deepEqual(here.bytes, there.bytes);
  assert.equal(interrupted(['pread'], read), there.length);
  here.bytes.fill(3);
  const write = (): number => memory.write(there.address, here.address, there.length);
  assert.equal(short('pwrite', 1000, write), there.length);
  assert.deepEqual(here.bytes, there.bytes);
  assert.equal(interrupted(['pwrite'], write), there.length);
});

test('text of /proc', { skip: target.skip }, async () => {
  // of a process that stands still: interposing maps memory here
  await using child = await startChild(target.path, ['--call', 'pause']);
  using pieces = new ProcFile(`/proc/${child.pid}/maps`);
  using whole = new ProcFile(`/proc/${child.pid}/maps`, { capacityBytes: 1 << 16 });
  assert.ok(whole.read() > 500);
  assert.equal(
    interrupted(['pread'], () => pieces.read()),
    whole.length,
  );
  assert.ok(pieces.equals(whole));
  assert.equal(
    short('pread', 500, () => pieces.read()),
    whole.length,
  );
  assert.ok(pieces.equals(whole));
});

test('scans of a pagemap', () => {
  using memory = new MappedMemory(2 * PAGE, { populate: true });
  using pagemap = new Pagemap('self', { capacity: 4 });
  pagemap.scan(memory.address, memory.address + memory.length, {
    all: PAGE_IS_PRESENT,
    returned: PAGE_IS_PRESENT,
  });
  const count = interrupted(['ioctl'], () => {
    pagemap.rescan(memory.address, memory.address + memory.length);
    return pagemap.nextRegions();
  });
  assert.equal(count, 1);
  assert.equal(pagemap.regionEnd(0), memory.address + memory.length);
});

test('asynchronous writes', () => {
  using memory = new MappedMemory(PAGE);
  using queue = new AioQueue(1, 1);
  const fd = openFile(path, O_RDWR | O_CLOEXEC);
  const result = interrupted(['syscall'], () => {
    queue.setPiece(0, 0, memory.address, 512);
    assert.equal(queue.write(0, fd, 1, 0), 0);
    assert.equal(queue.reap(1), 1);
    return queue.result(0);
  });
  assert.equal(result, 512);
  closeFile(fd);
});

test('descriptors over sockets', () => {
  const [near, far] = socketPair(SOCK_STREAM);
  const received = interrupted(['sendmsg', 'recvmsg'], () => {
    assert.equal(sendDescriptor(near, near), 0);
    const fd = receiveDescriptor(far);
    assert.ok(fd > 2);
    closeFile(fd);
    return fd;
  });
  assert.ok(received > 2);
  closeFile(near);
  closeFile(far);
});

test('messages of a userfaultfd', { skip: process.getuid!() !== 0 && 'needs root' }, () => {
  using protector = createUserfaultfd();
  protector.handshake(0);
  assert.equal(
    interrupted(['read'], () => protector.read()),
    0,
  );
});

test('waiting for a thread', async () => {
  const child = spawn('sleep', ['1000']);
  const pid = child.pid!;
  const status = new WaitStatus();
  assert.equal(seize(pid, 0), 0);
  interrupted(['wait4'], () => status.wait(pid));
  interrupt(pid);
  assert.equal(status.wait(pid, 0), pid);
  assert.ok(status.interrupted);
  detach(pid);
  child.kill('SIGKILL');
  await once(child, 'exit');
});
