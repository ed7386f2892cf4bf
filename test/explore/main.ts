/**
 * `npm run explore`: every order of events of the small machines, for every legal combination of variants; every
 * planted fault, with the shortest schedule that shows it; larger machines under random schedules.
 */
import { parseArgs } from 'node:util';
import { writeBlock } from '../../scripts/made-block.ts';
import { groundOf, planOf, type Shape } from '../../src/machines/ultrasparc/shape.ts';
import {
  DEFAULT_VARIANTS,
  describeVariants,
  legalCombinations,
  type Variants,
} from '../../src/machines/ultrasparc/variants.ts';
import { Explorer, type Findings } from './explorer.ts';
import { FAULTS, type Fault } from './faults.ts';
import { count, describeTotals, exploreInProcesses, work } from './jobs.ts';
import { exploreRandomly } from './random.ts';
import { FETCHES, LARGE, ODD, ODD_ALIAS, OWN_TSBS, SMALL, shorter, withEvent } from './scenarios.ts';
import { loadSubject } from './subject.ts';

const DOCUMENT = 'docs/method.md';

/** A machine and how much of it is explored. */
export interface Course {
  readonly name: string;
  /** what it is, for the table */
  readonly what?: string;
  readonly shape: Shape;
  readonly variants: readonly Variants[];
  /** see ExploreOptions */
  readonly turns?: boolean;
}

export interface Totals {
  combinations: number;
  states: number;
  orders: number;
  violations: number;
}

/** Every legal combination of a shape; where it has no large page, `pages` makes no difference and counts once. */
export function combinationsOf(shape: Shape): Variants[] {
  const all = legalCombinations(groundOf(planOf({ ...shape, variants: { pages: 'split' } })));
  const large = shape.pages.some((page) => (page.size ?? 0) > 0);
  return large ? all : all.filter((variants) => variants.pages === 'whole');
}

export async function exploreOne(shape: Shape, variants: Variants, turns = false): Promise<Findings> {
  const subject = await loadSubject('as-it-is');
  const started = variants.start === 'event' ? withEvent(shape) : shape;
  return new Explorer(subject, { ...started, variants }, { turns }).explore();
}

/** The choice that can't be right: DMA copied first and fast, and not listed. Its violations are the document's own reservation. */
export function exploreRisk(): Promise<Findings> {
  return exploreOne(shorter(SMALL, 1), { ...DEFAULT_VARIANTS, dma: 'risk' });
}

/** Explores a fault, on its machine, and gives what shows it. */
export async function exploreFault(fault: Fault): Promise<Findings> {
  const subject = await loadSubject(fault.name.replaceAll(/\W+/g, '-'), fault);
  const shape = { ...fault.shape, variants: fault.variants ?? {} };
  const { fuse = true, turns = false } = fault;
  const findings = new Explorer(subject, shape, { fuse, turns }).explore();
  const unseen = findings.violations[0]?.schedule.length === 0;
  return unseen ? new Explorer(subject, shape, { fuse, turns, trace: true }).explore() : findings;
}

export async function exploreCourse(
  { name, shape, variants, turns }: Course,
  say: (line: string) => void,
): Promise<Totals> {
  const totals: Totals = { combinations: 0, states: 0, orders: 0, violations: 0 };
  const started = performance.now();
  for (const one of variants) {
    count(totals, `${name} ${describeVariants(one)}`, await exploreOne(shape, one, turns), say);
  }
  const seconds = (performance.now() - started) / 1000;
  say(`${name}: ${describeTotals(totals)}, ${seconds.toFixed(1)} s`);
  return totals;
}

