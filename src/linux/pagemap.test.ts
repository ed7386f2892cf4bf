import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  MADV_DONTNEED,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MAP_ANONYMOUS,
  MAP_SHARED,
  PAGE_IS_FILE,
  PAGE_IS_GUARD,
  PAGE_IS_HUGE,
  PAGE_IS_PFNZERO,
  PAGE_IS_PRESENT,
  PAGE_IS_SWAPPED,
  PAGE_IS_WPALLOWED,
  PAGE_IS_WRITTEN,
  PAGEMAP_SCAN,
  PROT_READ,
  PROT_WRITE,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_UNPOPULATED,
} from './abi.ts';
import { ERRNO } from './errno.ts';
import { pageRegion, pmScanArg } from './layouts.ts';
import { MappedMemory } from './memory.ts';
import { libc } from './native.ts';
import { Pagemap } from './pagemap.ts';
import { readExecutable, readMaps } from './proc.ts';
import { createUserfaultfd } from './userfaultfd.ts';

const PAGE = 4096;
const HUGE = 2 << 20;
const MADV_GUARD_INSTALL = 102;
const EVERYTHING =
  PAGE_IS_FILE |
  PAGE_IS_PRESENT |
  PAGE_IS_SWAPPED |
  PAGE_IS_PFNZERO |
  PAGE_IS_HUGE |
  PAGE_IS_WPALLOWED |
  PAGE_IS_WRITTEN;

const pagemap = new Pagemap('self', { capacity: 64 });
after(() => pagemap[Symbol.dispose]());
const probe = probeScan();
const skip = probe < 0 && `no PAGEMAP_SCAN (6.7) here: ${probe}`;

const skipUnlessRoot = process.getuid!() !== 0 && 'needs root, for a userfaultfd';

function probeScan(): number {
  pagemap.scan(0x10000, 0x11000, { returned: PAGE_IS_PRESENT });
  return pagemap.nextRegions();
}

/** What a scan finds, as [first page, page after the last, categories] from `base` on. */
function scanned(map: Pagemap, base: number): [number, number, number][] {
  const found: [number, number, number][] = [];
  for (let count = map.nextRegions(); count !== 0; count = map.nextRegions()) {
    assert.ok(count > 0, `scan gave ${count}`);
    for (let index = 0; index < count; index++) {
      const [start, end] = [map.regionStart(index) - base, map.regionEnd(index) - base];
      found.push([start / PAGE, end / PAGE, map.regionCategories(index)]);
    }
  }
  return found;
}

/** Eight pages of small-page memory: 2, 3 and 5 written, 6 only read. */
function patchwork(): MappedMemory {
  const memory = new MappedMemory(8 * PAGE);
  libc.madvise(memory.address, memory.length, MADV_NOHUGEPAGE);
  for (const page of [2, 3, 5]) memory.bytes[page * PAGE] = 1;
  assert.equal(memory.bytes[6 * PAGE], 0);
  return memory;
}

test('entries tell what is behind each page', () => {
  using memory = patchwork();
  assert.equal(pagemap.readEntries(memory.address, 8), 8);
  const present = Array.from({ length: 8 }, (_, index) => pagemap.isPresent(index));
  assert.deepEqual(present, [false, false, true, true, false, true, true, false]);
  assert.deepEqual([pagemap.isFile(2), pagemap.isExclusive(2), pagemap.isSwapped(2)], [false, true, false]);
  assert.equal(pagemap.entry(0), 0n);
  assert.equal(pagemap.entry(2) >> 63n, 1n);
});

test('entries of a file and of its private copy differ', () => {
  // the executable's mappings: code as in the file, relocated and written data as copies
  const executable = readExecutable('self');
  const seen = new Set<boolean>();
  for (const { start, end } of readMaps('self').filter(({ name }) => name === executable)) {
    const count = pagemap.readEntries(start, (end - start) / PAGE);
    for (let index = 0; index < count; index++) if (pagemap.isPresent(index)) seen.add(pagemap.isFile(index));
  }
  assert.deepEqual(seen, new Set([true, false]));
});

