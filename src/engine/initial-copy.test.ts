import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryMachine } from '../machines/memory/machine.ts';
import { Context } from './context.ts';
import { InitialCopy } from './initial-copy.ts';
import { MemoryStorage } from './memory-storage.ts';
import { DEFAULT_POLICY } from './policy.ts';

/** A machine whose blocks 0 to 31 are armed, with blocks 4 and 5 asked for in the hold. */
function build(): { context: Context; machine: MemoryMachine; storage: MemoryStorage; copied: number[] } {
  const machine = new MemoryMachine(40, { blockBytes: 8 });
  machine.blocks.bytes.fill(7);
  machine.addRegion({ first: 0, count: 32, kind: 'armed', granule: 1 });
  machine.addRegion({ first: 4, count: 2, kind: 'held', granule: 1 });
  const storage = new MemoryStorage(8, 40);
  const context = new Context(machine, storage, DEFAULT_POLICY, machine.clock);
  while (!machine.survey(context.armed));
  machine.protect(0, 32);
  const copied: number[] = [];
  const copy = machine.copy.bind(machine);
  machine.copy = (first, count, ...rest) => {
    for (let block = first; block < first + count; block++) copied.push(block);
    copy(first, count, ...rest);
  };
  return { context, machine, storage, copied };
}

test('what is noted and what is asked for is copied, each block once', () => {
  const { context, storage, copied } = build();
  // Ranges that overlap the asked ones, each other, and have gaps of what was armed again.
  context.noted.add(2, 10);
  context.noted.add(14, 4);
  context.noted.add(10, 6);
  context.noted.forget(7, 2);
  context.noted.forget(15, 1);
  const initial = new InitialCopy(context, 0);
  initial.copy();
  const wanted = [2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 16, 17];
  assert.deepEqual(
    [...copied].sort((a, b) => a - b),
    wanted,
  );
  assert.equal(context.copied.size, 0, 'nothing is marked inside the hold');
  initial.releaseAndMark();
  assert.equal(context.copied.size, wanted.length);
  for (const block of wanted) assert.ok(context.copied.has(block) && storage.blocks.has(block));
});

test('what was asked for and is protected is released after the hold, and nothing else', () => {
  const { context, machine } = build();
  const initial = new InitialCopy(context, 0);
  initial.copy();
  assert.equal(machine.blocks.isProtected(4), true, 'not before');
  initial.releaseAndMark();
  const released = [...Array(32).keys()].filter((block) => !machine.blocks.isProtected(block));
  assert.deepEqual(released, [4, 5]);
});
