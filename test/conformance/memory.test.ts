import { test } from 'node:test';
import fc from 'fast-check';
import { roomFor } from './checks.ts';
import { MemorySubject, memory } from './memory-subject.ts';
import { assertLetGo, assertTrue, take } from './run.ts';
import { type Act, PLACES } from './subject.ts';
import { conformance } from './suite.ts';

conformance(memory);

const writer = fc.nat(2);
const place = fc.nat(PLACES - 1);
const blocks = fc.integer({ min: 1, max: 6 });

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('store' as const), writer, place }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('kernelStore' as const), writer, place }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), writer, place, blocks }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('destroy' as const), place, blocks }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('appear' as const), blocks }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('past' as const), place }) },
);

// Beside the seeded programs: schedules that shrink, so that what goes wrong is told in as few acts as can be.
test('any short schedule of acts between the steps', async () => {
  const schedule = fc.record({
    seed: fc.nat(50),
    liveArming: fc.boolean(),
    slots: fc.integer({ min: 2, max: 6 }),
    steps: fc.array(fc.array(act, { maxLength: 3 }), { maxLength: 40 }),
  });
  await fc.assert(
    fc.asyncProperty(schedule, async ({ seed, liveArming, slots, steps }) => {
      await using subject = new MemorySubject({ seed, liveArming, storage: roomFor(slots) });
      const taken = await take(subject, { acts: ({ index }) => steps[index] ?? [] });
      assertTrue(subject, taken);
      await assertLetGo(subject);
    }),
    { numRuns: 3000 },
  );
});
