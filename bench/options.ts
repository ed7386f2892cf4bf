/** The options of `npm run bench`. */
import { parseArgs } from 'node:util';
import { parseSize } from '../src/cli/parse.ts';

export interface BenchOptions {
  /** sizes of the target's memory in MiB, ascending */
  readonly sizesMib: readonly number[];
  readonly runs: number;
  /** every load with one and eight threads at every size */
  readonly all: boolean;
  readonly quick: boolean;
  /** the simulated computer alone */
  readonly reference: boolean;
  /** the results as JSON on stdout, in place of the tables */
  readonly json: boolean;
  /** the tables and the plot go to docs/ */
  readonly publish: boolean;
}

export const USAGE = `npm run bench -- [--quick] [--reference] [--all] [--sizes 256MiB,1GiB] [--runs N] [--json]

  --quick   256 MiB, 3 runs, two loads: a minute
  --reference  the simulated computer alone: its accesses a second
  --all     every load with 1 and 8 threads at every size, in place of the selection
  --sizes   sizes of the target's memory
  --runs    runs of each measurement, 7 by default; the tables show medians
  --json    every run as JSON on stdout, in place of the tables

docs/performance.md and docs/performance.svg are written by a full run only: not with --quick, --sizes, or fewer than 7 runs.`;

const MIB = 2 ** 20;
const PUBLISHED_RUNS = 7;

/** @throws what is wrong with the arguments, for the user */
export function parseOptions(args: string[]): BenchOptions | 'help' {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      all: { type: 'boolean', default: false },
      reference: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
      sizes: { type: 'string' },
      runs: { type: 'string' },
    },
  });
  if (values.help) return 'help';
  const { quick, all, reference, json } = values;
  const runs = values.runs === undefined ? (quick ? 3 : PUBLISHED_RUNS) : Number(values.runs);
  if (!Number.isSafeInteger(runs) || runs < 1) throw new Error(`--runs wants a number, not ${values.runs}`);
  const given = values.sizes?.split(',').map((text) => parseSize(text.trim()) / MIB);
  const sizesMib = (given ?? (quick ? [256] : [256, 1024, 4096])).sort((a, b) => a - b);
  if (sizesMib.some((mib) => !Number.isInteger(mib) || mib < 1))
    throw new Error(`--sizes wants whole MiB, not ${values.sizes}`);
  return {
    sizesMib,
    runs,
    all,
    quick,
    reference,
    json,
    publish: !quick && given === undefined && runs >= PUBLISHED_RUNS,
  };
}
