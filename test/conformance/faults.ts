import assert from 'node:assert/strict';
import { LivecoreError } from '../../src/errors.ts';
import { type Checks, named } from './checks.ts';
import { FailingMachine } from './forwarding-machine.ts';
import { assertLetGo, assertStoredTrue, take } from './run.ts';
import type { Act } from './subject.ts';

const PROGRAM: readonly Act['kind'][] = ['store', 'kernelStore', 'remove', 'appear', 'stick', 'unstick'];
const SEED = 11;

/**
 * A snapshot can end at any moment: given up by its owner, or by a machine or a storage that fails. Each step and
 * each call at which that can happen is tried, in order; after each nobody waits, nobody is stopped, nothing is
 * protected, and the program has done all it was told.
 */
export function checkFaults(checks: Checks): void {
  checks.check('given up before any step, all is let go', [], async () => {
    await each(checks, await stepsOf(checks), 'given up at step', async (at) => {
      await using subject = await checks.create(SEED);
      const cancelled = new LivecoreError('CANCELLED', 'given up: a test does so');
      const taken = await take(subject, {
        acts: checks.busy(SEED, PROGRAM),
        before: ({ index, snapshot }) => {
          if (index === at || index === at + 1) snapshot.giveUp(cancelled);
        },
      });
      const { failure } = taken.snapshot;
      assert.ok(failure === cancelled || (failure === undefined && taken.steps.length <= at + 1));
      if (taken.steps.includes('held')) assertStoredTrue(subject, taken);
      // All is let go by the steps that follow; the disposal is not needed for it.
      await assertLetGo(subject);
    });
  });

  checks.check('disposed before any step, all is let go', [], async () => {
    await each(checks, await stepsOf(checks), 'disposed at step', async (at) => {
      await using subject = await checks.create(SEED);
      const acts = checks.busy(SEED, PROGRAM);
      await take(subject, { acts, until: ({ index }) => index === at });
      subject.machine[Symbol.dispose]();
      subject.machine[Symbol.dispose]();
      await assertLetGo(subject);
    });
  });

  for (const manner of ['before', 'after', 'lasting'] as const) {
    checks.check(
      `a machine that fails at any call (${manner}) ends the snapshot, not the program`,
      [],
      async () => {
        await each(checks, await callsOf(checks), 'failed at call', async (at) => {
          await using subject = await checks.create(SEED);
          let machine: FailingMachine | undefined;
          const taken = await take(subject, {
            acts: checks.busy(SEED, PROGRAM),
            through: (inner) => {
              machine = new FailingMachine(inner, at, manner);
              return machine;
            },
          });
          if (machine!.failed !== undefined)
            assert.match(taken.snapshot.failure?.message ?? '', /made to fail/);
          if (taken.steps.includes('held')) assertStoredTrue(subject, taken);
          subject.machine[Symbol.dispose]();
          await assertLetGo(subject);
        });
      },
    );
  }

  checks.check('a storage that fails from any call on ends the snapshot, in pieces', [], async () => {
    let calls = 0;
    await using counting = await checks.create(SEED);
    counting.storage.onCall = () => calls++;
    await take(counting, { acts: checks.busy(SEED, PROGRAM) });
    await each(checks, calls, 'storage failed at call', async (at) => {
      await using subject = await checks.create(SEED);
      const full = new LivecoreError('NO_SPACE', 'writing the file: no space left');
      let call = 0;
      subject.storage.onCall = () => {
        if (call++ >= at) throw full;
      };
      const { snapshot } = await take(subject, { acts: checks.busy(SEED, PROGRAM) });
      assert.ok(snapshot.failure === full || (snapshot.failure === undefined && call <= at));
      await assertLetGo(subject);
    });
  });

  checks.check('a listener that throws, or gives up from within, ends the snapshot', [], async () => {
    for (const turn of ['forecast', 'resumed'] as const) {
      for (const how of ['throws', 'gives up'] as const) {
        await named(`${turn} ${how}`, async () => {
          await using subject = await checks.create(SEED);
          const reason = new LivecoreError('CANCELLED', 'given up: a test does so');
          let giveUp = (): void => {};
          const listener = {
            [turn]: () => {
              if (how === 'throws') throw reason;
              giveUp();
            },
          };
          const taken = await take(subject, {
            listener,
            acts: checks.busy(SEED, PROGRAM),
            before: ({ snapshot }) => {
              giveUp = () => snapshot.giveUp(reason);
            },
          });
          assert.equal(taken.snapshot.failure, reason);
          assert.equal(taken.steps.includes('held'), turn === 'resumed' && how === 'gives up');
          await assertLetGo(subject);
        });
      }
    }
  });
}

/** Tries all of `count` places, or as many of them, evenly spread, as are worth their time on this machine. */
async function each(
  checks: Checks,
  count: number,
  what: string,
  body: (at: number) => Promise<void>,
): Promise<void> {
  assert.ok(count > 10, `only ${count} places to fail at`);
  const tries = Math.min(count, checks.kind.faultPoints);
  for (let index = 0; index < tries; index++) {
    const at = Math.floor((index * count) / tries);
    await named(`${what} ${at}`, () => body(at));
  }
}

async function stepsOf(checks: Checks): Promise<number> {
  await using subject = await checks.create(SEED);
  return (await take(subject, { acts: checks.busy(SEED, PROGRAM) })).steps.length;
}

async function callsOf(checks: Checks): Promise<number> {
  await using subject = await checks.create(SEED);
  let counting: FailingMachine | undefined;
  await take(subject, {
    acts: checks.busy(SEED, PROGRAM),
    through: (inner) => {
      counting = new FailingMachine(inner, Number.POSITIVE_INFINITY, 'before');
      return counting;
    },
  });
  return counting!.calls;
}