/** The table of faults for the report. */
export async function faultTable(
  faults: readonly Fault[] = FAULTS,
): Promise<{ table: string[]; missed: string[] }> {
  const table = [
    '| fault | shown by | steps of processors and devices | shortest schedule |',
    '|---|---|---|---|',
  ];
  const missed: string[] = [];
  for (const fault of faults) {
    const first = (await exploreFault(fault)).violations[0];
    if ((first === undefined) !== (fault.harmless !== undefined)) missed.push(fault.name);
    if (first === undefined) table.push(`| ${fault.name} | no order: ${fault.harmless ?? '???'} | - | - |`);
    else table.push(`| ${fault.name} | ${first.what} | ${first.events} | ${first.schedule.join('; ')} |`);
  }
  return { table, missed };
}

/**
 * The whole, or with `quick` the part for every change. Of the large page's machine one access of each processor is
 * explored. Three hours and a half on one CPU: `--jobs` takes several, `--only` and `--shard` take a part.
 */
export function courses(quick: boolean): Course[] {
  const small = combinationsOf(SMALL);
  const large = combinationsOf(LARGE);
  const odd = combinationsOf(ODD);
  const alias = combinationsOf(ODD_ALIAS);
  const own = combinationsOf(OWN_TSBS);
  const fetches = combinationsOf(FETCHES);
  const some = (all: Variants[], step: number): Variants[] => all.filter((_, index) => index % step === 0);
  const inHold = large.filter((variants) => variants.arming === 'hold');
  const live = large.filter((variants) => variants.arming === 'live');
  const largeShort = shorter(LARGE, 1);
  if (!quick) {
    return [
      {
        name: 'small',
        what: 'small: 6 blocks, 2 processors with 3 and 4 instructions, 1 transfer, an alias, a context switch',
        shape: SMALL,
        variants: small,
      },
      {
        name: 'small, 1 access each, at every turn',
        what: 'the same with 1 access each, at every turn',
        shape: shorter(SMALL, 1),
        variants: small,
        turns: true,
      },
      {
        name: 'odd',
        what: 'odd: the same, memory removed and destroyed, a store made in the kernel',
        shape: ODD,
        variants: odd,
      },
      { name: 'odd, by an alias', what: 'odd, destroyed by an alias', shape: ODD_ALIAS, variants: alias },
      {
        name: 'a TSB for each process, 2 accesses each',
        what: 'small, a TSB for each process, 2 accesses each',
        shape: shorter(OWN_TSBS, 2),
        variants: own,
      },
      {
        name: 'large page, fetched from',
        what: '11 blocks, a large page: 2 fetches, a switch and a load',
        shape: FETCHES,
        variants: fetches,
      },
      {
        name: 'large page, armed in the hold',
        what: 'a large page, armed in the hold, 1 access each',
        shape: largeShort,
        variants: inHold,
      },
      {
        name: 'large page, armed live',
        what: 'a large page, armed live, 1 access each',
        shape: largeShort,
        variants: live,
      },
    ];
  }
  // Steps that share no factor with the numbers of choices, so that all choices come up.
  return [
    { name: 'small, 1 access each', shape: shorter(SMALL, 1), variants: some(small, 23) },
    {
      name: 'small, 1 access each, at every turn',
      shape: shorter(SMALL, 1),
      variants: some(small, 191),
      turns: true,
    },
    { name: 'small', shape: SMALL, variants: some(small, 383) },
    { name: 'large page, armed in the hold', shape: largeShort, variants: some(inHold, 131) },
    { name: 'large page, fetched from', shape: FETCHES, variants: some(fetches, 97) },
    { name: 'odd', shape: ODD, variants: some(odd, 257) },
    { name: 'odd, by an alias', shape: ODD_ALIAS, variants: some(alias, 251) },
    { name: 'a TSB for each process, 1 access each', shape: shorter(OWN_TSBS, 1), variants: some(own, 97) },
  ];
}

