import assert from 'node:assert/strict';
import { type Checks, roomFor } from './checks.ts';
import { Random } from './random.ts';
import { assertLetGo, assertTrue, type Taken, take } from './run.ts';
import type { Act, SubjectKind } from './subject.ts';

export const STORES: readonly Act['kind'][] = ['store', 'kernelStore'];
const FOREVER = Number.POSITIVE_INFINITY;

/** Programs that do things at random, between any two steps. */
export function checkPrograms(checks: Checks): void {
  checks.checkSeeds('a program at rest is captured as it is', [], async (seed) => {
    await using subject = await checks.create(seed);
    const taken = await take(subject);
    assertTrue(subject, taken);
    const { traps, early } = taken.snapshot.statistics;
    // Of a real process somebody may wake and write to a stack.
    if (subject.knowsAll) assert.deepEqual({ traps, early }, { traps: 0, early: 0 });
    await assertLetGo(subject);
    return taken.snapshot.captured.blocks;
  });

  checks.checkSeeds('stores at any moment: the snapshot is of T0, no store is lost', [], async (seed) => {
    await using subject = await checks.create(seed);
    const taken = await take(subject, { acts: checks.busy(seed, STORES) });
    assertTrue(subject, taken);
    await assertLetGo(subject);
    return taken.snapshot.statistics.trapped;
  });

  checks.checkSeeds('a program that never rests: the snapshot comes to its end', [], async (seed) => {
    await using subject = await checks.create(seed);
    const acts = checks.busy(seed, [...STORES, 'remove'], FOREVER);
    const taken = await take(subject, { acts, maxSteps: 2_000 });
    assertTrue(subject, taken);
    await assertLetGo(subject);
    return taken.snapshot.statistics.swept;
  });

  const reached = new Set<string>();
  checks.checkSeeds('whatever a program does, however slow the storage is', [], async (seed) => {
    const random = new Random(seed);
    const liveArming = checks.kind.lacks.liveArming === undefined && seed % 5 !== 0;
    await using subject = await checks.create(seed, { liveArming, storage: roomFor(2 + random.below(5)) });
    const slowness = 1 + random.below(8);
    subject.storage.moves = () => random.oneIn(slowness);
    const acts = checks.busy(seed, [...STORES, 'remove', 'destroy', 'appear', 'past', 'stick', 'unstick']);
    const taken = await take(subject, { acts });
    const { failure } = taken.snapshot;
    if (failure === undefined) assertTrue(subject, taken);
    else assert.match(failure.code, /^(HOLD_FAILED|STALLED)$/, failure.stack);
    for (const turn of turnsOf(taken)) reached.add(turn);
    // A writer that did not stop in time is let go by this.
    if (failure !== undefined) subject.machine[Symbol.dispose]();
    await assertLetGo(subject);
    return 1;
  });

  checks.check('these programs lead the engine through all its turns', [], () => {
    // A machine for which a handful of schedules is all that its time allows does not get everywhere.
    if (checks.kind.schedules < 100) return Promise.resolve();
    const missing = turnsToReach(checks.kind).filter((turn) => !reached.has(turn));
    assert.deepEqual(missing, []);
    return Promise.resolve();
  });
}

function turnsToReach({ lacks, unreached }: SubjectKind): string[] {
  const turns = ['good', 'initial', 'trapped', 'swept', 'early', 'traps', 'armed again', 'waited'];
  if (lacks.destroy === undefined) turns.push('lost');
  if (lacks.destroy === undefined && unreached?.absent === undefined) turns.push('absent');
  if (lacks.remove === undefined && unreached?.zero === undefined) turns.push('zero');
  if (lacks.past === undefined) turns.push('unreliable');
  if (lacks.stick === undefined) turns.push('held again', 'HOLD_FAILED');
  return turns;
}

function turnsOf({ steps, snapshot }: Taken): string[] {
  const { statistics, failure } = snapshot;
  const turns = [failure?.code ?? 'good'];
  if (statistics.rounds > 1) turns.push('armed again');
  if (statistics.holdAttempts > 1) turns.push('held again');
  if (steps.includes('waited')) turns.push('waited');
  for (const [name, value] of Object.entries(statistics)) if (value > 0) turns.push(name);
  return turns;
}
