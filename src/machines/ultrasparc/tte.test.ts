import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { high, isLegal } from './address.ts';
import { pack, type Tte, unpack } from './tte.ts';

const bits = (count: number): fc.Arbitrary<number> => fc.integer({ min: 0, max: 2 ** count - 1 });
const entries: fc.Arbitrary<Tte> = fc.record({
  global: fc.boolean(),
  context: bits(13),
  vaTag: fc.bigInt({ min: 0n, max: 2n ** 42n - 1n }),
  valid: fc.boolean(),
  size: fc.constantFrom(0, 1, 2, 3),
  noFaultOnly: fc.boolean(),
  invertEndianness: fc.boolean(),
  soft2: bits(9),
  diag: bits(9),
  pageNumber: bits(28),
  soft: bits(6),
  locked: fc.boolean(),
  cacheablePhysical: fc.boolean(),
  cacheableVirtual: fc.boolean(),
  sideEffect: fc.boolean(),
  privileged: fc.boolean(),
  writable: fc.boolean(),
}) as fc.Arbitrary<Tte>;

test('a TTE keeps every field of Figure 8 in its two words', () => {
  fc.assert(
    fc.property(entries, (tte) => {
      assert.deepEqual(unpack(pack(tte)), { ...tte });
    }),
  );
});

test('each field stands where the Manual has it', () => {
  const none: Tte = unpack([0, 0, 0, 0]);
  const word = (tte: Partial<Tte>): [tag: bigint, data: bigint] => {
    const [tagHigh, tagLow, dataHigh, dataLow] = pack({ ...none, ...tte });
    return [(BigInt(tagHigh) << 32n) | BigInt(tagLow), (BigInt(dataHigh) << 32n) | BigInt(dataLow)];
  };
  assert.deepEqual(word({ global: true }), [1n << 63n, 1n], 'in both words');
  assert.deepEqual(word({ context: 0x1fff }), [0x1fffn << 48n, 0n]);
  assert.deepEqual(word({ vaTag: 2n ** 42n - 1n }), [2n ** 42n - 1n, 0n]);
  assert.deepEqual(word({ valid: true }), [0n, 1n << 63n]);
  assert.deepEqual(word({ size: 3 }), [0n, 3n << 61n]);
  assert.deepEqual(word({ noFaultOnly: true }), [0n, 1n << 60n]);
  assert.deepEqual(word({ invertEndianness: true }), [0n, 1n << 59n]);
  assert.deepEqual(word({ soft2: 0x1ff }), [0n, 0x1ffn << 50n]);
  assert.deepEqual(word({ diag: 0x1ff }), [0n, 0x1ffn << 41n]);
  assert.deepEqual(word({ pageNumber: 2 ** 28 - 1 }), [0n, (2n ** 28n - 1n) << 13n]);
  assert.deepEqual(word({ soft: 0x3f }), [0n, 0x3fn << 7n]);
  assert.deepEqual(word({ locked: true }), [0n, 1n << 6n]);
  assert.deepEqual(word({ cacheablePhysical: true }), [0n, 1n << 5n]);
  assert.deepEqual(word({ cacheableVirtual: true }), [0n, 1n << 4n]);
  assert.deepEqual(word({ sideEffect: true }), [0n, 1n << 3n]);
  assert.deepEqual(word({ privileged: true }), [0n, 1n << 2n]);
  assert.deepEqual(word({ writable: true }), [0n, 1n << 1n]);
});

test('the hole between the halves of the address space is illegal, its edges not', () => {
  const legal = (va: bigint): boolean => isLegal(high(va));
  assert.ok(legal(0x0000_07ff_ffff_ffffn));
  assert.ok(!legal(0x0000_0800_0000_0000n));
  assert.ok(!legal(0xffff_f7ff_ffff_ffffn));
  assert.ok(legal(0xffff_f800_0000_0000n));
});