/** What was explored, for the report. */
function courseTable(explored: readonly Course[], totals: readonly Totals[]): string[] {
  const inWords = (orders: number): string => orders.toExponential(1).replace(/e\+?(-?\d+)/, ' x 10^$1');
  const counted = (count: number): string => count.toLocaleString('en-US');
  const rows = explored.map(({ name, what }, index) => {
    const { combinations, states, orders, violations } = totals[index]!;
    return `| ${what ?? name} | ${combinations} | ${counted(states)} | ${inWords(orders)} | ${violations} |`;
  });
  const sum = (pick: (one: Totals) => number): number => totals.reduce((all, one) => all + pick(one), 0);
  const together = [sum((one) => one.combinations), sum((one) => one.states)].map(counted).join(' | ');
  return [
    '| machine | combinations | states | orders | violations |',
    '|---|---|---|---|---|',
    ...rows,
    `| together | ${together} | | ${sum((one) => one.violations)} |`,
  ];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      faults: { type: 'boolean', default: false },
      risk: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      only: { type: 'string' },
      shard: { type: 'string', default: '0/1' },
      seed: { type: 'string' },
      runs: { type: 'string', default: '200' },
      jobs: { type: 'string', default: '1' },
      work: { type: 'boolean', default: false },
    },
  });
  if (values.work) return work();
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  for (const name of ['seed', 'runs', 'jobs'] as const)
    if (!/^\d+$/.test(values[name] ?? '0')) throw new Error(`--${name} wants a number, not ${values[name]}`);
  if (values.faults) {
    const { table, missed } = await faultTable();
    if (values.write) writeBlock(DOCUMENT, 'made by npm run explore -- --faults --write', table.join('\n'));
    else for (const line of table) say(line);
    if (missed.length > 0) say(`not as expected: ${missed.join(', ')}`);
    process.exitCode = missed.length > 0 ? 1 : 0;
    return;
  }
  if (values.risk) {
    const first = (await exploreRisk()).violations[0];
    say(first === undefined ? 'dma=risk: not as expected, no order goes wrong' : `dma=risk: ${first.what}`);
    for (const event of first?.schedule ?? []) say(`    ${event}`);
    process.exitCode = first === undefined ? 1 : 0;
    return;
  }
  if (values.seed !== undefined) {
    const found = exploreRandomly(Number(values.runs), Number(values.seed));
    say(found ?? `random machines: ${values.runs} runs, seed ${values.seed}, 0 violations`);
    process.exitCode = found === undefined ? 0 : 1;
    return;
  }
  const [shard = Number.NaN, shards = Number.NaN] = values.shard.split('/').map(Number);
  if (!(Number.isInteger(shard) && Number.isInteger(shards) && shard >= 0 && shard < shards))
    throw new Error(`--shard wants N/M with N from 0 to M - 1, not ${values.shard}`);
  const known = courses(values.quick);
  if (values.only !== undefined && !known.some(({ name }) => name === values.only))
    throw new Error(`no such course: ${values.only}; there are: ${known.map(({ name }) => name).join('; ')}`);
  const chosen = known
    .filter(({ name }) => values.only === undefined || name === values.only)
    .map((course) => ({
      ...course,
      variants: course.variants.filter((_, index) => index % shards === shard),
    }));
  if (values.write && (values.quick || values.only !== undefined || shards > 1))
    throw new Error('--write is for the whole: a part would stand in the document for all');
  const totals: Totals[] = [];
  if (Number(values.jobs) > 1 && !values.quick)
    totals.push(...(await exploreInProcesses(import.meta.filename, Number(values.jobs), chosen, say)));
  else for (const course of chosen) totals.push(await exploreCourse(course, say));
  if (values.write)
    writeBlock(DOCUMENT, 'made by npm run explore -- --write', courseTable(chosen, totals).join('\n'));
  const violations = totals.reduce((sum, one) => sum + one.violations, 0);
  const seed = Math.floor(Math.random() * 2 ** 31);
  const found = values.only === undefined ? exploreRandomly(Number(values.runs), seed) : undefined;
  if (values.only === undefined)
    say(found ?? `random machines: ${values.runs} runs, seed ${seed}, 0 violations`);
  process.exitCode = violations > 0 || found !== undefined ? 1 : 0;
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    process.stderr.write(`explore: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  });
}
