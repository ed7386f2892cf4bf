import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AddressRange,
  firstEndingAfter,
  intersectRanges,
  joinRanges,
  subtractRanges,
} from './ranges.ts';

const ranges = (...pairs: [number, number][]): AddressRange[] =>
  pairs.map(([start, end]) => ({ start: BigInt(start), end: BigInt(end) }));

test('joining orders, drops what is empty and merges what overlaps or touches', () => {
  assert.deepEqual(joinRanges(ranges([8, 9], [1, 3], [3, 4], [2, 3], [6, 6])), ranges([1, 4], [8, 9]));
  assert.deepEqual(joinRanges(ranges([1, 9], [2, 3])), ranges([1, 9]));
});

test('subtracting leaves the pieces between the holes', () => {
  const holes = ranges([0, 2], [4, 5], [7, 20]);
  assert.deepEqual(subtractRanges({ start: 1n, end: 9n }, holes), ranges([2, 4], [5, 7]));
  assert.deepEqual(subtractRanges({ start: 8n, end: 9n }, holes), []);
  assert.deepEqual(subtractRanges({ start: 2n, end: 4n }, holes), ranges([2, 4]));
  assert.deepEqual(subtractRanges({ start: 20n, end: 21n }, holes), ranges([20, 21]));
});

test('intersecting leaves the pieces inside the others', () => {
  const others = ranges([0, 2], [4, 5], [7, 20]);
  assert.deepEqual(intersectRanges({ start: 1n, end: 9n }, others), ranges([1, 2], [4, 5], [7, 9]));
  assert.deepEqual(intersectRanges({ start: 2n, end: 4n }, others), []);
});

test('the first range that ends after an address', () => {
  const list = ranges([0, 2], [4, 5]);
  assert.deepEqual(
    [0n, 1n, 2n, 4n, 5n].map((address) => firstEndingAfter(list, address)),
    [0, 0, 1, 1, 2],
  );
});
