/** What the method says of single turns of a snapshot, one after the other. */
import assert from 'node:assert/strict';
import { type Checks, roomFor } from './checks.ts';
import { STORES } from './programs.ts';
import { Random } from './random.ts';
import { assertLetGo, assertTrue, type Turn, take } from './run.ts';
import { type Act, PLACES, type Subject } from './subject.ts';

export function checkArming(checks: Checks): void {
  checks.check('what is written while arming is noted, armed again, and true', ['liveArming'], async () => {
    await using subject = await checks.create(1);
    const acts = ({ snapshot: { phase } }: Turn): Act[] =>
      phase === 'arm' || phase === 'survey' ? storesEverywhere(subject) : [];
    const taken = await take(subject, { acts });
    assertTrue(subject, taken);
    const { early, rounds } = taken.snapshot.statistics;
    assert.ok(early > 0, 'nothing was noted');
    assert.ok(rounds > 1, 'nothing was armed again');
    await assertLetGo(subject);
  });

  checks.checkSeeds(
    'what waits when T0 comes is not in the snapshot, and is made after it',
    [],
    async (seed) => {
      await using subject = await checks.create(seed);
      const acts = ({ snapshot: { phase } }: Turn): Act[] =>
        phase === 'hold' ? storesEverywhere(subject) : [];
      const taken = await take(subject, { acts });
      assertTrue(subject, taken);
      await assertLetGo(subject);
      return taken.snapshot.statistics.trapped;
    },
  );

  checks.check('a machine that is armed in the hold notes nothing', ['heldArming'], async () => {
    await using subject = await checks.create(2, { liveArming: false });
    const taken = await take(subject, { acts: checks.busy(2, STORES) });
    assertTrue(subject, taken);
    assert.equal(taken.snapshot.statistics.early, 0);
    assert.ok(!taken.steps.includes('protected'));
    await assertLetGo(subject);
  });
}

export function checkHold(checks: Checks): void {
  const stuck = (subject: Subject): Act[] => [{ kind: 'stick', writer: subject.writers - 1 }];
  const unstuck = (subject: Subject): Act[] => [{ kind: 'unstick', writer: subject.writers - 1 }];

  checks.check('a hold that takes too long is given up and tried again', ['stick'], async () => {
    await using subject = await checks.create(3);
    const acts = ({ index, snapshot }: Turn): Act[] => {
      if (index === 0) return stuck(subject);
      return snapshot.statistics.holdAttempts === 2
        ? unstuck(subject)
        : storesEverywhere(subject).slice(0, 1);
    };
    const taken = await take(subject, { acts });
    assertTrue(subject, taken);
    assert.ok(taken.snapshot.statistics.holdAttempts >= 2);
    await assertLetGo(subject);
  });

  checks.check('who stops only after the hold was given up is let go then', ['stick'], async () => {
    await using subject = await checks.create(3);
    let abandoned = false;
    const acts = ({ index, last, snapshot }: Turn): Act[] => {
      if (index === 0) return stuck(subject);
      if (last !== 'holding' || snapshot.phase !== 'survey' || abandoned) return [];
      abandoned = true;
      return [...unstuck(subject), ...storesEverywhere(subject)];
    };
    const taken = await take(subject, { acts });
    assertTrue(subject, taken);
    assert.equal(taken.snapshot.statistics.holdAttempts, 2);
    assert.ok(taken.snapshot.statistics.early > 0, 'its stores came before the second attempt');
    await assertLetGo(subject);
  });

  checks.check('a hold that never comes about is given up, and everybody goes on', ['stick'], async () => {
    await using subject = await checks.create(4);
    const pauses: number[] = [];
    let abandonedNs = 0;
    const acts = ({ index, last, snapshot }: Turn): Act[] => {
      if (last === 'holding' && snapshot.phase === 'survey') abandonedNs = subject.clock.now();
      if (last === 'surveyed' && abandonedNs > 0) {
        pauses.push(subject.clock.now() - abandonedNs);
        abandonedNs = 0;
      }
      if (index === 0) return stuck(subject);
      return snapshot.failure === undefined ? storesEverywhere(subject) : unstuck(subject);
    };
    const { snapshot } = await take(subject, { acts, policy: { holdAttempts: 3 } });
    assert.equal(snapshot.failure?.code, 'HOLD_FAILED');
    assert.equal(snapshot.statistics.holdAttempts, 3);
    assert.equal(subject.storage.blocks.size, 0);
    const holdRetryNs = subject.policy.holdRetryNs!;
    assert.equal(pauses.length, 2);
    assert.ok(pauses[0]! >= holdRetryNs, 'between two attempts the writers are left alone');
    assert.ok(pauses[1]! >= 2 * holdRetryNs, 'longer from one to the next');
    await assertLetGo(subject);
  });

  checks.check('a pause that would be too long is not begun', [], async () => {
    await using subject = await checks.create(5);
    const forecasts: number[] = [];
    const taken = await take(subject, {
      policy: { pauseLimitNs: -1 },
      listener: { forecast: (pauseNs) => forecasts.push(pauseNs) },
      acts: checks.busy(5, STORES),
    });
    assert.equal(taken.snapshot.failure?.code, 'PAUSE_TOO_LONG');
    assert.deepEqual(forecasts, [], 'what is not done is not announced');
    assert.ok(!taken.steps.includes('protected') && !taken.steps.includes('held'));
    assert.equal(subject.storage.blocks.size, 0);
    await assertLetGo(subject);
  });
}

