import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus } from './bus.ts';
import { Computer, initialWord } from './computer.ts';
import { snapshotOf } from './computer-snapshot.ts';
import { exportLog, rebuild } from './log.ts';

const WORDS = 24;
const FIRST = 30;
const LEFT_OUT = [FIRST + 1];
const UNRELIABLE = [FIRST + 5];

/** The log of a machine of 6 blocks, the second of which (the copy map) is left out. */
function logged(content: 'random' | 'nul'): { bytes: Uint8Array; computer: Computer } {
  const computer = new Computer({
    blocks: 6,
    firstBlock: FIRST,
    wordsPerBlock: WORDS,
    tsbEntries: 4,
    pages: [{ va: 0x2000n, block: 3 }],
    programs: [{ instructions: [{ kind: 'store', va: 0x2000n, value: 7 }] }],
    variants: { storage: 'log', map: 'apart', content },
  });
  const snapshot = snapshotOf(new Bus(computer));
  while (snapshot.step() !== 'ended');
  assert.equal(snapshot.failure, undefined);
  return { bytes: exportLog(computer, { leftOut: LEFT_OUT, unreliable: UNRELIABLE }), computer };
}

const { bytes } = logged('nul');
const HEAD_BYTES = 2 * (6 + LEFT_OUT.length + UNRELIABLE.length + 1) * 4;
const RECORD_BYTES = (3 + WORDS) * 4;
const good = rebuild(bytes);
/** the blocks in the order of their records */
const order = [...good.content.keys()];
const ascending = (left: number, right: number): number => left - right;

test('the image is rebuilt from a log of locations and contents, whatever the disk held before', () => {
  for (const content of ['random', 'nul'] as const) {
    const { content: blocks, missing, damaged, head } = rebuild(logged(content).bytes);
    assert.deepEqual([missing, damaged], [[], []]);
    assert.deepEqual(
      [head.leftOut, head.unreliable],
      [LEFT_OUT, UNRELIABLE],
      'what nobody vouches for is said',
    );
    assert.deepEqual(
      [...blocks.keys()].sort((left, right) => left - right),
      [30, 32, 33, 34, 35],
    );
    for (const block of [32, 33, 34, 35]) {
      assert.deepEqual(
        [...blocks.get(block)!],
        Array.from({ length: WORDS }, (_, word) => initialWord(block, word)),
      );
    }
  }
});

test('cut short anywhere: what is whole is restored, the rest is named', () => {
  for (let length = 0; length < bytes.length; length++) {
    const cut = bytes.slice(0, length);
    if (length < HEAD_BYTES / 2) {
      assert.throws(() => rebuild(cut), /no whole head/);
      continue;
    }
    const { content, missing, damaged } = rebuild(cut);
    const whole = Math.max(0, Math.floor((length - HEAD_BYTES) / RECORD_BYTES));
    assert.equal(content.size, whole, `${length} bytes`);
    assert.deepEqual(missing, order.slice(whole).sort(ascending));
    for (const [block, words] of content) assert.deepEqual(words, good.content.get(block));
    const begun = length > HEAD_BYTES && (length - HEAD_BYTES) % RECORD_BYTES > 0;
    assert.deepEqual(damaged, begun ? [HEAD_BYTES + whole * RECORD_BYTES] : []);
  }
});

test('a bit flipped anywhere: at most one block is missing, and it is named; none is wrong', () => {
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >>> 3] = flipped[bit >>> 3]! ^ (1 << (bit & 7));
    const { content, missing, damaged } = rebuild(flipped);
    const inHead = bit < HEAD_BYTES * 8;
    const record = Math.floor((bit / 8 - HEAD_BYTES) / RECORD_BYTES);
    assert.deepEqual(missing, inHead ? [] : [order[record]], `bit ${bit}`);
    assert.deepEqual(damaged, inHead ? [] : [HEAD_BYTES + record * RECORD_BYTES]);
    assert.equal(content.size, 5 - missing.length);
    for (const [block, words] of content) assert.deepEqual(words, good.content.get(block));
  }
});
