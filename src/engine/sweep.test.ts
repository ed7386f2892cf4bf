import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryMachine, type MemoryRegion } from '../machines/memory/machine.ts';
import { Context } from './context.ts';
import { MemoryStorage } from './memory-storage.ts';
import { DEFAULT_POLICY } from './policy.ts';
import { Sweep } from './sweep.ts';

const CHUNK = 4;

const REGIONS: readonly MemoryRegion[] = [
  { first: 0, count: 16, kind: 'armed', granule: 1 },
  { first: 16, count: 8, kind: 'armed', granule: 8 },
];

/** A machine of 24 blocks, of which those of the armed regions are armed; `copied` gets the blocks in order. */
function build(regions = REGIONS): {
  context: Context;
  machine: MemoryMachine;
  sweep: Sweep;
  copied: number[];
} {
  const machine = new MemoryMachine(24, { blockBytes: 8 });
  for (const region of regions) machine.addRegion(region);
  const storage = new MemoryStorage(8, 40);
  const context = new Context(machine, storage, { ...DEFAULT_POLICY, chunkBlocks: CHUNK }, machine.clock);
  while (!machine.survey(context.armed));
  for (const { first, count } of context.armed) machine.protect(first, count);
  const copied: number[] = [];
  const copy = machine.copy.bind(machine);
  machine.copy = (first, count, ...rest) => {
    for (let block = first; block < first + count; block++) copied.push(block);
    copy(first, count, ...rest);
  };
  return { context, machine, sweep: new Sweep(context), copied };
}

const range = (first: number, count: number): number[] =>
  Array.from({ length: count }, (_, at) => first + at);

test('without traps, chunk after chunk in order of address', () => {
  const { sweep, copied, machine } = build();
  for (let chunk = 1; chunk <= 4; chunk++) {
    assert.equal(sweep.next(), 'swept');
    assert.deepEqual(copied, range(0, chunk * CHUNK));
    assert.equal(machine.blocks.isProtected(chunk * CHUNK - 1), false);
    assert.equal(machine.blocks.isProtected(chunk * CHUNK), true);
  }
  assert.equal(sweep.next(), 'swept');
  assert.deepEqual(copied, range(0, 24), 'a granule is swept whole');
  assert.equal(sweep.next(), 'over');
});

test('traps lead to their chunks, the first one first; then the order goes on where it was', () => {
  const { sweep, context, copied } = build();
  sweep.next();
  context.lead.add(14);
  context.lead.add(20);
  context.lead.add(12);
  sweep.next();
  assert.deepEqual(copied.splice(0), [...range(0, 4), ...range(12, 4)]);
  sweep.next();
  assert.deepEqual(copied.splice(0), range(16, 8));
  sweep.next();
  sweep.next();
  assert.deepEqual(copied, range(4, 8));
  assert.equal(sweep.next(), 'over');
  assert.equal(context.copied.size, 24);
});

test('where a trap was, only the rest of the chunk is copied, and all of it released', () => {
  const { sweep, context, machine, copied } = build();
  context.copied.set(9);
  context.lead.add(9);
  sweep.next();
  assert.deepEqual(copied, [8, 10, 11]);
  for (const block of range(8, 4)) assert.equal(machine.blocks.isProtected(block), false);
});

test('a lead to what is not armed, or copied by now, leads nowhere', () => {
  const { sweep, context, copied } = build();
  context.copied.setRange(8, 4);
  context.lead.add(30);
  context.lead.add(9);
  sweep.next();
  assert.deepEqual(copied, range(0, 4));
});

test('more leads than there is place for are left to the order', () => {
  const { sweep, context, copied } = build();
  for (let count = 0; count < 1000; count++) context.lead.add(13);
  sweep.next();
  assert.deepEqual(copied, range(12, 4));
  while (sweep.next() !== 'over');
  assert.equal(context.copied.size, 24);
});

test('a storage that wants order gets it: no chunk that traps lead to, and what is open where it stands', () => {
  const { context, machine, copied, sweep } = build([
    { first: 0, count: 8, kind: 'armed', granule: 1 },
    { first: 8, count: 8, kind: 'open', granule: 1 },
    { first: 16, count: 8, kind: 'armed', granule: 1 },
  ]);
  context.open.add(8, 8);
  const storage = context.storage as { inOrder?: boolean };
  context.lead.add(20);
  sweep.next();
  assert.deepEqual(copied.splice(0), range(20, 4));
  storage.inOrder = true;
  context.lead.add(16);
  for (let chunk = 0; chunk < 3; chunk++) sweep.next();
  assert.deepEqual(copied.splice(0), range(0, 12));
  storage.inOrder = false;
  sweep.next();
  assert.deepEqual(copied.splice(0), range(16, 4), 'the trap is not forgotten');
  assert.equal(sweep.next(), 'swept');
  assert.deepEqual(copied, range(12, 4));
  assert.equal(sweep.next(), 'over');
  assert.equal(machine.blocks.isProtected(16), false);
});
