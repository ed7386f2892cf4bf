import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getBigField, getField, setField, struct } from './struct.ts';

const sample = struct('struct sample', 40, {
  a: 'u8',
  b: 'i8',
  c: 'u16',
  d: 'i32',
  e: 'u64',
  f: 'i64',
  g: 'i16',
  _pad: 2,
  h: 'u32',
  raw: 8,
});

test('offsets follow the order of the fields', () => {
  assert.deepEqual(sample.at, { a: 0, b: 1, c: 2, d: 4, e: 8, f: 16, g: 24, _pad: 26, h: 28, raw: 32 });
  assert.equal(sample.size.raw, 8);
  assert.equal(sample.sizeBytes, 40);
});

test('a table that does not add up is refused', () => {
  assert.throws(() => struct('struct short', 9, { a: 'u64' }), /struct short: fields take 8 bytes, not 9/);
});

test('an integer that C would pad for is refused', () => {
  assert.throws(() => struct('struct packed', 12, { a: 'u32', b: 'u64' }), /b at 4 is not aligned to 8/);
});

test('every kind is written and read back at its place only', () => {
  const values = {
    a: 0xfe,
    b: -2,
    c: 0xfffe,
    d: -2,
    e: 0xfedcba9876543210n,
    f: -2n,
    g: -2,
    h: 0xfffffffe,
  } as const;
  for (const [name, value] of Object.entries(values) as [keyof typeof values, number | bigint][]) {
    const bytes = new Uint8Array(60).fill(0x55);
    const view = new DataView(bytes.buffer);
    setField(sample, view, 10, name, value);
    assert.equal(getBigField(sample, view, 10, name), BigInt(value), name);
    assert.equal(getField(sample, view, 10, name), Number(value), name);
    const start = 10 + sample.at[name];
    const untouched = bytes.filter((_, index) => index < start || index >= start + sample.size[name]);
    assert.ok(
      untouched.every((byte) => byte === 0x55),
      name,
    );
  }
});

test('integers are little-endian and cut to their width', () => {
  const view = new DataView(new ArrayBuffer(40));
  setField(sample, view, 0, 'c', 0x12345);
  assert.equal(view.getUint8(2), 0x45);
  assert.equal(view.getUint8(3), 0x23);
  assert.equal(getField(sample, view, 0, 'd'), 0);
});
