import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LivecoreError } from '../../errors.ts';
import { Computer } from './computer.ts';
import type { Shape } from './shape.ts';
import { parseVariant } from './variants.ts';

const GOOD: Shape = {
  blocks: 12,
  tsbEntries: 512,
  pages: [{ va: 0x2000n, block: 9 }],
  programs: [{ instructions: [] }],
};
const refuses = (shape: Partial<Shape>, why: RegExp): void => {
  assert.throws(
    () => new Computer({ ...GOOD, ...shape }),
    (error: Error) => {
      assert.match(error.message, why);
      assert.ok(error instanceof LivecoreError);
      assert.equal(error.code, 'USAGE');
      assert.ok(error.cure !== undefined && error.message.endsWith(`; ${error.cure}`), error.message);
      return true;
    },
  );
};

test('what can not be built is refused with the reason', () => {
  refuses({ blocks: 3 }, /4 blocks at least/);
  refuses(
    { blocks: 4, wordsPerBlock: 64 },
    /too small for its kernel: 33 blocks of kernel .*; give it 34 blocks or more/,
  );
  refuses({ storageBlocks: 11 }, /storage is too small for the image: 11 blocks for 12; give it 12 blocks$/);
  refuses(
    { pages: [{ va: 0x0000_0800_0000_0000n, block: 9 }] },
    /page 80000000000: the address is out of range.*; use 0 to 7ff/,
  );
  refuses(
    { pages: [{ va: 0xffff_f7ff_ffff_e000n, block: 9 }] },
    /page fffff7ffffffe000: the address is out of range.*; use 0 to 7ff/,
  );
  refuses({ pages: [{ va: 0x2000n, block: 8, size: 1 }] }, /not aligned to its size/);
  refuses({ pages: [{ va: 0x1_0000n, block: 9, size: 1 }] }, /physical address is not aligned/);
  refuses({ pages: [{ va: 0x2000n, block: 12 }] }, /no such block/);
  refuses({ firstBlock: 2 ** 28 - 4 }, /41 bits/);
  refuses({ tlbEntries: 1, pages: [{ va: 0x2000n, block: 9, locked: true }] }, /locked/);
  refuses({ programs: [{ instructions: [{ kind: 'load', va: 0x2002n }] }] }, /not aligned to a word/);
  refuses({ devices: [{ transfers: [{ block: 12, word: 0, value: 0 }] }] }, /DMA to block 12/);
  refuses({ devices: [{ transfers: [{ block: -1, word: 0, value: 0 }] }] }, /DMA to block -1/);
  refuses({ devices: [{ transfers: [{ block: 9, word: 2048, value: 0 }] }] }, /DMA to word 2048 of block 9/);
  refuses({ pages: [{ va: 0x2000n, block: 9, context: -1 }] }, /context -1 is not one.*; use 0 to 8191/);
  refuses({ firstBlock: -1 }, /main memory begins at block -1/);
  refuses({ blocks: 6.5 }, /blocks is 6.5/);
  refuses({ pages: [{ va: 2n ** 64n + 0x2000n, block: 9 }] }, /an address has 64 bits/);
  refuses(
    { programs: [{ instructions: [{ kind: 'load', va: 2n ** 64n }] }] },
    /load: an address has 64 bits/,
  );
  refuses({ programs: [{ instructions: [{ kind: 'switch', context: 99_999 }] }] }, /switch: context 99999/);
  const twice = [9, 10].map((block) => ({ va: 0x2000n, block }));
  refuses({ pages: twice }, /another page has the same address in the same context/);
  refuses({ tsbEntries: 0 }, /tsbEntries is 0; give it a whole number from 1 on/);
  refuses({ wordsPerBlock: 1024.5 }, /wordsPerBlock is 1024.5/);
  const line = { kind: 'block-store', va: 0x2000n, value: 1 } as const;
  refuses(
    { storeBufferEntries: 8, programs: [{ instructions: [line] }] },
    /of 16 words never fits into a store buffer of 8/,
  );
  refuses(
    { devices: [{ transfers: [{ block: 0, word: 0, value: 0 }] }] },
    /block 0 is a DMA buffer and the kernel's .*; let devices write/,
  );
  const dma = { devices: [{ transfers: [{ block: 11, word: 0, value: 0 }] }] };
  refuses({ ...dma, slotRegisters: false }, /needs slot registers.*; use dma=exclude/);
  assert.throws(
    () => parseVariant('map=nowhere'),
    /no such choice: map=nowhere; map is one of copied, apart/,
  );
  for (const text of ['constructor=x', 'mop=apart', ''])
    assert.throws(() => parseVariant(text), /no such variant: .*known are: .*map=copied\|apart/, text);
  for (const text of ['map=apart=live', 'map'])
    assert.throws(() => parseVariant(text), /no such choice/, text);
});

test('right below and right above the hole there are pages', () => {
  for (const va of [0x0000_07ff_ffff_e000n, 0xffff_f800_0000_0000n])
    assert.ok(new Computer({ ...GOOD, pages: [{ va, block: 9 }] }));
});

test('a combination that can not be right names the cure', () => {
  refuses(
    {
      blocks: 16,
      pages: [{ va: 0x1_0000n, block: 8, size: 1 }],
      devices: [{ transfers: [{ block: 9, word: 0, value: 0 }] }],
      variants: { dma: 'exclude' },
    },
    /block 9 is left out of the copy, but lies in a large page that is copied whole; use pages=split$/,
  );
});

test('pages that a small TSB can not tell apart are refused', () => {
  const pages = [
    { va: 0x2000n, block: 8 },
    { va: 0x2000n + 0x8000n, block: 9 },
  ];
  refuses({ tsbEntries: 4, pages }, /one tag and one place/);
  assert.ok(new Computer({ ...GOOD, pages }));
});

test('main memory holds what Figure 9 shows', () => {
  const { contents } = new Computer({
    ...GOOD,
    wordsPerBlock: 2048,
    kernelBlocks: 2,
    osBlocks: 1,
    programBlocks: 1,
  }).plan;
  assert.deepEqual(contents.slice(0, 6), [
    'kernel',
    'kernel',
    'operating system',
    'snapshot program',
    'copy map',
    'application',
  ]);
});
