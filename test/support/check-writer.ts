/** Is a core, or any other image, the memory of a writer (test/targets/writer.c) at one instant? */
import { execFileSync } from 'node:child_process';
import { buildTarget } from './build.ts';
import { coreSegments, type Segment } from './segments.ts';

export interface WriterCheck {
  /** 8-byte words compared */
  readonly words: number;
  /** words with another value than they had at the instant the image's own counters name; stale + future + foreign */
  readonly wrong: number;
  /** words with an older value: a write that was done is missing */
  readonly stale: number;
  /** words with a value that was written after the instant */
  readonly future: number;
  /** words with a value that was never written there */
  readonly foreign: number;
  /** words whose write was under way: right either way */
  readonly inflight: number;
  /** words the image does not hold at all */
  readonly absent: number;
  /** threads whose two counters no single instant can show */
  readonly brokenCounters: number;
  /** threads that did a write whose cause, a write of another thread, the image lacks (writers with a lead) */
  readonly causeless: number;
  /** [begin, end] of each thread */
  readonly counters: readonly (readonly [number, number])[];
  /** the first wrong words */
  readonly examples: readonly { address: string; wanted: string; found: string; fault: string }[];
}

/** Compares the segments of a file word for word with what the plan demands; without segments, the file is a core. */
export function checkWriterImage(plan: string, path: string, segments?: readonly Segment[]): WriterCheck {
  const checker = buildTarget('check-writer');
  const lines = (segments ?? coreSegments(path)).map((s) => `${s.address} ${s.offset} ${s.size}\n`);
  const output = execFileSync(checker.path, ['--plan', plan, '--file', path], {
    input: lines.join(''),
    encoding: 'utf8',
  });
  return JSON.parse(output) as WriterCheck;
}
