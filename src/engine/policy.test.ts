import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryMachine } from '../machines/memory/machine.ts';
import { MemoryStorage } from './memory-storage.ts';
import { DEFAULT_POLICY, type Policy, worthAnotherRound } from './policy.ts';
import { Snapshot } from './snapshot.ts';

const { hotBlocks, maxRounds } = DEFAULT_POLICY;

test('as few noted blocks as are hot are copied in the hold, not armed again', () => {
  assert.equal(worthAnotherRound(DEFAULT_POLICY, 1, hotBlocks, Number.POSITIVE_INFINITY), false);
  assert.equal(worthAnotherRound(DEFAULT_POLICY, 1, hotBlocks + 1, Number.POSITIVE_INFINITY), true);
});

test('rounds go on while each leaves a fifth less, and not for ever', () => {
  assert.equal(worthAnotherRound(DEFAULT_POLICY, 2, 799, 1000), true);
  assert.equal(worthAnotherRound(DEFAULT_POLICY, 2, 800, 1000), false);
  assert.equal(worthAnotherRound(DEFAULT_POLICY, maxRounds - 1, 100, 1000), true);
  assert.equal(worthAnotherRound(DEFAULT_POLICY, maxRounds, 100, 1000), false);
});

test('steps and chunks that could split a granule are refused', () => {
  const machine = new MemoryMachine(8);
  const storage = new MemoryStorage(machine.blockBytes, 4);
  const take = (policy: Partial<Policy>): Snapshot =>
    new Snapshot(machine, storage, { ...DEFAULT_POLICY, ...policy }, machine.clock);
  for (const blocks of [0, 3, 6, -4]) {
    assert.throws(() => take({ chunkBlocks: blocks }), { code: 'INVARIANT' });
    assert.throws(() => take({ armStepBlocks: blocks }), { code: 'INVARIANT' });
  }
  assert.equal(take({ chunkBlocks: 1, armStepBlocks: 64 }).phase, 'survey');
});
