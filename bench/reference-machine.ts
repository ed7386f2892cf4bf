/** How fast the simulated computer is while no snapshot runs: it is explored in bulk. */
import { Computer } from '../src/machines/ultrasparc/computer.ts';
import type { Instruction } from '../src/machines/ultrasparc/instruction.ts';
import { median } from './statistics.ts';

const PAGES = 32;
const ACCESSES = 2_000_000;
const KINDS = ['store', 'load', 'load', 'store', 'swap', 'load', 'store', 'load'] as const;

/** Accesses a second of one processor, in each run: loads, stores and swaps over 32 pages, as the real chip's sizes have it. */
export function measureReferenceMachine(runs: number): number[] {
  const va = (page: number): bigint => BigInt(page + 16) * 0x2000n;
  const instructions: Instruction[] = Array.from({ length: 4096 }, (_, index) => ({
    kind: KINDS[index % KINDS.length]!,
    va: va((index * 7) % PAGES) + BigInt((index % 1024) * 4),
    value: index,
  }));
  const computer = new Computer({
    blocks: 64,
    pages: Array.from({ length: PAGES }, (_, page) => ({ va: va(page), block: page + 16, context: 1 })),
    programs: [{ context: 1, instructions, loop: true }],
  });
  const processor = computer.processors[0]!;
  processor.run(ACCESSES);
  return Array.from({ length: runs }, () => {
    const begin = performance.now();
    const done = processor.run(ACCESSES);
    return (done * 1000) / (performance.now() - begin);
  });
}

/** The row of the table. */
export function describeReferenceMachine(rates: readonly number[]): string {
  const million = (rate: number): string => (rate / 1e6).toFixed(1);
  return `reference machine, no snapshot, one core: ${million(median(rates))} million accesses/s (median of ${rates.length}; ${million(Math.min(...rates))}-${million(Math.max(...rates))})`;
}
