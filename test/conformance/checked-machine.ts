import { CopyMap } from '../../src/engine/copy-map.ts';
import type { Machine, Outcome, RangeSink, TrapBatch } from '../../src/engine/machine.ts';
import { RangeList } from '../../src/engine/range-list.ts';
import { ForwardingMachine, type Method } from './forwarding-machine.ts';

/** How far the contract has come. */
type Stage = 'arming' | 'holding' | 'held' | 'running' | 'disarming';

/** When each method may be asked; `granule`, `takeTraps` and what is not here are looked at where they are. */
const stagesOf: Partial<Record<Method, readonly Stage[]>> = {
  survey: ['arming'],
  protect: ['arming', 'held'],
  forecastPause: ['arming'],
  beginHold: ['arming'],
  continueHold: ['holding'],
  abandonHold: ['holding', 'held'],
  initial: ['held'],
  resume: ['held'],
  takeTraps: ['arming', 'holding', 'running', 'disarming'],
  copy: ['held', 'running'],
  release: ['arming', 'holding', 'running', 'disarming'],
  acknowledge: ['arming', 'holding', 'running', 'disarming'],
};

interface Range {
  readonly first: number;
  readonly count: number;
}

/**
 * A machine that holds the engine to the contract: what is asked when, that nothing is released or destroyed
 * uncopied, nothing copied twice, no granule split, no trap forgotten.
 */
export class CheckedMachine extends ForwardingMachine {
  /** what the engine did against the contract; not thrown, because the engine would take it for the machine's */
  readonly faults: string[] = [];
  /** how often the machine could not release what it was asked to */
  refusals = 0;
  /** how often somebody was let on to remove memory */
  acknowledged = 0;
  #stage: Stage = 'arming';
  #inside: Method | undefined;
  readonly #isGivenUp: () => boolean;
  readonly #surveyed = new RangeList();
  readonly #asked = new RangeList();
  readonly #open = new RangeList();
  readonly #copied = new CopyMap();
  #writes: Range[] = [];
  #removals: Range[] = [];
  #t0 = false;

  /** @param isGivenUp whether the snapshot has been given up: all may be released then, copied or not */
  constructor(inner: Machine, isGivenUp: () => boolean) {
    super(inner);
    this.#isGivenUp = isGivenUp;
  }

  /** writers that were told to the engine and are not released yet */
  get outstanding(): number {
    return this.#writes.length + this.#removals.length;
  }
  get outstandingWrites(): number {
    return this.#writes.length;
  }

  protected override around<Result>(method: Method, call: () => Result): Result {
    this.#expect(this.#inside === undefined, `${method} is asked from within ${this.#inside}`);
    const allowed = stagesOf[method];
    const late = method === 'takeTraps' || method === 'release' || method === 'acknowledge';
    if (allowed !== undefined && !(late && this.#isGivenUp())) {
      this.#expect(allowed.includes(this.#stage), `${method} is asked while ${this.#stage}`);
    }
    this.#inside = method;
    try {
      return call();
    } finally {
      this.#inside = undefined;
    }
  }

  override survey(found: RangeSink): boolean {
    return super.survey(both(found, this.#surveyed));
  }

  override protect(first: number, count: number): boolean {
    this.#expectWhole('protect', first, count);
    for (let block = first; block < first + count; block++) {
      this.#expect(this.#surveyed.has(block), `block ${block} is protected, but no survey gave it`);
    }
    if (this.#stage === 'held')
      this.#expect(
        !this.capabilities.liveArming || this.granule(first) > 1,
        'the engine arms single blocks inside the hold',
      );
    return super.protect(first, count);
  }

  override beginHold(): void {
    try {
      super.beginHold();
    } finally {
      this.#stage = 'holding';
    }
  }

  override continueHold(): 'holding' | 'held' {
    const answer = super.continueHold();
    if (answer === 'held') {
      this.#stage = 'held';
      this.#t0 = true;
    }
    return answer;
  }

  override abandonHold(): void {
    super.abandonHold();
    this.#stage = this.#isGivenUp() ? 'disarming' : 'arming';
  }

  override initial(found: RangeSink, armed: RangeSink, open: RangeSink): void {
    super.initial(both(found, this.#asked), both(armed, this.#surveyed), both(open, this.#open));
  }

  override resume(): void {
    super.resume();
    this.#stage = 'running';
  }

  override takeTraps(traps: TrapBatch, timeoutNs: number): void {
    super.takeTraps(traps, timeoutNs);
    for (let index = 0; index < traps.length; index++) {
      const range = { first: traps.firsts[index]!, count: traps.counts[index]! };
      (traps.kinds[index] === 'remove' ? this.#removals : this.#writes).push(range);
    }
  }

  override acknowledge(first: number, count: number): void {
    const index = this.#removals.findIndex((each) => each.first === first && each.count === count);
    this.#expect(
      index >= 0 || this.#isGivenUp(),
      `the removal of ${first} is acknowledged, but nobody waits for it`,
    );
    this.#expectCopied('destroyed', first, count);
    super.acknowledge(first, count);
    this.acknowledged++;
    if (index >= 0) this.#removals.splice(index, 1);
  }

  override release(first: number, count: number): boolean {
    this.#expectWhole('release', first, count);
    this.#expectCopied('released', first, count);
    if (!super.release(first, count)) {
      this.refusals++;
      return false;
    }
    this.#writes = this.#writes.filter(
      (each) => each.first + each.count <= first || each.first >= first + count,
    );
    return true;
  }

  override copy(first: number, count: number, staging: Uint8Array, offset: number, outcome: Outcome): void {
    for (let block = first; block < first + count; block++) {
      this.#expect(
        this.#surveyed.has(block) || this.#asked.has(block) || this.#open.has(block),
        `block ${block} is copied, but is not part of the snapshot`,
      );
    }
    super.copy(first, count, staging, offset, outcome);
    this.#expect(this.#copied.setRange(first, count) === count, `blocks from ${first} on are copied twice`);
  }

  override disarm(): boolean {
    if (!this.#isGivenUp()) {
      this.#expect(this.#stage === 'running' || this.#stage === 'disarming', `disarm while ${this.#stage}`);
      for (const { first, count } of this.#surveyed.union(this.#asked).union(this.#open)) {
        const missing = this.#copied.nextClear(first, first + count);
        this.#expect(missing === first + count, `disarmed, but block ${missing} is not copied`);
      }
    }
    this.#stage = 'disarming';
    return super.disarm();
  }

  #expect(holds: boolean, fault: string): void {
    if (!holds) this.faults.push(fault);
  }

  #expectCopied(how: string, first: number, count: number): void {
    if (!this.#t0 || this.#isGivenUp()) return;
    for (let block = first; block < first + count; block++) {
      if (this.#surveyed.has(block))
        this.#expect(this.#copied.has(block), `block ${block} is ${how} uncopied`);
    }
  }

  #expectWhole(method: string, first: number, count: number): void {
    const last = first + count - 1;
    const starts = first % this.inner.granule(first) === 0 || !this.#surveyed.has(first - 1);
    const ends = (last + 1) % this.inner.granule(last) === 0 || !this.#surveyed.has(last + 1);
    this.#expect(starts && ends, `${method} of ${count} blocks at ${first} splits a granule`);
  }
}

/** Both hear of what is added. */
function both(one: RangeSink, other: RangeSink): RangeSink {
  return {
    add(first, count) {
      other.add(first, count);
      one.add(first, count);
    },
  };
}
