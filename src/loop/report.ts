import type { DumpPlan, DumpSummary } from '../dump-types.ts';
import { NS_PER_MS } from '../engine/policy.ts';
import { monotonicNs } from '../linux/clock.ts';
import { readStatus } from '../linux/proc.ts';
import { PAGE_BYTES } from '../machines/process/pages.ts';
import type { Region } from '../machines/process/regions.ts';
import type { Capture } from './capture.ts';
import type { LoopRequest } from './protocol.ts';

const RULES = {
  'device memory': 'device',
  'vDSO data of the kernel': 'vdso-data',
  MADV_DONTDUMP: 'dontdump',
} as const;

/** What will be done, as the user is told before T0. */
export function planOf(pid: number, regions: readonly Region[], pauseNs: number): DumpPlan {
  const leftOut = regions
    .filter(({ handling, mapping }) => handling === 'excluded' && mapping.start < 2 ** 47)
    .map(({ mapping, rule }) => ({
      start: `0x${mapping.start.toString(16)}`,
      end: `0x${mapping.end.toString(16)}`,
      sizeBytes: mapping.end - mapping.start,
      rule: RULES[rule as keyof typeof RULES] ?? ('filter' as const),
      ...(mapping.name !== '' && { name: mapping.name }),
    }));
  return { type: 'plan' as const, pid, leftOut, forecastPauseMs: pauseNs / NS_PER_MS };
}

/** What the summary says besides what the capture knows. */
export interface Outcome {
  readonly before: DumpSummary['before'];
  readonly after: DumpSummary['after'];
  readonly fileBytes: number;
  readonly totalNs: number;
}

/** What was done. */
export function summaryOf({ pid, output }: LoopRequest, capture: Capture, outcome: Outcome): DumpSummary {
  const { statistics, captured } = capture.snapshot;
  const { waits } = statistics;
  const us = (ns: number): number => Math.round(ns / 100) / 10;
  return {
    type: 'summary',
    pid,
    file: output ?? '-',
    strategy: 'protect',
    t0: isoNs(capture.machine.t0!.wallNs),
    pauseMs: capture.machine.pauseNs / NS_PER_MS,
    attachMs: capture.attachNs / NS_PER_MS,
    totalMs: outcome.totalNs / NS_PER_MS,
    memoryBytes: (captured.blocks - statistics.absent) * PAGE_BYTES,
    fileBytes: outcome.fileBytes,
    blocks: {
      total: captured.blocks - statistics.absent,
      initial: statistics.initial,
      early: statistics.early,
      trapped: statistics.trapped,
      swept: statistics.swept,
      zero: statistics.zero,
      unreliable: statistics.unreliable,
      lost: statistics.lost,
    },
    traps: {
      count: statistics.traps,
      p50Us: us(waits.quantile(0.5)),
      p99Us: us(waits.quantile(0.99)),
      maxUs: us(waits.max),
    },
    courseNs: { ...capture.courseNs, done: monotonicNs() },
    peakRssBytes: peakRssBytes(),
    before: outcome.before,
    after: outcome.after,
  };
}

function peakRssBytes(): number {
  return Number.parseInt(readStatus('self').fields.get('VmHWM') ?? '0', 10) * 1024;
}

/** ISO 8601 with nanoseconds. */
function isoNs(wallNs: bigint): string {
  const date = new Date(Number(wallNs / 1_000_000n)).toISOString();
  return `${date.slice(0, -5)}.${String(wallNs % 1_000_000_000n).padStart(9, '0')}Z`;
}
