import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryMachine } from '../machines/memory/machine.ts';
import { MemoryStorage } from './memory-storage.ts';
import { DEFAULT_POLICY, type Policy } from './policy.ts';
import { Snapshot } from './snapshot.ts';

const BLOCK_BYTES = 8;
const LIMIT_NS = 1_000_000;
const POLICY: Policy = { ...DEFAULT_POLICY, chunkBlocks: 4, stallLimitNs: LIMIT_NS };

/** Storage that gives back one slot when it is told to. */
class DripStorage extends MemoryStorage {
  drips = 0;
  readonly #held: number[] = [];
  override close(offset: number): void {
    this.#held.push(offset);
  }
  override pump(): void {
    for (; this.drips > 0 && this.#held.length > 0; this.drips--) super.close(this.#held.shift()!);
    super.pump();
  }
}

/** A snapshot just after T0, with no room in its storage but what drips. */
function afterT0(blocks: number): { machine: MemoryMachine; storage: DripStorage; snapshot: Snapshot } {
  const machine = new MemoryMachine(blocks, { blockBytes: BLOCK_BYTES });
  machine.blocks.bytes.fill(9);
  machine.addRegion({ first: 0, count: blocks, kind: 'armed', granule: 1 });
  const storage = new DripStorage(BLOCK_BYTES, 1, { slotBlocks: 4, reserve: 0 });
  const snapshot = new Snapshot(machine, storage, POLICY, machine.clock);
  while (snapshot.phase !== 'copy') snapshot.step();
  while (storage.free > 0) snapshot.step();
  return { machine, storage, snapshot };
}

const store = (machine: MemoryMachine, writer: number, block: number): string =>
  machine.write(writer, { address: block * BLOCK_BYTES, value: 1, inKernel: false });

const failureOf = (snapshot: Snapshot): string | undefined => snapshot.failure?.code;

test('writers that take turns in waiting do not end a snapshot that serves each in time', () => {
  const { machine, storage, snapshot } = afterT0(64);
  const begin = machine.clock.now();
  // Always two wait; every so often one of them is served, and the next one comes.
  for (let block = 60; block > 20; block -= 2) {
    store(machine, block, block);
    store(machine, block - 1, block - 1);
    machine.clock.pass(LIMIT_NS / 4);
    storage.drips = 1;
    for (let step = 0; step < 4; step++) snapshot.step();
    storage.drips = 1;
    for (let step = 0; step < 4; step++) snapshot.step();
    assert.equal(failureOf(snapshot), undefined);
  }
  assert.ok(machine.clock.now() - begin > 3 * LIMIT_NS);
});

test('a writer that waits past the limit ends the snapshot, though others are served', () => {
  const { machine, storage, snapshot } = afterT0(64);
  store(machine, 0, 63);
  machine.clock.pass(LIMIT_NS / 2);
  for (let step = 0; step < 2; step++) snapshot.step();
  assert.equal(failureOf(snapshot), undefined);
  assert.equal(machine.waits(0), true);
  machine.clock.pass(LIMIT_NS);
  for (let step = 0; step < 2; step++) snapshot.step();
  assert.equal(failureOf(snapshot), 'STALLED');
  assert.equal(machine.waits(0), false, 'and is let go at once');
  assert.equal(storage.blocks.has(63), false);
});

test('a wait is measured from when the trap could first be seen to when its writer could go on', () => {
  const { machine, storage, snapshot } = afterT0(64);
  store(machine, 0, 63);
  snapshot.step();
  snapshot.step();
  machine.clock.pass(LIMIT_NS / 2);
  storage.drips = 1;
  while (machine.waits(0)) snapshot.step();
  const { waits, traps } = snapshot.statistics;
  assert.equal(traps, 1);
  assert.equal(waits.count, 1);
  assert.ok(waits.max >= LIMIT_NS / 2, `${waits.max} ns: the time in the queue is part of it`);
});

test('a removal of what is copied already is let go when it is told, others are copied in turns', () => {
  const { machine, storage, snapshot } = afterT0(64);
  // Blocks 0 to 3 were copied by the sweep, and filled the storage.
  machine.remove(0, 0, 4);
  machine.remove(1, 16, 32);
  machine.remove(2, 60, 4);
  while (machine.waits(0)) snapshot.step();
  assert.equal(machine.waits(2), true);
  for (let drip = 0; machine.waits(2); drip++) {
    assert.ok(drip < 4, 'the small one does not wait for the large one');
    storage.drips = 1;
    for (let step = 0; step < 4; step++) snapshot.step();
  }
  assert.equal(machine.waits(1), true);
});