test('a scan finds what is present, in order', { skip }, () => {
  using memory = patchwork();
  const end = memory.address + memory.length;
  pagemap.scan(memory.address, end, { all: PAGE_IS_PRESENT, returned: PAGE_IS_PRESENT | PAGE_IS_PFNZERO });
  assert.deepEqual(scanned(pagemap, memory.address), [
    [2, 4, PAGE_IS_PRESENT],
    [5, 6, PAGE_IS_PRESENT],
    [6, 7, PAGE_IS_PRESENT | PAGE_IS_PFNZERO],
  ]);
});

test('a scan goes on where its vector was full', { skip }, () => {
  using narrow = new Pagemap('self', { capacity: 1 });
  using memory = patchwork();
  const end = memory.address + memory.length;
  narrow.scan(memory.address, end, { all: PAGE_IS_PRESENT, returned: PAGE_IS_PRESENT });
  const expected: [number, number, number][] = [
    [2, 4, PAGE_IS_PRESENT],
    [5, 7, PAGE_IS_PRESENT],
  ];
  assert.deepEqual(scanned(narrow, memory.address), expected);
  // the same question of another range: the first three pages
  narrow.rescan(memory.address, memory.address + 3 * PAGE);
  assert.deepEqual(scanned(narrow, memory.address), [[2, 3, PAGE_IS_PRESENT]]);
  narrow.rescan(memory.address, memory.address);
  assert.deepEqual(scanned(narrow, memory.address), []);
});

test('a scan can ask for what is absent, and for any of several', { skip }, () => {
  using memory = patchwork();
  const end = memory.address + memory.length;
  pagemap.scan(memory.address, end, {
    all: PAGE_IS_PRESENT,
    inverted: PAGE_IS_PRESENT,
    returned: PAGE_IS_PRESENT,
  });
  assert.deepEqual(scanned(pagemap, memory.address), [
    [0, 2, 0],
    [4, 5, 0],
    [7, 8, 0],
  ]);
  pagemap.scan(memory.address, end, { any: PAGE_IS_PFNZERO | PAGE_IS_FILE, returned: PAGE_IS_PFNZERO });
  assert.deepEqual(scanned(pagemap, memory.address), [[6, 7, PAGE_IS_PFNZERO]]);
});

test('shared memory is told from private', { skip }, () => {
  const address = libc.mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  libc.memset(address, 1, PAGE);
  pagemap.scan(address, address + 4 * PAGE, {
    all: PAGE_IS_PRESENT,
    returned: EVERYTHING & ~PAGE_IS_WRITTEN,
  });
  assert.deepEqual(scanned(pagemap, address), [[0, 1, PAGE_IS_PRESENT | PAGE_IS_FILE]]);
  libc.munmap(address, 4 * PAGE);
});

test('a huge page is told', { skip }, (context) => {
  using memory = new MappedMemory(2 * HUGE);
  const base = Math.ceil(memory.address / HUGE) * HUGE;
  libc.madvise(base, HUGE, MADV_HUGEPAGE);
  libc.memset(base, 1, HUGE);
  pagemap.scan(base, base + HUGE, { all: PAGE_IS_PRESENT, returned: PAGE_IS_PRESENT | PAGE_IS_HUGE });
  const [first] = scanned(pagemap, base);
  if (first![2] === PAGE_IS_PRESENT) return context.skip('no transparent huge page was given');
  assert.deepEqual(first, [0, HUGE / PAGE, PAGE_IS_PRESENT | PAGE_IS_HUGE]);
});

test('a guard page is told', { skip }, (context) => {
  using memory = patchwork();
  if (libc.madvise(memory.address, PAGE, MADV_GUARD_INSTALL) < 0)
    return context.skip('no guard pages (6.13)');
  const end = memory.address + 2 * PAGE;
  pagemap.scan(memory.address, end, { all: PAGE_IS_GUARD, returned: PAGE_IS_GUARD });
  const count = pagemap.nextRegions();
  if (count === -ERRNO.EINVAL) return context.skip('no PAGE_IS_GUARD (6.15)');
  assert.equal(count, 1);
  assert.equal(pagemap.regionStart(0), memory.address);
  assert.equal(pagemap.regionEnd(0), memory.address + PAGE);
});

