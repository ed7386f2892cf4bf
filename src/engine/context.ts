import { LivecoreError } from '../errors.ts';
import { CopyMap, type LeafSupply } from './copy-map.ts';
import { Lead } from './lead.ts';
import { type Clock, type Machine, Outcome, TrapBatch } from './machine.ts';
import { Noted } from './noted.ts';
import type { Policy } from './policy.ts';
import { RangeList } from './range-list.ts';
import { Releases } from './releases.ts';
import { Statistics } from './statistics.ts';
import type { SnapshotStorage } from './storage.ts';

const TRAPS_AT_ONCE = 256;

/** What the parts of one snapshot share. */
export class Context {
  readonly machine: Machine;
  readonly storage: SnapshotStorage;
  readonly policy: Policy;
  readonly clock: Clock;
  readonly statistics: Statistics = new Statistics();
  /** copied, or known to be out of reach: nothing is left to do for a block in it */
  readonly copied: CopyMap;
  readonly noted: Noted;
  /** all that is armed, or was; the sweep covers it, and only here are there traps */
  readonly armed: RangeList = new RangeList();
  /** what the machine asked to have copied in the hold */
  readonly asked: RangeList = new RangeList();
  /** what is never protected, and swept last */
  readonly open: RangeList = new RangeList();
  /** what the snapshot lists about itself */
  readonly unreliable: RangeList = new RangeList();
  readonly lost: RangeList = new RangeList();
  readonly absent: RangeList = new RangeList();
  readonly releases: Releases;
  readonly lead: Lead = new Lead();
  readonly traps: TrapBatch = new TrapBatch(TRAPS_AT_ONCE);
  readonly outcome: Outcome = new Outcome();

  constructor(machine: Machine, storage: SnapshotStorage, policy: Policy, clock: Clock, leaves?: LeafSupply) {
    // Cut at multiples of a power of two, no chunk and no step splits a granule.
    invariant(isPowerOfTwo(policy.chunkBlocks), 'chunkBlocks is not a power of two');
    invariant(isPowerOfTwo(policy.armStepBlocks), 'armStepBlocks is not a power of two');
    this.machine = machine;
    this.storage = storage;
    this.policy = policy;
    this.clock = clock;
    this.releases = new Releases(machine);
    this.copied = new CopyMap(leaves);
    // Not in the machine's memory: what is noted is over at T0, and would only be copied along.
    this.noted = new Noted();
  }
}

/** An invariant of the engine: if it breaks, the snapshot ends, never the target. */
export function invariant(holds: boolean, what: string): void {
  if (!holds)
    throw new LivecoreError('INVARIANT', `snapshot given up: ${what}`, { cure: 'please report this' });
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}
