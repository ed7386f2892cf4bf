/** `npm run bench`: measures, prints the table, and after a full run writes docs/performance.md and .svg. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { measureScenario, type ScenarioResult } from './measure.ts';
import { type BenchOptions, parseOptions, USAGE } from './options.ts';
import { describeReferenceMachine, measureReferenceMachine } from './reference-machine.ts';
import { selectScenarios } from './scenarios.ts';
import { plotOf, summaryOf, tableOf } from './table.ts';
import { stopTools } from './tools.ts';

const BEGIN = '<!-- made by npm run bench -->';
const README_BEGIN = '<!-- figures: made by npm run bench -->';
const END = '<!-- end -->';
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
  replaceBlock('docs/performance.md', BEGIN, `${machine()}\n\n${tableOf(results)}\n\n${reference}`);
  replaceBlock('README.md', README_BEGIN, `${summaryOf(results)}\n\n${SUMMARY_NOTE}`);
  writeFileSync(new URL('docs/performance.svg', ROOT), plotOf(results));
}

/** Puts `text` between a document's marker and the end that follows it. */
function replaceBlock(document: string, begin: string, text: string): void {
  const file = new URL(document, ROOT);
  const [before, rest] = readFileSync(file, 'utf8').split(begin);
  const end = rest?.indexOf(END) ?? -1;
  if (rest === undefined || end < 0) throw new Error(`${file.pathname} has lost its markers`);
  writeFileSync(file, `${before}${begin}\n${text}\n${rest.slice(end)}`);
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') console.log(USAGE);
  else await run(options);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
