import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cursor } from './cursor.ts';
import { struct } from './struct.ts';

class Failure extends Error {
  readonly position: number;
  constructor(problem: string, position: number) {
    super(problem);
    this.position = position;
  }
}
const fail = (problem: string, position: number) => new Failure(problem, position);
const PAIR = struct('pair', 12, { small: 'u32', _pad: 4, big: 'u32' });
const WIDE = struct('wide', 8, { value: 'u64' });

test('reads structs, slices and strings one after the other', () => {
  const bytes = Uint8Array.from([1, 0, 0, 0, 9, 9, 9, 9, 2, 0, 0, 0, 0x61, 0, 7, 8]);
  const cursor = new Cursor(bytes.subarray(0), 1000, fail);
  const pair = cursor.record(PAIR);
  assert.deepEqual([pair.get('small'), pair.get('big'), cursor.position], [1, 2, 1012]);
  assert.deepEqual(cursor.untilNul('name'), Uint8Array.of(0x61));
  assert.deepEqual(cursor.slice(2, 'rest'), Uint8Array.of(7, 8));
  assert.equal(cursor.remaining, 0);
});

test('a 64-bit field is exact', () => {
  const wide = new Cursor(new Uint8Array(8).fill(0xff), 0, fail).record(WIDE);
  assert.equal(wide.big('value'), 0xffff_ffff_ffff_ffffn);
});

test('asking for more than is there fails at the place where it was asked', () => {
  const cursor = new Cursor(new Uint8Array(16).subarray(0, 13), 50, fail);
  cursor.record(PAIR);
  for (const read of [() => cursor.record(WIDE), () => cursor.slice(2, 'x'), () => cursor.take(1e300, 'x')]) {
    assert.throws(read, (error) => error instanceof Failure && error.position === 62);
  }
  assert.equal(cursor.remaining, 1);
});

test('a string without an end fails, also where a NUL follows outside', () => {
  const cursor = new Cursor(Uint8Array.of(0x61, 0x62, 0).subarray(0, 2), 0, fail);
  assert.throws(() => cursor.untilNul('name'), /name has no end/);
});

test('the error of a field has the position of the field', () => {
  const cursor = new Cursor(new Uint8Array(24), 100, fail);
  cursor.take(12, 'x');
  const error = cursor.record(PAIR).error('big', 'is wrong');
  assert.ok(error instanceof Failure);
  assert.deepEqual([error.message, error.position], ['big is wrong', 120]);
});
