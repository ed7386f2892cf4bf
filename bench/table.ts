/** The results as a table of medians and as a plot. */
import type { ScenarioResult } from './measure.ts';
import { describeScenario, describeSize } from './scenarios.ts';
import { median, sum } from './statistics.ts';
import { toolNames } from './tools.ts';

/** Markdown: a row for each scenario and tool; medians of its runs. */
export function tableOf(results: readonly ScenarioResult[]): string {
  const rows = results.flatMap(({ scenario, samples }) =>
    toolNames.flatMap((tool) => {
      const taken = samples.filter((sample) => sample.tool === tool);
      if (taken.length === 0) return [];
      const of = (pick: (sample: (typeof taken)[number]) => number | undefined, digits: number): string => {
        const value = median(taken.map(pick));
        return Number.isNaN(value) ? '' : value.toFixed(digits);
      };
      const cells = [
        describeScenario(scenario),
        tool,
        of(({ pauseMs }) => pauseMs, 2),
        of(({ longestMs }) => longestMs, 2),
        of(({ over1ms }) => over1ms, 0),
        of(({ lostMs }) => lostMs, 0),
        of(({ totalMs }) => totalMs, 0),
        of(({ copyGibPerS }) => copyGibPerS, 2),
        of(({ peakBytes }) => (peakBytes === undefined ? undefined : peakBytes / 2 ** 20), 0),
        of(({ trapMaxUs }) => trapMaxUs, 0),
        of(({ stolenMs }) => stolenMs, 0),
      ];
      return [`| ${cells.join(' | ')} |`];
    }),
  );
  const dumps = results.flatMap(({ samples }) => samples.filter(({ tool }) => tool === 'livecore'));
  const givenUp = sum(dumps.map((sample) => sample.givenUp ?? 0));
  const note = `${givenUp} dumps were given up by their guard (--max-stall) and taken again, beside ${dumps.length} that are counted.`;
  return [
    '| target | tool | pause ms | longest stall ms | stalls > 1 ms | lost work ms | total ms | copy GiB/s | peak MiB | slowest trap us | steal ms |',
    '|---|---|---|---|---|---|---|---|---|---|---|',
    ...rows,
    '',
    note,
  ].join('\n');
}

/** Markdown for a reader in a hurry: how long the target stood still, and for how long it was disturbed at most. */
export function summaryOf(results: readonly ScenarioResult[]): string {
  const [first] = results;
  const rows = results
    .filter(({ scenario }) => scenario.load === first?.scenario.load && scenario.threads === 1)
    .map(({ scenario, samples }) => {
      const cells = (['livecore', 'gcore', 'forkdump'] as const).map((tool) => {
        const taken = samples.filter((sample) => sample.tool === tool);
        const of = (pick: (sample: (typeof taken)[number]) => number | undefined): string =>
          inMs(median(taken.map(pick)));
        return `${of(({ pauseMs }) => pauseMs)} / ${of(({ longestMs }) => longestMs)} / ${of(({ totalMs }) => totalMs)}`;
      });
      return `| ${[describeSize(scenario.sizeMib), ...cells].join(' | ')} |`;
    });
  return [
    '| ms: stands still / longest stall of a write / whole dump | livecore | gcore | forking dumper |',
    '|---|---|---|---|',
    ...rows,
  ].join('\n');
}

function inMs(value: number): string {
  return value < 10 ? value.toFixed(1) : value.toFixed(0);
}

const BAR = { width: 420, height: 18, gap: 8, left: 330 } as const;

/** SVG: the longest stall of each scenario by tool, on a logarithmic scale from 0.1 ms to 10 s. */
export function plotOf(results: readonly ScenarioResult[]): string {
  const bars = results.flatMap(({ scenario, samples }) =>
    toolNames.flatMap((tool) => {
      const longest = median(
        samples.filter((sample) => sample.tool === tool).map(({ longestMs }) => longestMs),
      );
      return Number.isNaN(longest) ? [] : [{ label: `${describeScenario(scenario)}: ${tool}`, longest }];
    }),
  );
  const lines = bars.map(({ label, longest }, index) => {
    const y = 30 + index * (BAR.height + BAR.gap);
    const width = Math.max(1, (BAR.width * (Math.log10(Math.max(0.1, longest)) + 1)) / 5);
    return (
      `<text x="${BAR.left - 8}" y="${y + 13}" text-anchor="end">${label}</text>` +
      `<rect x="${BAR.left}" y="${y}" width="${width.toFixed(1)}" height="${BAR.height}" fill="#4477aa"/>` +
      `<text x="${(BAR.left + width + 6).toFixed(1)}" y="${y + 13}">${longest.toFixed(2)} ms</text>`
    );
  });
  const height = 40 + bars.length * (BAR.height + BAR.gap);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="860" height="${height}" font-family="sans-serif" font-size="12">
<text x="${BAR.left}" y="18">longest stall of the target, median of the runs, logarithmic</text>
${lines.join('\n')}
</svg>
`;
}
