import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RangeList } from './range-list.ts';

const BASE = 2 ** 36 - 32;
const range = fc.record({ first: fc.nat(63), count: fc.nat(9) });

function listOf(ranges: readonly { first: number; count: number }[], base: number): RangeList {
  const list = new RangeList();
  for (const { first, count } of ranges) list.add(base + first, count);
  return list;
}

function setOf(ranges: readonly { first: number; count: number }[], base: number): Set<number> {
  const set = new Set<number>();
  for (const { first, count } of ranges) {
    for (let block = 0; block < count; block++) set.add(base + first + block);
  }
  return set;
}

/** The list holds exactly the blocks of the set, in order, and no two of its ranges touch. */
function assertSame(list: RangeList, set: ReadonlySet<number>): void {
  const blocks: number[] = [];
  let end = Number.NEGATIVE_INFINITY;
  for (const { first, count } of list) {
    assert.ok(first > end, 'ranges are ordered and do not touch');
    assert.ok(count > 0);
    end = first + count;
    for (let block = first; block < end; block++) blocks.push(block);
  }
  assert.deepEqual(
    blocks,
    [...set].sort((a, b) => a - b),
  );
  assert.equal(list.blocks, set.size);
}

for (const base of [0, BASE]) {
  test(`ranges added in any order, from ${base}, are the set of their blocks`, () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 24 }), (ranges) => {
        const set = setOf(ranges, base);
        const list = listOf(ranges, base);
        assertSame(list, set);
        for (let block = base; block < base + 80; block++) assert.equal(list.has(block), set.has(block));
      }),
      { numRuns: 2000 },
    );
  });

  test(`the union of two lists, from ${base}, is the union of their sets`, () => {
    const ranges = fc.array(range, { maxLength: 12 });
    fc.assert(
      fc.property(ranges, ranges, (mine, theirs) => {
        const union = listOf(mine, base).union(listOf(theirs, base));
        assertSame(union, new Set([...setOf(mine, base), ...setOf(theirs, base)]));
      }),
      { numRuns: 2000 },
    );
  });
}

test('indexOf gives the range that holds a block, else the next one', () => {
  const list = listOf(
    [
      { first: 4, count: 2 },
      { first: 10, count: 1 },
    ],
    0,
  );
  const indexes = [0, 3, 4, 5, 6, 9, 10, 11, 2 ** 40].map((block) => list.indexOf(block));
  assert.deepEqual(indexes, [0, 0, 0, 0, 1, 1, 1, 2, 2]);
});

test('an empty list holds nothing', () => {
  const list = new RangeList();
  list.add(7, 0);
  assert.equal(list.length, 0);
  assert.equal(list.blocks, 0);
  assert.equal(list.has(7), false);
  assert.deepEqual([...list], []);
});
