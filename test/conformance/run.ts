import assert from 'node:assert/strict';
import type { Machine } from '../../src/engine/machine.ts';
import { DEFAULT_POLICY, type Policy } from '../../src/engine/policy.ts';
import { RangeList } from '../../src/engine/range-list.ts';
import { Snapshot, type SnapshotListener, type Step } from '../../src/engine/snapshot.ts';
import { CheckedMachine } from './checked-machine.ts';
import type { Act, Subject } from './subject.ts';

/** Small steps and chunks, so that little memory already takes many of them. */
export const SMALL_STEPS: Policy = {
  ...DEFAULT_POLICY,
  armStepBlocks: 8,
  chunkBlocks: 4,
  hotBlocks: 3,
  maxRounds: 4,
};

/** A snapshot under way, as the acts between its steps see it. */
export interface Turn {
  /** steps done so far */
  readonly index: number;
  /** what the last one did */
  readonly last: Step | undefined;
  readonly snapshot: Snapshot;
}

export interface RunOptions {
  readonly policy?: Partial<Policy>;
  readonly listener?: SnapshotListener;
  /** what the program does before each step */
  readonly acts?: (turn: Turn) => readonly Act[];
  /** called before each step, after the acts */
  readonly before?: (turn: Turn) => void;
  /** leaves the snapshot where it is */
  readonly until?: (turn: Turn) => boolean;
  /** stands between the engine's checks and the machine, to make it fail */
  readonly through?: (machine: Machine) => Machine;
  /** more steps than this mean that it does not end */
  readonly maxSteps?: number;
}

/** What came of it. */
export interface Taken {
  readonly snapshot: Snapshot;
  readonly checked: CheckedMachine;
  readonly steps: Step[];
}

/** Takes a snapshot of a subject, with its program acting between any two steps. */
export async function take(subject: Subject, options: RunOptions = {}): Promise<Taken> {
  const machine = options.through?.(subject.machine) ?? subject.machine;
  const checked: CheckedMachine = new CheckedMachine(machine, () => snapshot.failure !== undefined);
  const policy = { ...SMALL_STEPS, ...subject.policy, ...options.policy };
  const snapshot: Snapshot = new Snapshot(checked, subject.storage, policy, subject.clock, {
    listener: options.listener,
  });
  const steps: Step[] = [];
  const maxSteps = options.maxSteps ?? 20_000;
  while (steps.at(-1) !== 'ended') {
    const turn = { index: steps.length, last: steps.at(-1), snapshot };
    for (const act of options.acts?.(turn) ?? []) await subject.act(act);
    await subject.pass(0);
    options.before?.(turn);
    if (options.until?.(turn)) break;
    const { refused } = subject.storage;
    const { refusals } = checked;
    const step = snapshot.step();
    if (step === 'held') subject.held();
    steps.push(step);
    assert.ok(steps.length < maxSteps, `no end after ${maxSteps} steps, in phase ${snapshot.phase}`);
    expectServed(checked, step, subject.storage.refused - refused + checked.refusals - refusals);
  }
  assert.deepEqual(checked.faults, [], 'the engine keeps the contract');
  assert.deepEqual(subject.storage.faults, [], 'and the storage');
  return { snapshot, checked, steps };
}

/** After traps were served, nobody who was told waits for anything but room, or for the machine to let it go. */
function expectServed(checked: CheckedMachine, step: Step, refused: number): void {
  if (step !== 'served' || refused > 0) return;
  assert.equal(checked.outstandingWrites, 0, 'a writer waits although it was told and there is room');
}

/** The snapshot is whole and true: each block that there was at T0 is in it as it was, or listed with an excuse. */
export function assertTrue(subject: Subject, { snapshot }: Taken): void {
  assert.equal(snapshot.failure, undefined);
  const { storage } = subject;
  const wrong: string[] = [];
  const excuse = (block: number, listed: 'lost' | 'absent' | 'unreliable'): void => {
    if (subject.excuse(block, listed) === undefined) wrong.push(`block ${block} is listed as ${listed}`);
  };
  for (const block of blocksOf(subject.expected())) {
    if (!snapshot.captured.has(block)) wrong.push(`block ${block} is not captured`);
    const content = storage.blocks.get(block);
    const listed = [snapshot.lost.has(block), snapshot.absent.has(block), content !== undefined];
    if (listed.filter(Boolean).length !== 1) wrong.push(`block ${block} is not accounted for once`);
    if (snapshot.lost.has(block)) excuse(block, 'lost');
    if (snapshot.absent.has(block)) excuse(block, 'absent');
    if (snapshot.unreliable.has(block)) excuse(block, 'unreliable');
    else if (content !== undefined) {
      const fault = subject.wrongAtT0(block, content);
      if (fault !== undefined) wrong.push(`block ${block}: ${fault}`);
    }
  }
  assert.deepEqual(wrong, []);
  assertCounted(subject, snapshot);
}

/** Given up or not: what was stored by then is of T0, unless it is listed. */
export function assertStoredTrue(subject: Subject, { snapshot }: Taken): void {
  for (const [block, content] of subject.storage.blocks) {
    if (!snapshot.unreliable.has(block)) assert.equal(subject.wrongAtT0(block, content), undefined);
  }
}

/** What is stored is captured, and the statistics count each block once. */
function assertCounted(subject: Subject, snapshot: Snapshot): void {
  const { captured, unreliable, lost, absent, statistics } = snapshot;
  const stored = subject.storage.blocks;
  for (const block of stored.keys()) assert.ok(captured.has(block), `block ${block} is stored, not captured`);
  for (const block of blocksOf([...lost, ...absent])) assert.ok(!stored.has(block));
  for (const block of blocksOf([...unreliable])) assert.ok(stored.has(block));
  if (subject.knowsAll) {
    const expected = new RangeList();
    for (const { first, count } of subject.expected()) expected.add(first, count);
    assert.deepEqual([...captured], [...expected], 'captured is what there was at T0');
  }
  const { initial, trapped, swept, zero } = statistics;
  assert.equal(initial + trapped + swept + zero, stored.size);
  assert.equal(statistics.lost, lost.blocks);
  assert.equal(statistics.absent, absent.blocks);
  assert.equal(statistics.unreliable, unreliable.blocks);
  assert.equal(stored.size + statistics.lost + statistics.absent, captured.blocks);
  assert.equal(snapshot.done, captured.blocks);
  assert.equal(statistics.waits.count, statistics.traps);
}

/** Nothing is left of the snapshot in the machine, and the program has done all it was told, once and in order. */
export async function assertLetGo(subject: Subject): Promise<void> {
  assert.deepEqual(await subject.settle(), []);
}

function* blocksOf(ranges: Iterable<{ readonly first: number; readonly count: number }>): Generator<number> {
  for (const { first, count } of ranges) for (let block = first; block < first + count; block++) yield block;
}
