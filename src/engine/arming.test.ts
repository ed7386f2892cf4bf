import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryMachine } from '../machines/memory/machine.ts';
import { MemoryStorage } from './memory-storage.ts';
import { DEFAULT_POLICY, type Policy } from './policy.ts';
import { Snapshot } from './snapshot.ts';

const BLOCKS = 1 << 17;
const BLOCK_BYTES = 8;
const POLICY: Policy = { ...DEFAULT_POLICY, armStepBlocks: 2048, hotBlocks: 48 };

/** A snapshot of one region, whose writers each make a store to another block before every step until the hold. */
function arm(writers: number, policy: Policy): Snapshot {
  const machine = new MemoryMachine(BLOCKS, { blockBytes: BLOCK_BYTES });
  machine.addRegion({ first: 0, count: BLOCKS, kind: 'armed', granule: 1 });
  const storage = new MemoryStorage(BLOCK_BYTES, 64, { slotBlocks: 64 });
  const snapshot = new Snapshot(machine, storage, policy, machine.clock);
  for (let step = 0; snapshot.phase === 'survey' || snapshot.phase === 'arm'; step++) {
    for (let writer = 0; writer < writers; writer++) {
      // Odd, so that it comes to every block before it comes to one again.
      const block = ((step * writers + writer) * 7919) % BLOCKS;
      machine.write(writer, { address: block * BLOCK_BYTES, value: 1, inKernel: false });
    }
    snapshot.step();
  }
  return snapshot;
}

test('eight writers that never rest: arming comes down to the hot blocks', () => {
  const { statistics } = arm(8, POLICY);
  assert.equal(statistics.converged, true);
  assert.ok(statistics.early > POLICY.hotBlocks, 'not in the first round');
  assert.ok(statistics.rounds > 1 && statistics.rounds <= 4, `${statistics.rounds} rounds`);
});

test('arming that can not come down to the hot blocks says so', () => {
  const { statistics } = arm(8, { ...POLICY, maxRounds: 1 });
  assert.equal(statistics.converged, false);
  assert.equal(statistics.rounds, 1);
});

test('many small ranges are armed many in a step', () => {
  const machine = new MemoryMachine(BLOCKS, { blockBytes: BLOCK_BYTES });
  const ranges = 1000;
  for (let range = 0; range < ranges; range++)
    machine.addRegion({ first: range * 8, count: 4, kind: 'armed', granule: 1 });
  const storage = new MemoryStorage(BLOCK_BYTES, 64);
  const policy = { ...POLICY, armStepBlocks: 256 };
  const snapshot = new Snapshot(machine, storage, policy, machine.clock);
  let steps = 0;
  while (snapshot.phase === 'survey' || snapshot.phase === 'arm') {
    if (snapshot.step() === 'protected') steps++;
  }
  // A range costs 4 blocks, and a call as much as 32: after seven of them the eighth still has its 4 of 256.
  assert.equal(steps, ranges / 8);
});

test('a block noted twice counts each time, and once among the noted', () => {
  const machine = new MemoryMachine(64, { blockBytes: BLOCK_BYTES });
  machine.addRegion({ first: 0, count: 64, kind: 'armed', granule: 1 });
  const storage = new MemoryStorage(BLOCK_BYTES, 64);
  const snapshot = new Snapshot(machine, storage, { ...POLICY, hotBlocks: 0, maxRounds: 2 }, machine.clock);
  let rounds = 0;
  while (snapshot.phase === 'survey' || snapshot.phase === 'arm') {
    if (snapshot.step() !== 'protected') continue;
    rounds++;
    for (const writer of [0, 1]) {
      assert.equal(
        machine.write(writer, { address: 5 * BLOCK_BYTES + writer, value: 1, inKernel: false }),
        'waits',
      );
    }
  }
  assert.equal(rounds, 2);
  assert.equal(snapshot.statistics.early, 2);
});
