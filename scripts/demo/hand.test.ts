import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findSlots, readClock, SLOTS, type SlotValue } from './hand.ts';

/** The slots as they stand after write n. */
function slotsAt(lastWrite: number): SlotValue[] {
  return Array.from({ length: SLOTS }, (_, back) => ({
    slot: (lastWrite - back) % SLOTS,
    write: lastWrite - back,
  }));
}

test('the clock is read at any position of the hand', () => {
  for (const lastWrite of [SLOTS - 1, SLOTS, 3 * SLOTS + 7, 10 * SLOTS - 1]) {
    assert.deepEqual(readClock(slotsAt(lastWrite)), { lastWrite });
  }
});

test('one slot that was copied later or earlier is seen', () => {
  const ahead = slotsAt(3000).with(100, slotsAt(3000 + SLOTS)[100]!);
  assert.match(JSON.stringify(readClock(ahead)), /fault/);
  const behind = slotsAt(3000).with(100, slotsAt(3000 - SLOTS)[100]!);
  assert.match(JSON.stringify(readClock(behind)), /1 of 512 slots are of another instant/);
  assert.match(JSON.stringify(readClock(slotsAt(3000).slice(1))), /511 of 512/);
  assert.match(JSON.stringify(readClock([...slotsAt(3000), slotsAt(3000)[0]!])), /513 of 512/);
});

test('slots are found in memory, and one that is cut off is left for the next piece', () => {
  const mark = ['aaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbb'] as const;
  const whole = `${mark.join('')}00000007${'12345'.padStart(16, '0')}`;
  const memory = Buffer.from(`xx${mark[0]}xx${whole}xx${whole.slice(0, -1)}`);
  assert.deepEqual(findSlots(memory, mark), [{ slot: 7, write: 12345 }]);
});