export function checkMemoryThatComesAndGoes(checks: Checks): void {
  checks.checkSeeds('memory that appears before T0 is captured, after it not', ['appear'], async (seed) => {
    await using subject = await checks.create(seed);
    const random = new Random(seed);
    const acts = ({ last }: Turn): Act[] => {
      const appears = last === 'protected' || last === 'surveyed' || last === 'held' || last === 'copied';
      return appears ? [{ kind: 'appear', blocks: 1 + random.below(6) }, ...storesEverywhere(subject)] : [];
    };
    const taken = await take(subject, { acts });
    assertTrue(subject, taken);
    await assertLetGo(subject);
    return taken.snapshot.statistics.initial;
  });

  checks.checkSeeds('what is removed after T0 is copied first', ['remove'], async (seed) => {
    await using subject = await checks.create(seed);
    const acts = ({ last }: Turn): Act[] => (last === 'held' ? removeEverything(subject) : []);
    const taken = await take(subject, { acts });
    assertTrue(subject, taken);
    await assertLetGo(subject);
    return taken.snapshot.statistics.trapped;
  });

  checks.checkSeeds(
    'what is removed before T0 is in the snapshot as it was left',
    ['remove'],
    async (seed) => {
      await using subject = await checks.create(seed);
      const random = new Random(seed);
      const acts = ({ snapshot }: Turn): Act[] => {
        if (snapshot.phase !== 'arm' || !random.oneIn(4)) return [];
        return [...removeEverything(subject).slice(0, 2), ...storesEverywhere(subject).slice(0, 4)];
      };
      const taken = await take(subject, { acts });
      assertTrue(subject, taken);
      await assertLetGo(subject);
      return taken.checked.acknowledged;
    },
  );

  checks.check(
    'memory that is removed without a pause while arming ends the snapshot',
    ['remove', 'lockstep'],
    async () => {
      await using subject = await checks.create(10);
      const acts = ({ snapshot }: Turn): Act[] =>
        snapshot.phase === 'survey' || snapshot.phase === 'arm' ? removeEverything(subject) : [];
      const taken = await take(subject, { acts, policy: { refusalNs: subject.policy.stallLimitNs! } });
      assert.equal(taken.snapshot.failure?.code, 'STALLED');
      assert.ok(!taken.steps.includes('held'));
      await assertLetGo(subject);
    },
  );

  checks.checkSeeds('writers are let go when a removal is over', ['remove'], async (seed) => {
    await using subject = await checks.create(seed);
    const acts = ({ last }: Turn): Act[] =>
      last === 'held' ? [...removeEverything(subject).slice(0, 1), ...storesEverywhere(subject)] : [];
    const taken = await take(subject, { acts });
    assertTrue(subject, taken);
    await assertLetGo(subject);
    return taken.checked.refusals;
  });

  checks.checkSeeds('what is destroyed untold is listed, never content', ['destroy'], async (seed) => {
    await using subject = await checks.create(seed);
    const acts = ({ last }: Turn): Act[] =>
      last === 'held'
        ? [{ kind: 'destroy', place: PLACES / 3, blocks: 4 }, ...storesEverywhere(subject)]
        : [];
    const taken = await take(subject, { acts });
    assertTrue(subject, taken);
    await assertLetGo(subject);
    return taken.snapshot.lost.blocks;
  });
}

