/**
 * `npm run verify:changes -- [--dumps 200] [--seed 1000] [--threads 2] [--mib 32] [--rate 20000] [--ops all]`: dumps of
 * targets that change their address space all the time, each of another seed, compared page for page with a model of
 * the target. One line a dump, one with the sum; status 1 if a page is wrong, or missing and not listed.
 */
import { parseArgs } from 'node:util';
import { checkMutatorDump } from '../test/support/check-mutator-dump.ts';
import { startMutator } from '../test/support/mutator.ts';

const { values } = parseArgs({
  options: {
    dumps: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1000' },
    threads: { type: 'string', default: '2' },
    mib: { type: 'string', default: '32' },
    rate: { type: 'string', default: '20000' },
    ops: { type: 'string', default: 'all' },
  },
});
const [dumps, firstSeed, threads, mib, rate] = [
  values.dumps,
  values.seed,
  values.threads,
  values.mib,
  values.rate,
].map(Number) as [number, number, number, number, number];

const sum = { pages: 0, wrong: 0, unlisted: 0, listed: 0, extra: 0, brokenCounters: 0, since: 0, live: 0 };
for (let seed = firstSeed; seed < firstSeed + dumps; seed++) {
  await using mutator = await startMutator({ seed, threads, mib, rate, ops: values.ops });
  while ((await mutator.report()).operations < rate / 2);
  const check = await checkMutatorDump(mutator);
  const live = await mutator.check();
  sum.live += live.wrong + (await mutator.report()).failures;
  for (const name of ['pages', 'wrong', 'unlisted', 'listed', 'extra', 'brokenCounters', 'since'] as const)
    sum[name] += check[name];
  console.log(
    `seed ${seed}: ${check.wrong} of ${check.pages} pages wrong, ${check.unlisted} missing, ${check.listed} listed, ` +
      `${check.extra} extra; ${check.since} operations since T0`,
  );
  for (const example of check.examples) console.log(`   ${example}`);
}
console.log(
  `${dumps} dumps: ${sum.wrong} of ${sum.pages} pages wrong, ${sum.unlisted} missing, ${sum.listed} listed, ${sum.extra} ` +
    `extra, ${sum.brokenCounters} threads without an instant; ${sum.since} operations since T0; in the targets ` +
    `themselves ${sum.live} wrong`,
);
process.exitCode = sum.wrong + sum.unlisted + sum.extra + sum.brokenCounters + sum.live === 0 ? 0 : 1;
