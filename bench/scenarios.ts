/** What is measured: targets of a size, with a number of threads, under a load. */
import type { WriterOptions } from '../test/support/writer.ts';
import type { BenchOptions } from './options.ts';

export interface Scenario {
  readonly sizeMib: number;
  readonly threads: number;
  readonly load: Load;
  readonly runs: number;
  /** of these runs, how many the peers (gcore, forking dumper) take part in */
  readonly peerRuns: number;
}

export interface Load {
  readonly name: string;
  readonly options: WriterOptions;
  /** writes as fast as it goes, so that its lost work can be told */
  readonly unthrottled: boolean;
}

/** Eight threads on fewer CPUs have to sleep between writes (test/targets/writer.c); one thread spins. */
type LoadName = 'random200k' | 'random50k' | 'unthrottled' | 'sequential' | 'reading';

export const loads: Readonly<Record<LoadName, Load>> = {
  random200k: { name: 'random, 200k writes/s', options: { rate: 200_000 }, unthrottled: false },
  random50k: { name: 'random, 50k writes/s', options: { rate: 50_000 }, unthrottled: false },
  unthrottled: { name: 'random, unthrottled', options: {}, unthrottled: true },
  sequential: { name: 'sequential, unthrottled', options: { pattern: 'sequential' }, unthrottled: true },
  reading: { name: 'mostly reading', options: { rate: 2000, reads: 300 }, unthrottled: false },
};

const SIDE_PEER_RUNS = 3;

/** The scenarios of a run, in the order of the table. */
export function selectScenarios({ sizesMib, runs, all, quick }: BenchOptions): Scenario[] {
  const scenario = (sizeMib: number, threads: number, load: Load, peerRuns: number): Scenario => ({
    sizeMib,
    threads,
    load,
    runs,
    peerRuns: Math.min(runs, peerRuns),
  });
  if (all) {
    return sizesMib.flatMap((size) =>
      Object.values(loads).flatMap((load) => [1, 8].map((threads) => scenario(size, threads, load, runs))),
    );
  }
  const main = sizesMib.map((size) => scenario(size, 1, loads.random200k, runs));
  const middle = sizesMib[(sizesMib.length - 1) >> 1]!;
  const unthrottled = scenario(middle, 1, loads.unthrottled, SIDE_PEER_RUNS);
  if (quick) return [...main, unthrottled];
  const side = [loads.random50k, loads.sequential, loads.reading];
  return [
    ...main,
    unthrottled,
    ...side.map((load) => scenario(middle, 1, load, SIDE_PEER_RUNS)),
    scenario(middle, 8, loads.random200k, SIDE_PEER_RUNS),
  ];
}

/** `1 GiB, random, 200k writes/s, 1 thread` */
export function describeScenario({ sizeMib, threads, load }: Scenario): string {
  return `${describeSize(sizeMib)}, ${load.name}, ${threads === 1 ? '1 thread' : `${threads} threads`}`;
}

export function describeSize(mib: number): string {
  return mib % 1024 === 0 ? `${mib / 1024} GiB` : `${mib} MiB`;
}