test('protection that the kernel lifts by itself shows what was written', {
  skip: skip || skipUnlessRoot,
}, () => {
  using memory = patchwork();
  using protector = createUserfaultfd();
  protector.handshake(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED);
  const returned = PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN;
  const [start, end] = [memory.address, memory.address + memory.length];
  pagemap.scan(start, end, { all: PAGE_IS_WPALLOWED, returned });
  assert.deepEqual(scanned(pagemap, start), []);
  assert.equal(protector.register(start, memory.length), 0);
  assert.equal(protector.writeProtect(start, memory.length, true), 0);
  pagemap.rescan(start, end);
  assert.deepEqual(scanned(pagemap, start), [[0, 8, PAGE_IS_WPALLOWED]]);
  memory.bytes[3 * PAGE] = 2;
  pagemap.rescan(start, end);
  const both = PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN;
  assert.deepEqual(scanned(pagemap, start), [
    [0, 3, PAGE_IS_WPALLOWED],
    [3, 4, both],
    [4, 8, PAGE_IS_WPALLOWED],
  ]);
});

test('a marker of protection looks swapped', { skip: skip || skipUnlessRoot }, () => {
  using memory = patchwork();
  using protector = createUserfaultfd();
  protector.handshake(UFFD_FEATURE_WP_UNPOPULATED);
  assert.equal(protector.register(memory.address, 2 * PAGE), 0);
  assert.equal(protector.writeProtect(memory.address, PAGE, true), 0);
  pagemap.readEntries(memory.address, 2);
  assert.deepEqual([pagemap.isPresent(0), pagemap.isSwapped(0), pagemap.isProtected(0)], [false, true, true]);
  assert.deepEqual([pagemap.isSwapped(1), pagemap.isProtected(1)], [false, false]);
  pagemap.scan(memory.address, memory.address + 2 * PAGE, {
    all: PAGE_IS_SWAPPED,
    returned: PAGE_IS_SWAPPED,
  });
  assert.deepEqual(scanned(pagemap, memory.address), [[0, 1, PAGE_IS_SWAPPED]]);
});

test('the number of the call and its structs are those of the kernel', { skip }, () => {
  // _IOWR('f', 16, struct pm_scan_arg); the kernel refuses a size that it does not know
  assert.equal(PAGEMAP_SCAN, (3 * 2 ** 30 + (pmScanArg.sizeBytes << 16) + (0x66 << 8) + 16) >>> 0);
  using memory = new MappedMemory(PAGE);
  using argument = new MappedMemory(PAGE);
  memory.bytes[0] = 1;
  argument.setWord(pmScanArg.at.size, pmScanArg.sizeBytes + 8);
  argument.setWord(pmScanArg.at.start, memory.address);
  argument.setWord(pmScanArg.at.end, memory.address + PAGE);
  argument.setWord(pmScanArg.at.category_mask, PAGE_IS_PRESENT);
  argument.setWord(pmScanArg.at.return_mask, PAGE_IS_PRESENT);
  argument.setWord(pmScanArg.at.vec, argument.address + 1024);
  argument.setWord(pmScanArg.at.vec_len, 1);
  assert.equal(libc.ioctl(pagemap.fd, PAGEMAP_SCAN, argument.address), -1);
  argument.setWord(pmScanArg.at.size, pmScanArg.sizeBytes);
  assert.equal(libc.ioctl(pagemap.fd, PAGEMAP_SCAN, argument.address), 1);
  assert.equal(argument.word(pmScanArg.at.walk_end), memory.address + PAGE);
  assert.equal(argument.word(1024 + pageRegion.at.start), memory.address);
  assert.equal(argument.word(1024 + pageRegion.at.end), memory.address + PAGE);
  assert.equal(argument.word(1024 + pageRegion.at.categories), PAGE_IS_PRESENT);
  // nothing was written beyond the one region
  assert.equal(argument.word(1024 + pageRegion.sizeBytes), 0);
});

test('a discarded page is absent', () => {
  using memory = patchwork();
  libc.madvise(memory.address + 2 * PAGE, PAGE, MADV_DONTNEED);
  pagemap.readEntries(memory.address, 4);
  assert.deepEqual([pagemap.isPresent(2), pagemap.isPresent(3)], [false, true]);
});
