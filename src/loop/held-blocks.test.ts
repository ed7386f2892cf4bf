import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HeldBlocks } from './held-blocks.ts';

const UNITS = 8;

test('a unit is one of free, open, held and taken, whatever is asked', () => {
  const act = fc.record({ what: fc.constantFrom('open', 'hold', 'free', 'take', 'any'), block: fc.nat(300) });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 200 }), (acts) => {
      const held = new HeldBlocks(UNITS);
      const open: number[] = [];
      const blocks = new Map<number, number>();
      for (const { what, block } of acts) {
        if (what === 'open') {
          const unit = held.open();
          assert.equal(unit < 0, open.length + blocks.size === UNITS);
          if (unit < 0) continue;
          assert.ok(!open.includes(unit) && ![...blocks.values()].includes(unit), 'given out twice');
          open.push(unit);
        } else if (what === 'hold' && open.length > 0 && !blocks.has(block)) {
          const unit = open.shift()!;
          held.hold(unit, block);
          blocks.set(block, unit);
        } else if (what === 'free' && open.length > 0) {
          held.free(open.shift()!);
        } else if (what === 'take') {
          const unit = held.take(block);
          assert.equal(unit, blocks.get(block) ?? -1);
          if (blocks.delete(block)) open.push(unit);
        } else if (what === 'any') {
          const found = held.any();
          assert.equal(found < 0, blocks.size === 0);
          if (found >= 0) assert.ok(blocks.has(found));
        }
        assert.equal(held.size, blocks.size);
        assert.equal(held.freeUnits, UNITS - open.length - blocks.size);
        for (const one of blocks.keys()) assert.ok(held.has(one));
      }
    }),
  );
});

test('any gives the lowest held block of its chunk', () => {
  const held = new HeldBlocks(UNITS);
  for (const block of [130, 128, 131, 129]) held.hold(held.open(), block);
  assert.equal(held.any(), 128);
  held.take(128);
  assert.equal(held.any(), 129);
});
