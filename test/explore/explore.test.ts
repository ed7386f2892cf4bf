import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { groundOf, planOf } from '../../src/machines/ultrasparc/shape.ts';
import { DEFAULT_VARIANTS, refusal } from '../../src/machines/ultrasparc/variants.ts';
import { FAULTS } from './faults.ts';
import { courses, exploreCourse, exploreFault, exploreRisk } from './main.ts';
import { exploreRandomly } from './random.ts';
import { SMALL } from './scenarios.ts';

suite('every order of events, of a part of the combinations (the whole: npm run explore)', () => {
  for (const course of courses(true)) {
    test(course.name, async () => {
      const said: string[] = [];
      const totals = await exploreCourse(course, (line) => said.push(line));
      assert.equal(totals.violations, 0, said.join('\n'));
      assert.ok(totals.states > totals.combinations * 100, 'something was explored');
    });
  }
});

/** What docs/method.md says that shows each fault. */
function published(): Map<string, string> {
  const text = readFileSync(join(import.meta.dirname, '../../docs/method.md'), 'utf8');
  const table = text.slice(text.indexOf('| fault | shown by |'));
  return new Map([...table.matchAll(/^\| (.+?) \| (.+?) \|/gm)].map(([, name, what]) => [name!, what!]));
}

suite('planted faults', () => {
  const rows = published();
  for (const fault of FAULTS) {
    test(`${fault.name}: ${fault.harmless === undefined ? 'found' : 'no order shows it'}`, async () => {
      const { violations } = await exploreFault(fault);
      assert.equal(
        violations.length > 0,
        fault.harmless === undefined,
        violations[0]?.what ?? 'nothing was found',
      );
      for (const { schedule } of violations.slice(0, 1)) assert.ok(schedule.length > 0);
      // By the same thing: a fault that is found for another reason is not the one that was planted.
      const shownBy = violations[0]?.what ?? `no order: ${fault.harmless}`;
      assert.equal(
        rows.get(fault.name),
        shownBy,
        'the cure, if it is right: npm run explore -- --faults --write',
      );
    });
  }
});

test("DMA copied fast and not listed goes wrong, as the document's reservation has it", async () => {
  const { violations } = await exploreRisk();
  assert.match(violations[0]!.what, /not as it was at T0/);
  assert.equal(violations[0]!.events, 2, 'a transfer is let in, and lands');
});

test('what cannot be right is refused with the reason', () => {
  const ground = groundOf(planOf(SMALL));
  const none = { ...ground, slotRegisters: false };
  assert.match(refusal({ ...DEFAULT_VARIANTS, dma: 'suspend' }, none)?.reason ?? '', /slot registers/);
  const large = { ...ground, largePages: [{ first: 32, count: 8 }] };
  assert.match(refusal({ ...DEFAULT_VARIANTS, dma: 'exclude' }, large)?.cure ?? '', /pages=split/);
  assert.equal(
    refusal({ ...DEFAULT_VARIANTS, dma: 'exclude', map: 'mmu', pages: 'split' }, large),
    undefined,
  );
  assert.match(refusal(DEFAULT_VARIANTS, { ...ground, ownBlocks: [35] })?.reason ?? '', /block 35/);
});

test('random larger machines, the same with and without a snapshot', () => {
  const seed = Number(process.env['LIVECORE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  assert.equal(exploreRandomly(60, seed), undefined);
});
