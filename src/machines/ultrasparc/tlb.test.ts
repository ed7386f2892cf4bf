import assert from 'node:assert/strict';
import { test } from 'node:test';
import { State } from './state.ts';
import { TLB_ENTRY_WORDS, Tlb } from './tlb.ts';
import { CP, CV, G, L, SIZE_SHIFT, USED, V, W } from './tte.ts';

const ENTRIES = 64;
const PAGE = 0x2000;

function tlbOf(side: 'instruction' | 'data' = 'data'): { tlb: Tlb; state: State } {
  const state = new State(ENTRIES * TLB_ENTRY_WORDS);
  return { state, tlb: new Tlb(state, 0, ENTRIES, side) };
}

test('fully associative: any 64 pages are held at once', () => {
  const { tlb } = tlbOf();
  // All of them would share one place of a direct-mapped cache.
  const pages = Array.from({ length: ENTRIES }, (_, n) => n * 0x40_0000);
  for (const [n, va] of pages.entries()) tlb.load(0, va, 1, V, n * PAGE);
  const found = pages.map((va) => tlb.find(0, va + 4, 1));
  assert.equal(new Set(found).size, ENTRIES);
  assert.ok(!found.includes(-1));
});

test('an entry that is not valid translates nothing', () => {
  const { tlb } = tlbOf();
  assert.equal(tlb.find(0, 0, 0), -1, 'an empty one is all zeros, as the address is');
});

test('a page is of its context, and of every context if it is global', () => {
  const { tlb } = tlbOf();
  tlb.load(0, PAGE, 1, V, 0);
  tlb.load(0, 2 * PAGE, 1, V, G);
  assert.ok(tlb.find(0, PAGE, 1) >= 0);
  assert.equal(tlb.find(0, PAGE, 2), -1);
  assert.ok(tlb.find(0, 2 * PAGE, 2) >= 0);
});

test('a page of each size is found by every address in it, and by no other', () => {
  for (const [size, bytes] of [0x2000, 0x1_0000, 0x8_0000, 0x40_0000].entries()) {
    const { tlb } = tlbOf();
    const va = 0x4000_0000;
    tlb.load(0, va, 1, V | (size << SIZE_SHIFT), 0);
    assert.deepEqual(
      [va - 4, va, va + bytes - 4, va + bytes].map((at) => tlb.find(0, at, 1)),
      [-1, 0, 0, -1],
    );
  }
});

test('the cacheable bits are passed through, in both TLBs; W in the data TLB alone', () => {
  for (const side of ['instruction', 'data'] as const) {
    for (const cacheable of [0, CP, CV, CP | CV]) {
      const { tlb, state } = tlbOf(side);
      tlb.load(0, PAGE, 1, V, cacheable | W | L);
      assert.equal(state.words[4], cacheable | L | (side === 'data' ? W : 0));
    }
  }
});

test('Diag<0> is the Used bit: a hit sets it', () => {
  const { tlb, state } = tlbOf();
  tlb.load(0, PAGE, 1, V, 0);
  assert.equal(state.words[3]! & USED, 0);
  tlb.lookup(0, PAGE, 1);
  assert.equal(state.words[3]! & USED, USED);
});