export function checkStorage(checks: Checks): void {
  checks.check('storage that stands still makes the sweep wait, not the snapshot fail', [], async () => {
    await using subject = await checks.create(6);
    const limitNs = subject.policy.stallLimitNs!;
    let stoodSinceNs = Number.POSITIVE_INFINITY;
    const before = ({ last }: Turn): void => {
      if (last === 'held') subject.storage.flowing = false;
      if (last === 'waited') stoodSinceNs = Math.min(stoodSinceNs, subject.clock.now());
      if (subject.clock.now() - stoodSinceNs > 3 * limitNs) subject.storage.flowing = true;
    };
    const taken = await take(subject, { before });
    assertTrue(subject, taken);
    const waits = taken.steps.filter((step) => step === 'waited').length;
    assert.ok(waits > 0, 'the sweep had to wait');
    assert.ok(waits * 50_000 < 4 * limitNs, `it waits, it does not spin: ${waits} times`);
    await assertLetGo(subject);
  });

  checks.check('while the sweep waits for room, traps have their reserve', ['lockstep'], async () => {
    await using subject = await checks.create(7, { storage: roomFor(9) });
    const free: number[] = [];
    const acts = ({ last }: Turn): Act[] => {
      if (last === 'copied') subject.storage.flowing = false;
      if (last !== 'waited') return [];
      free.push(subject.storage.free);
      return storesEverywhere(subject, free.length);
    };
    const taken = await take(subject, { acts });
    assert.equal(free[0], 3, 'the sweep left the reserve alone');
    assert.ok(taken.snapshot.statistics.trapped > 0);
    assert.equal(subject.storage.free, 0, 'the traps used it');
    assert.equal(taken.snapshot.failure?.code, 'STALLED', 'and past it nobody waits for ever');
    await assertLetGo(subject);
  });

  checks.check('a removal that finds no room ends the snapshot as well', ['remove'], async () => {
    await using subject = await checks.create(8);
    const acts = ({ last }: Turn): Act[] => {
      if (last === 'held') subject.storage.flowing = false;
      return last === 'held' ? removeEverything(subject) : [];
    };
    const taken = await take(subject, { acts });
    assert.equal(taken.snapshot.failure?.code, 'STALLED');
    await assertLetGo(subject);
  });

  checks.check('an initial copy that finds no room ends the hold', ['liveArming'], async () => {
    await using subject = await checks.create(9, { storage: roomFor(1) });
    subject.storage.flowing = false;
    const acts = ({ snapshot }: Turn): Act[] => (snapshot.phase === 'arm' ? storesEverywhere(subject) : []);
    const taken = await take(subject, { acts, policy: { maxRounds: 1 } });
    assert.equal(taken.snapshot.failure?.code, 'STALLED');
    assert.ok(!taken.steps.includes('held'));
    await assertLetGo(subject);
  });
}

/** Every writer stores all over the memory; elsewhere from one round to the next. */
export function storesEverywhere(subject: Subject, round = 0): Act[] {
  const acts: Act[] = [];
  for (let index = 0; index < 4 * subject.writers; index++) {
    const place = (Math.floor((index * PLACES) / (4 * subject.writers)) + round * 777) % PLACES;
    acts.push({ kind: index % 3 === 0 ? 'kernelStore' : 'store', writer: index % subject.writers, place });
  }
  return acts;
}

/** The writers take turns in emptying the whole memory. */
function removeEverything(subject: Subject): Act[] {
  return [...Array(16).keys()].map((index) => ({
    kind: 'remove',
    writer: index % subject.writers,
    place: (index * PLACES) / 16,
    blocks: 4,
  }));
}
