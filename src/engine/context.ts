import { LivecoreError } from '../errors.ts';
import { CopyMap, type LeafSupply } from './copy-map.ts';
import { type Clock, type Machine, Outcome, TrapBatch } from './machine.ts';
import type { Policy } from './policy.ts';
import { RangeList } from './range-list.ts';
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
  /** armed, and then written before T0: not protected until armed again */
  readonly noted: CopyMap;
  /** all that the sweep has to cover */
  readonly swept: RangeList = new RangeList();
  /** all that the snapshot holds: what is swept, and what only the hold could copy */
  readonly captured: RangeList = new RangeList();
  /** what the snapshot lists about itself */
  readonly unreliable: RangeList = new RangeList();
  readonly lost: RangeList = new RangeList();
  readonly traps: TrapBatch = new TrapBatch(TRAPS_AT_ONCE);
  readonly outcome: Outcome = new Outcome();

  constructor(machine: Machine, storage: SnapshotStorage, policy: Policy, clock: Clock, leaves?: LeafSupply) {
    this.machine = machine;
    this.storage = storage;
    this.policy = policy;
    this.clock = clock;
    this.copied = new CopyMap(leaves);
    // Not the machine's: what is noted is over at T0, and would only be copied along.
    this.noted = new CopyMap();
  }
}

/** An invariant of the engine: if it breaks, the snapshot ends, never the target. */
export function invariant(holds: boolean, what: string): void {
  if (!holds)
    throw new LivecoreError('INVARIANT', `snapshot given up: ${what}`, { cure: 'please report this' });
}
