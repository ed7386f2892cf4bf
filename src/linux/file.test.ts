import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  F_GETFL,
  F_SETFL,
  FALLOC_FL_KEEP_SIZE,
  O_CLOEXEC,
  O_DIRECT,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
} from './abi.ts';
import { ERRNO } from './errno.ts';
import {
  allocateFile,
  closeFile,
  controlFile,
  directAlignment,
  fileSystemSpace,
  linkFile,
  openFile,
  readFileAt,
  renameFileExclusive,
  syncDirectory,
  syncFile,
  truncateFile,
  unlinkFile,
  writeFileAt,
} from './file.ts';
import { MappedMemory } from './memory.ts';

const folder = mkdtempSync(join(tmpdir(), 'livecore-file-'));
after(() => rmSync(folder, { recursive: true }));
const memory = new MappedMemory(1 << 20, { populate: true });
const path = (name: string): string => join(folder, name);
/** A file without a name, or undefined where the file system has none (overlay on old kernels). */
const unnamed = openFile(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0o600);

test('errors are negative numbers', () => {
  assert.equal(openFile(path('nothing'), O_RDONLY), -ERRNO.ENOENT);
  assert.equal(closeFile(-1), -ERRNO.EBADF);
  assert.equal(readFileAt(-1, memory.address, 1, 0), -ERRNO.EBADF);
  assert.equal(writeFileAt(-1, memory.address, 1, 0), -ERRNO.EBADF);
  assert.equal(syncFile(-1), -ERRNO.EBADF);
});

test('an unnamed file gets a name that did not exist', { skip: unnamed < 0 && 'no O_TMPFILE here' }, () => {
  memory.bytes.fill(65, 0, 10_000);
  assert.equal(writeFileAt(unnamed, memory.address, 10_000, 5_000), 10_000);
  assert.equal(syncFile(unnamed), 0);
  writeFileSync(path('taken'), 'other');
  assert.equal(linkFile(unnamed, path('taken')), -ERRNO.EEXIST);
  assert.equal(linkFile(unnamed, path('free')), 0);
  assert.equal(syncDirectory(folder), 0);
  const content = readFileSync(path('free'));
  assert.equal(content.length, 15_000);
  assert.ok(content.subarray(0, 5_000).every((byte) => byte === 0));
  assert.ok(content.subarray(5_000).every((byte) => byte === 65));
  assert.equal(statSync(path('free')).mode & 0o777, 0o600);
  assert.equal(readFileSync(path('taken'), 'utf8'), 'other');
});

test('an exclusive rename replaces nothing', () => {
  writeFileSync(path('from'), 'from');
  writeFileSync(path('there'), 'there');
  assert.equal(renameFileExclusive(path('from'), path('there')), -ERRNO.EEXIST);
  assert.equal(readFileSync(path('there'), 'utf8'), 'there');
  assert.equal(renameFileExclusive(path('from'), path('new')), 0);
  assert.ok(!existsSync(path('from')));
  assert.equal(unlinkFile(path('new')), 0);
  assert.ok(!existsSync(path('new')));
});

test('files are cut, extended and reserved', () => {
  writeFileSync(path('sized'), 'abcdef');
  const fd = openFile(path('sized'), O_RDWR | O_CLOEXEC);
  assert.equal(truncateFile(fd, 3), 0);
  assert.equal(readFileSync(path('sized'), 'utf8'), 'abc');
  assert.equal(allocateFile(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20), 0);
  assert.equal(statSync(path('sized')).size, 3);
  assert.ok(statSync(path('sized')).blocks * 512 >= 1 << 20);
  assert.equal(truncateFile(fd, 100), 0);
  assert.equal(readFileAt(fd, memory.address, 200, 0), 100);
  assert.equal(readFileAt(fd, memory.address, 200, 100), 0);
  closeFile(fd);
});

test('flags of a descriptor are read and set', () => {
  const fd = openFile('/dev/null', O_RDONLY | O_CLOEXEC);
  assert.equal(controlFile(fd, F_GETFL, 0) & O_NONBLOCK, 0);
  assert.equal(controlFile(fd, F_SETFL, O_NONBLOCK), 0);
  assert.notEqual(controlFile(fd, F_GETFL, 0) & O_NONBLOCK, 0);
  closeFile(fd);
});

test('free space is what df says', () => {
  const fd = openFile(folder, O_RDONLY | O_CLOEXEC);
  const { availableBytes, blockBytes } = fileSystemSpace(fd);
  const df = Number(
    execFileSync('df', ['--output=avail', '-B1', folder], { encoding: 'utf8' }).split('\n')[1],
  );
  closeFile(fd);
  // others write to this disk too
  assert.ok(Math.abs(df - availableBytes) < 2 ** 30, `${df} ${availableBytes}`);
  assert.equal(Math.log2(blockBytes) % 1, 0);
});

test('a stated alignment is enough for direct writes, and one byte off it is refused', (context) => {
  const fd = openFile(folder, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0o600);
  if (fd < 0) return context.skip('no O_DIRECT here');
  const alignment = directAlignment(fd);
  if (alignment <= 0) return context.skip(`alignment not stated: ${alignment}`);
  assert.equal(writeFileAt(fd, memory.address + alignment, alignment, alignment), alignment);
  assert.equal(writeFileAt(fd, memory.address, alignment - 1, 0), -ERRNO.EINVAL);
  closeFile(fd);
});
