/** Stalls told apart by the phase of the dump that they began in. */
import type { DumpSummary } from '../src/index.ts';
import type { Gap } from '../test/support/writer.ts';

/** The phases of a dump as a target lives through them; `start` is before the target is touched. */
export const phaseNames = ['start', 'attach', 'arm', 'hold', 'copy', 'release', 'finish'] as const;
export type PhaseName = (typeof phaseNames)[number];

export interface PhaseStalls {
  readonly longestMs: number;
  readonly over1ms: number;
  /** how long the phase was */
  readonly lengthMs: number;
}

/**
 * Each gap counts for one phase: for the hold if they overlap at all (every thread stands still then, however long
 * before it the gap began), else for the one that it began in.
 */
export function stallsByPhase(
  gaps: readonly Gap[],
  startNs: number,
  endNs: number,
  courseNs: DumpSummary['courseNs'],
): Record<PhaseName, PhaseStalls> {
  const begins = phaseNames.map((name) => (name === 'start' ? startNs : courseNs[name]));
  const phases = begins.map((begin, index) => ({
    longestMs: 0,
    over1ms: 0,
    lengthMs: ((begins[index + 1] ?? endNs) - begin) / 1e6,
  }));
  for (const { startNs: from, lengthNs } of gaps) {
    const inHold = from < courseNs.copy && from + lengthNs > courseNs.hold;
    const index = inHold ? phaseNames.indexOf('hold') : lastBefore(begins, from);
    const phase = phases[index]!;
    phase.longestMs = Math.max(phase.longestMs, lengthNs / 1e6);
    if (lengthNs >= 1e6) phase.over1ms++;
  }
  return Object.fromEntries(phaseNames.map((name, index) => [name, phases[index]!])) as Record<
    PhaseName,
    PhaseStalls
  >;
}

function lastBefore(begins: readonly number[], time: number): number {
  return Math.max(
    0,
    begins.findLastIndex((begin) => begin <= time),
  );
}
