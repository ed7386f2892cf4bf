import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LivecoreError } from '../../errors.ts';
import { PF_R, PF_W } from './elf.ts';
import { layoutCore } from './layout.ts';

const segment = (start: bigint, end: bigint, stored = true) => ({ start, end, flags: PF_R | PF_W, stored });

test('what follows each other in memory follows each other in the file, from page 1 on', () => {
  const layout = layoutCore([
    segment(0x10000n, 0x12000n),
    segment(0x12000n, 0x13000n),
    segment(0x13000n, 0x14000n, false),
    segment(0x14000n, 0x15000n),
  ]);
  assert.equal(layout.fileOffset(0x10000), 0x1000);
  assert.equal(layout.fileOffset(0x12fff), 0x3fff);
  assert.equal(layout.contiguousBytes(0x10000), 0x3000);
  assert.equal(layout.fileOffset(0x14008), 0x4008);
  assert.equal(layout.contiguousBytes(0x14008), 0xff8);
  assert.equal(layout.tailOffset, 0x5000);
});

test('what is not stored has no place', () => {
  const layout = layoutCore([segment(0x10000n, 0x11000n), segment(0x13000n, 0x14000n, false)]);
  for (const address of [0, 0xffff, 0x11000, 0x13000, 0x14000, 2 ** 47]) {
    assert.equal(layout.fileOffset(address), -1, String(address));
    assert.equal(layout.contiguousBytes(address), 0, String(address));
  }
});

test('what has no place is followed by what has one, and in the end by the tail', () => {
  const layout = layoutCore([
    segment(0x10000n, 0x12000n),
    segment(0x12000n, 0x13000n, false),
    segment(0x20000n, 0x21000n),
  ]);
  const found = [0, 0x10000, 0x11008, 0x12000, 0x1ffff, 0x20000, 0x21000, Number.POSITIVE_INFINITY];
  const offsets = [0x1000, 0x1000, 0x2008, 0x3000, 0x3000, 0x3000, 0x4000, 0x4000];
  assert.deepEqual(
    found.map((address) => layout.fileOffsetFrom(address)),
    offsets,
  );
  assert.equal(layoutCore([]).fileOffsetFrom(0), 4096);
});

test('a core without memory is a head and a tail', () => {
  const layout = layoutCore([]);
  assert.equal(layout.tailOffset, 4096);
  assert.equal(layout.fileOffset(0), -1);
});

test('the highest page of the address space keeps its place exactly', () => {
  const vsyscall = 0xffff_ffff_ff60_0000n;
  const layout = layoutCore([segment(0x1000n, 0x2000n), segment(vsyscall, vsyscall + 0x1000n)]);
  assert.equal(layout.fileOffset(Number(vsyscall)), 0x2000);
  assert.equal(layout.contiguousBytes(Number(vsyscall)), 0x1000);
});

test('each page of 10,000 segments, asked for in any order, has its own place', () => {
  const segments = Array.from({ length: 10_000 }, (_, n) =>
    segment(BigInt(n) * 0x3000n, BigInt(n) * 0x3000n + 0x1000n),
  );
  const layout = layoutCore(segments);
  for (let step = 0; step < 10_000; step++) {
    const n = (step * 7919) % 10_000;
    assert.equal(layout.fileOffset(n * 0x3000 + 5), (n + 1) * 4096 + 5);
    assert.equal(layout.fileOffset(n * 0x3000 + 0x1000), -1);
  }
});

test('segments that are empty, unaligned or out of order are refused', () => {
  const wrong = [
    [segment(0x1000n, 0x1000n)],
    [segment(0x1000n, 0x1800n)],
    [segment(0x2000n, 0x3000n), segment(0x1000n, 0x2000n)],
    [segment(0x1000n, 0x3000n), segment(0x2000n, 0x4000n)],
  ];
  for (const segments of wrong) {
    assert.throws(
      () => layoutCore(segments),
      (error) => error instanceof LivecoreError && error.code === 'INVARIANT',
    );
  }
});
