import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { StagingRing } from './staging-ring.ts';

test('rooms never overlap, and come back when the last reason goes', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.nat(3)), { maxLength: 300 }), (plan) => {
      const ring = new StagingRing(32 * 4, 4, 0);
      const open: { offset: number; bytes: number }[] = [];
      for (const [units, closeFirst] of plan) {
        for (let index = 0; index < closeFirst && open.length > 0; index++)
          ring.release(open.shift()!.offset);
        const offset = ring.open(units * 4, false);
        if (offset < 0) continue;
        assert.ok(offset + units * 4 <= 32 * 4);
        for (const other of open) {
          assert.ok(offset >= other.offset + other.bytes || offset + units * 4 <= other.offset, 'overlap');
        }
        open.push({ offset, bytes: units * 4 });
      }
      for (const room of open) ring.release(room.offset);
      assert.equal(ring.usedBytes, 0);
      assert.notEqual(ring.open(16 * 4, false), -1);
    }),
  );
});

test('the reserve is for urgent rooms', () => {
  const ring = new StagingRing(10, 1, 3);
  assert.equal(ring.open(8, false), -1);
  assert.equal(ring.open(7, false), 0);
  assert.equal(ring.open(1, false), -1);
  assert.equal(ring.open(3, true), 7);
  assert.equal(ring.open(1, true), -1);
});

test('a room that is retained outlives its closing', () => {
  const ring = new StagingRing(4, 1, 0);
  const offset = ring.open(4, false);
  ring.retain(offset);
  ring.release(offset);
  assert.equal(ring.open(1, false), -1);
  ring.release(offset);
  assert.equal(ring.open(1, false), 0);
});
