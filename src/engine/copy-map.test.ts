import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CopyMap } from './copy-map.ts';

const LEAF_BITS = 1 << 15;
/** Places where something could go wrong: words, leaves, and the ends of what a process can address. */
const BASES = [
  0,
  32,
  LEAF_BITS,
  3 * LEAF_BITS,
  2 ** 31,
  2 ** 32,
  2 ** 35,
  2 ** 36 - 128,
  2 ** 53 - LEAF_BITS,
];

type Operation =
  | { readonly kind: 'set' | 'clear' | 'has'; readonly block: number }
  | {
      readonly kind: 'setRange' | 'clearRange' | 'nextSet' | 'nextClear';
      readonly block: number;
      readonly count: number;
    };

const block = fc
  .tuple(fc.constantFrom(...BASES), fc.integer({ min: -70, max: 70 }))
  .map(([base, offset]) => Math.max(0, base + offset));
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ kind: fc.constantFrom('set' as const, 'clear' as const, 'has' as const), block }),
  fc.record({
    kind: fc.constantFrom(
      'setRange' as const,
      'clearRange' as const,
      'nextSet' as const,
      'nextClear' as const,
    ),
    block,
    count: fc.oneof(fc.nat(100), fc.constantFrom(0, 1, 31, 32, 33, 64)),
  }),
);

/** What the copy map must answer, said with a Set. */
function expected(model: Set<number>, operation: Operation): number | boolean {
  const { block } = operation;
  if (!('count' in operation)) {
    if (operation.kind === 'has') return model.has(block);
    if (operation.kind === 'clear') return model.delete(block);
    return !model.has(block) && model.add(block).has(block);
  }
  const { kind, count } = operation;
  const before = model.size;
  const end = block + count;
  for (let at = block; at < end; at++) {
    if (kind === 'setRange') model.add(at);
    else if (kind === 'clearRange') model.delete(at);
    else if (model.has(at) === (kind === 'nextSet')) return at;
  }
  return kind === 'setRange' || kind === 'clearRange' ? Math.abs(model.size - before) : end;
}

function answer(map: CopyMap, operation: Operation): number | boolean {
  if (!('count' in operation)) return map[operation.kind](operation.block);
  const { kind, block, count } = operation;
  return kind === 'nextSet' || kind === 'nextClear'
    ? map[kind](block, block + count)
    : map[kind](block, count);
}

test('a copy map is a set of block numbers, up to the largest', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const map = new CopyMap();
      const model = new Set<number>();
      for (const each of operations) {
        assert.equal(answer(map, each), expected(model, each), JSON.stringify(each));
        assert.equal(map.size, model.size);
      }
    }),
    { numRuns: 3000 },
  );
});

test('ranges over several leaves are set, found and cleared whole', () => {
  const first = 2 ** 35 + LEAF_BITS - 5;
  const count = 3 * LEAF_BITS + 17;
  const map = new CopyMap();
  assert.equal(map.setRange(first, count), count);
  assert.equal(map.setRange(first - 3, count + 6), 6);
  assert.equal(map.nextSet(0, first + 1), first - 3, 'found across a million leaves that are not there');
  assert.equal(map.nextClear(first, Number.MAX_SAFE_INTEGER), first + count + 3);
  assert.equal(map.clearRange(first, count), count);
  assert.equal(map.size, 6);
  assert.equal(map.nextSet(first, first + count + 3), first + count);
});

test('more leaves than are made at once do not share their bits', () => {
  const map = new CopyMap();
  const leaves = 600;
  for (let leaf = 0; leaf < leaves; leaf++) map.set(leaf * LEAF_BITS + leaf);
  assert.equal(map.size, leaves);
  for (let leaf = 0; leaf < leaves; leaf++) {
    const first = leaf * LEAF_BITS;
    assert.equal(map.nextSet(first, first + LEAF_BITS), first + leaf);
    assert.equal(map.nextSet(first + leaf + 1, first + LEAF_BITS), first + LEAF_BITS);
  }
});

test('a map of far apart blocks takes one leaf for each, of the words that were asked for', () => {
  const leaves: Uint32Array[] = [];
  const map = new CopyMap((words) => {
    const leaf = new Uint32Array(words);
    leaves.push(leaf);
    return leaf;
  });
  assert.equal(map.has(5), false);
  assert.equal(map.clear(5), false);
  assert.equal(map.clearRange(0, 2 ** 20), 0);
  assert.equal(leaves.length, 0, 'asking takes no memory');
  map.set(5);
  map.set(LEAF_BITS - 1);
  map.set(2 ** 36);
  assert.deepEqual(
    leaves.map((leaf) => leaf.length),
    [LEAF_BITS / 32, LEAF_BITS / 32],
  );
  assert.equal(leaves[0]![0], 1 << 5, 'the bits live in the memory that was supplied');
});
