import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyMemory, equalMemory, isZero, MappedMemory, scratch } from './memory.ts';
import { readMaps } from './proc.ts';

function isMapped(address: number): boolean {
  return readMaps('self').some(({ start, end }) => start <= address && address < end);
}

test('all views are of the same bytes', () => {
  using memory = new MappedMemory(5000, { populate: true });
  assert.equal(memory.length, 8192);
  memory.bytes.set([1, 2, 3, 4, 5, 6, 7, 8], 16);
  assert.equal(memory.uint32[4], 0x04030201);
  assert.equal(memory.int32[5], 0x08070605);
  assert.equal(memory.bigUint64[2], 0x0807060504030201n);
  assert.equal(memory.view.getUint16(16, true), 0x0201);
  memory.float64[3] = 1.5;
  assert.equal(memory.bigUint64[3], 0x3ff8000000000000n);
});

test('words are exact up to 2^53', () => {
  using memory = new MappedMemory(4096);
  for (const value of [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 47 - 4096, 2 ** 53 - 1]) {
    memory.setWord(8, value);
    assert.equal(memory.bigUint64[1], BigInt(value));
    assert.equal(memory.word(8), value);
  }
  assert.equal(memory.bigUint64[0], 0n);
  assert.equal(memory.bigUint64[2], 0n);
});

test('a slice is the same memory and knows its bounds', () => {
  using memory = new MappedMemory(4096);
  const slice = memory.slice(64, 128).slice(8, 16);
  slice.setWord(0, 77);
  assert.equal(slice.address, memory.address + 72);
  assert.equal(memory.word(72), 77);
  assert.throws(() => memory.slice(4000, 104), RangeError);
  assert.throws(() => memory.slice(4, 8), RangeError);
});

test('disposal unmaps, once', () => {
  const memory = new MappedMemory(1 << 20);
  assert.ok(isMapped(memory.address));
  memory[Symbol.dispose]();
  assert.ok(!isMapped(memory.address));
  memory[Symbol.dispose]();
});

test('scratch memory is zero, apart and lasting', () => {
  const all = Array.from({ length: 50 }, (_, index) => scratch(index * 100));
  for (const [index, memory] of all.entries()) {
    assert.ok(memory.length >= index * 100);
    assert.ok(memory.bytes.every((byte) => byte === 0));
    memory.bytes.fill(index);
  }
  for (const [index, memory] of all.entries()) assert.ok(memory.bytes.every((byte) => byte === index));
  assert.ok(scratch(100_000).length >= 100_000);
});

test('one byte anywhere keeps memory from being zero', () => {
  using memory = new MappedMemory(5 * 4096);
  for (const length of [1, 8, 4095, 4096, 4097, 3 * 4096, 3 * 4096 + 5]) {
    assert.ok(isZero(memory.address + 4096, length));
    for (const at of [0, 1, 4095, 4096, 4097, 8191, 8192, length - 1].filter((place) => place < length)) {
      memory.bytes[4096 + at] = 1;
      assert.ok(!isZero(memory.address + 4096, length), `${at} of ${length}`);
      memory.bytes[4096 + at] = 0;
    }
    // what lies around does not count
    memory.bytes[4095] = 1;
    memory.bytes[4096 + length] = 1;
    assert.ok(isZero(memory.address + 4096, length));
    memory.bytes[4095] = 0;
    memory.bytes[4096 + length] = 0;
  }
});

test('memory is copied and compared by address', () => {
  using memory = new MappedMemory(8192);
  memory.bytes.fill(9, 100, 200);
  copyMemory(memory.address + 4096, memory.address, 4096);
  assert.ok(equalMemory(memory.address, memory.address + 4096, 4096));
  memory.bytes[4096 + 199] = 8;
  assert.ok(!equalMemory(memory.address, memory.address + 4096, 4096));
  assert.ok(equalMemory(memory.address, memory.address + 4096, 199));
});
