/** `npm run bench`: measures, prints the table, and after a full run writes docs/performance.md and .svg. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { writeBlock } from '../scripts/made-block.ts';
import { measureScenario, type ScenarioResult } from './measure.ts';
import { type BenchOptions, parseOptions, USAGE } from './options.ts';
import { describeReferenceMachine, measureReferenceMachine } from './reference-machine.ts';
import { selectScenarios } from './scenarios.ts';
import { plotOf, summaryOf, tableOf } from './table.ts';
import { stopTools } from './tools.ts';

const SUMMARY_NOTE = `A target that writes 200,000 random words a second, on ${cpus().length} CPUs: medians of
\`npm run bench\`. [docs/performance.md](docs/performance.md) has all of them, the machine, and what bounds each.`;
const ROOT = new URL('../', import.meta.url);

async function run(options: BenchOptions): Promise<void> {
  const rates = measureReferenceMachine(options.runs);
  if (!options.json) console.log(describeReferenceMachine(rates));
  if (options.reference) {
    if (options.json) console.log(JSON.stringify({ accessesPerSecond: rates }));
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'livecore-bench-'));
  try {
    const results: ScenarioResult[] = [];
    for (const scenario of selectScenarios(options)) {
      results.push(await measureScenario(scenario, folder, (text) => process.stderr.write(`${text}\n`)));
    }
    if (options.json) console.log(JSON.stringify(results));
    else console.log(`${machine()}\n\n${tableOf(results)}`);
    if (options.publish) publish(results, describeReferenceMachine(rates));
  } finally {
    stopTools();
    rmSync(folder, { recursive: true, force: true });
  }
}

function machine(): string {
  const [cpu] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} x ${cpu?.model}, ${memory} GiB, Linux ${release()}, Node ${process.version}`;
}

function publish(results: readonly ScenarioResult[], reference: string): void {
  writeBlock(
    'docs/performance.md',
    'made by npm run bench',
    `${machine()}\n\n${tableOf(results)}\n\n${reference}`,
  );
  writeBlock('README.md', 'figures: made by npm run bench', `${summaryOf(results)}\n\n${SUMMARY_NOTE}`);
  writeFileSync(new URL('docs/performance.svg', ROOT), plotOf(results));
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') console.log(USAGE);
  else await run(options);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
