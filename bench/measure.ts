/** Measures a scenario: every tool in turn on one target, again and again. */
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Interval, startWriter, type Writer } from '../test/support/writer.ts';
import { type PhaseName, type PhaseStalls, stallsByPhase } from './phases.ts';
import { stolenMs, waitedForCpuMs } from './proc.ts';
import { describeScenario, type Scenario } from './scenarios.ts';
import { type Image, type ToolName, type ToolOptions, toolNames, tools } from './tools.ts';

/** One image of one target by one tool, and what the target saw of it. */
export interface Sample {
  readonly tool: ToolName;
  readonly run: number;
  /** from the start of the tool to the synced file */
  readonly totalMs: number;
  /** as the tool says it; of gcore, the longest stall */
  readonly pauseMs?: number;
  /** the longest stall that a thread of the target recorded, gaps under GAP_US not seen */
  readonly longestMs: number;
  readonly over1ms: number;
  /** all that was over 1 ms, added up */
  readonly stalledMs: number;
  /** ms of its own undisturbed rate that an unthrottled writer did not do */
  readonly lostMs?: number;
  /** memory through the time from the first copy to the synced file */
  readonly copyGibPerS?: number;
  readonly peakBytes?: number;
  readonly cacheBytes: number;
  /** time that the host took meanwhile, all CPUs */
  readonly stolenMs: number;
  /** time that threads of the target were ready to run and others had the CPU */
  readonly waitedForCpuMs: number;
  readonly trapMaxUs?: number;
  readonly traps?: number;
  readonly startToArmMs?: number;
  /** attempts before this one that the guard gave up */
  readonly givenUp?: number;
  readonly phases?: Record<PhaseName, PhaseStalls>;
}

export interface ScenarioResult {
  readonly scenario: Scenario;
  readonly samples: readonly Sample[];
}

/** Gaps shorter than this are not logged by the target. */
const GAP_US = 50;
/** of threads that sleep between writes: each wakes late by some 60 us */
const SLEEPERS_GAP_US = 500;
const SETTLE_MS = 300;

/** Starts the target, warms every tool up that is warmed by a run, and takes the samples. */
export async function measureScenario(
  scenario: Scenario,
  folder: string,
  say: (text: string) => void,
): Promise<ScenarioResult> {
  const { sizeMib, threads, load, runs } = scenario;
  const gapUs = threads > cpus().length ? SLEEPERS_GAP_US : GAP_US;
  await using target = await startWriter({
    ...load.options,
    mib: sizeMib,
    threads,
    gapUs,
    answerTimeoutMs: 300_000,
    readyTimeoutMs: 300_000,
  });
  // Not a sample: it brings the tool's own files into the page cache, and its memory is watched.
  const { peakBytes = 0 } = await tools.livecore(target, { folder, watchMemory: true });
  const samples: Sample[] = [];
  for (let run = 0; run < runs; run++) {
    say(`${describeScenario(scenario)}: run ${run + 1} of ${runs}`);
    let undisturbed: Interval | undefined;
    for (const tool of inTurn(scenario, run)) {
      await sleep(SETTLE_MS);
      const { sample, interval } = await measureTool(tool, target, scenario, gapUs, { folder }, undisturbed);
      if (tool === 'nothing') undisturbed = interval;
      samples.push({
        ...sample,
        run,
        ...(tool === 'livecore' && { peakBytes: Math.max(peakBytes, sample.peakBytes!) }),
      });
    }
  }
  const { unlogged } = (await target.report()).gaps;
  if (unlogged > 0) throw new Error(`the target's log of stalls was full, ${unlogged} are not in it`);
  await target.quit();
  return { scenario, samples };
}

/** First nothing, for the undisturbed rate; then the others, in another order each time. */
function inTurn({ peerRuns }: Scenario, run: number): ToolName[] {
  const [nothing, ...others] = toolNames;
  const taking = others.filter((tool) => run < peerRuns || tool === 'control' || tool === 'livecore');
  const shift = run % taking.length;
  return [nothing, ...taking.slice(shift), ...taking.slice(0, shift)];
}

async function measureTool(
  tool: ToolName,
  target: Writer,
  { load }: Scenario,
  gapUs: number,
  options: ToolOptions,
  undisturbed: Interval | undefined,
): Promise<{ sample: Omit<Sample, 'run'>; interval: Interval }> {
  const stolenBefore = stolenMs();
  const waitedBefore = waitedForCpuMs(target.pid);
  const image = await tools[tool](target, options);
  const waited = waitedForCpuMs(target.pid) - waitedBefore;
  const stolen = stolenMs() - stolenBefore;
  const interval = { fromNs: image.startNs, toNs: image.endNs };
  const gaps = await target.gaps(interval.fromNs, interval.toNs);
  const long = gaps.filter(({ lengthNs }) => lengthNs >= 1e6);
  const longestMs = gaps.reduce((most, { lengthNs }) => Math.max(most, lengthNs), gapUs * 1000) / 1e6;
  const pauseMs = tool === 'gcore' ? longestMs : image.pauseMs;
  const lostMs =
    load.unthrottled && undisturbed !== undefined
      ? await target.lostWorkMs(interval, undisturbed)
      : undefined;
  const sample = {
    tool,
    totalMs: (image.endNs - image.startNs) / 1e6,
    longestMs,
    over1ms: long.length,
    stalledMs: long.reduce((total, { lengthNs }) => total + lengthNs / 1e6, 0),
    cacheBytes: image.cacheBytes,
    stolenMs: stolen,
    waitedForCpuMs: waited,
    ...(pauseMs !== undefined && { pauseMs }),
    ...(lostMs !== undefined && { lostMs }),
    ...(image.peakBytes !== undefined && { peakBytes: image.peakBytes }),
    ...(image.bytes > 0 && { copyGibPerS: gibPerSecond(image) }),
    ...(image.givenUp !== undefined && { givenUp: image.givenUp }),
    ...(image.summary !== undefined && {
      trapMaxUs: image.summary.traps.maxUs,
      traps: image.summary.traps.count,
      startToArmMs: (image.summary.courseNs.arm - image.startNs) / 1e6,
      phases: stallsByPhase(gaps, image.startNs, image.endNs, image.summary.courseNs),
    }),
  };
  return { sample, interval };
}

function gibPerSecond({ bytes, copyStartNs, endNs, summary }: Image): number {
  // livecore's file is synced when it says so; its process ends a little later
  const doneNs = summary?.courseNs.done ?? endNs;
  return bytes / 2 ** 30 / ((doneNs - copyStartNs) / 1e9);
}
