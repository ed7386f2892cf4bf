import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { MAP_PRIVATE, O_CLOEXEC, O_RDONLY, PROT_READ } from './abi.ts';
import { closeFile, openFile } from './file.ts';
import { libc } from './native.ts';
import { readMaps } from './proc.ts';
import { ProcFile } from './proc-file.ts';
import { type Mapping, parseMaps } from './proc-maps.ts';

const folder = mkdtempSync(join(tmpdir(), 'livecore-maps-'));
after(() => rmSync(folder, { recursive: true }));
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A line as the kernel prints it: show_map_vma (fs/proc/task_mmu.c). */
function line(mapping: Mapping): string {
  const hex = (value: number, width: number): string => value.toString(16).padStart(width, '0');
  const flag = (on: boolean, letter: string): string => (on ? letter : '-');
  const permissions =
    flag(mapping.read, 'r') +
    flag(mapping.write, 'w') +
    flag(mapping.execute, 'x') +
    (mapping.shared ? 's' : 'p');
  const device = `${hex(mapping.deviceMajor, 2)}:${hex(mapping.deviceMinor, 2)}`;
  const range = `${hex(mapping.start, 8)}-${hex(mapping.end, 8)}`;
  const front = `${range} ${permissions} ${hex(mapping.offset, 8)} ${device} ${mapping.inode} `;
  const name = mapping.name.replaceAll('\n', '\\012') + (mapping.deleted ? ' (deleted)' : '');
  return name === '' ? `${front}\n` : `${front.padEnd(73)}${name}\n`;
}

const address = fc.integer({ min: 0, max: 2 ** 35 }).map((page) => page * 4096);
const mappings: fc.Arbitrary<Mapping> = fc
  .record({
    start: address,
    end: address,
    read: fc.boolean(),
    write: fc.boolean(),
    execute: fc.boolean(),
    shared: fc.boolean(),
    offset: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    deviceMajor: fc.integer({ min: 0, max: 4095 }),
    deviceMinor: fc.integer({ min: 0, max: 2 ** 20 - 1 }),
    inode: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    name: fc.constantFrom(
      '',
      '[heap]',
      '/a b',
      '/tab\there',
      '/line\nbreak',
      '/ä (deleted) no',
      '[anon:x y]',
      '/back\\slash',
    ),
    deleted: fc.boolean(),
  })
  .map((mapping) => ({ ...mapping, deleted: mapping.deleted && mapping.name !== '' }));

test('what the kernel prints is read back', () => {
  fc.assert(
    fc.property(fc.array(mappings, { maxLength: 20 }), (list) => {
      assert.deepEqual(parseMaps(encode(list.map(line).join(''))), list);
    }),
  );
});

test('a cut line is left out, bytes after the length are not looked at', () => {
  const text = encode('1000-2000 rw-p 00000000 00:00 0 \n3000-4000 rw-p 00000000 00:00 0 \n');
  assert.equal(parseMaps(text).length, 2);
  assert.equal(parseMaps(text, text.length - 1).length, 1);
  assert.equal(parseMaps(text, 5).length, 0);
  assert.equal(parseMaps(text, 0).length, 0);
});

test('our own maps are as a slow reader sees them', () => {
  using file = new ProcFile('/proc/self/maps');
  const length = file.read();
  const text = new TextDecoder().decode(file.bytes.subarray(0, length));
  const slow = text
    .trimEnd()
    .split('\n')
    .map((row) => {
      const [, start, end, permissions, offset, inode, name] =
        /^(\w+)-(\w+) (\S+) (\w+) \S+ (\d+)\s*(.*)$/.exec(row)!;
      return [
        Number(`0x${start}`),
        Number(`0x${end}`),
        permissions,
        Number(`0x${offset}`),
        Number(inode),
        name,
      ];
    });
  const fast = parseMaps(file.bytes, length).map((mapping) => {
    const { start, end, read, write, execute, shared, offset, inode, name, deleted } = mapping;
    const letters = [read ? 'r' : '-', write ? 'w' : '-', execute ? 'x' : '-', shared ? 's' : 'p'].join('');
    return [start, end, letters, offset, inode, name + (deleted ? ' (deleted)' : '')];
  });
  assert.deepEqual(fast, slow);
  assert.ok(fast.length > 20);
});

test('odd names of real files come through', () => {
  for (const name of [
    'two words',
    'new\nline',
    'ends (deleted)',
    '  spaces  ',
    'ünïcödé',
    'tab\t',
    '[heap]',
  ]) {
    const path = join(folder, name);
    writeFileSync(path, 'content');
    const fd = openFile(path, O_RDONLY | O_CLOEXEC);
    const at = libc.mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    closeFile(fd);
    const before = readMaps('self').find(({ start }) => start === at)!;
    // a name that ends so cannot be told from a file that is deleted
    const told = before.deleted ? `${before.name} (deleted)` : before.name;
    assert.equal(told, path);
    rmSync(path);
    const { name: mapped, deleted } = readMaps('self').find(({ start }) => start === at)!;
    assert.deepEqual([mapped, deleted], [path, true]);
    libc.munmap(at, 4096);
  }
});

test('vsyscall, above all numbers that are exact, does not disturb', () => {
  const text = encode(
    'ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n',
  );
  const [mapping] = parseMaps(text);
  assert.equal(mapping!.name, '[vsyscall]');
  assert.ok(mapping!.start > Number.MAX_SAFE_INTEGER);
});

test('a text as long as thousands of mappings is read whole', () => {
  const text = readFileSync('/proc/self/maps');
  const many = Buffer.concat(Array.from({ length: 50 }, () => text));
  const lines = many.filter((byte) => byte === 10).length;
  assert.equal(parseMaps(many).length, lines);
});
