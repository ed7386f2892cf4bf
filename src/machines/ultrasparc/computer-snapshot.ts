import { DEFAULT_POLICY, type Policy } from '../../engine/policy.ts';
import { Snapshot } from '../../engine/snapshot.ts';
import type { Bus } from './bus.ts';
import { copyMapMemory } from './copy-map-memory.ts';
import { UltrasparcMachine } from './machine.ts';
import { UltrasparcStorage } from './storage.ts';

/** Steps that suit a machine of some dozens of blocks. */
const SMALL_MACHINE: Partial<Policy> = { armStepBlocks: 4, chunkBlocks: 2, hotBlocks: 1, maxRounds: 2 };

/** A snapshot of the computer on a bus, as its variants say; step it until it is `ended`. */
export function snapshotOf(bus: Bus, policy: Partial<Policy> = {}): Snapshot {
  const machine = new UltrasparcMachine(bus);
  const all = { ...DEFAULT_POLICY, ...SMALL_MACHINE, ...policy };
  return new Snapshot(machine, new UltrasparcStorage(bus), all, machine.clock, {
    leaves: copyMapMemory(bus),
  });
}
