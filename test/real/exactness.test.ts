/**
 * Real dumps of writers that know what their memory was at any instant: each word is compared with a replay up to the
 * counters that the core itself holds.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { DumpSummary } from '../../src/index.ts';
import { Core } from '../../src/index.ts';
import { buildTarget } from '../support/build.ts';
import { checkWriterImage, type WriterCheck } from '../support/check-writer.ts';
import { dumpLive, noLiveDump } from '../support/live-dump.ts';
import { startWriter, type Writer, type WriterOptions } from '../support/writer.ts';

const RATE = 200_000;
const WORD_BYTES = 8;
const MIB = 2 ** 20;

interface Shape {
  readonly name: string;
  readonly options: WriterOptions;
  readonly dumps?: number;
  /** memory that others may write: right if they did not, but not vouched for */
  readonly unreliable?: true;
}

const shapes: readonly Shape[] = [
  { name: '4 threads', options: { mib: 128, threads: 4, rate: RATE }, dumps: 4 },
  { name: 'as fast as it goes', options: { mib: 64, threads: 2 }, dumps: 2 },
  {
    name: 'one after the other',
    options: { mib: 64, threads: 2, rate: RATE, pattern: 'sequential' },
    dumps: 2,
  },
  { name: 'huge pages', options: { mib: 64, threads: 2, rate: RATE, thp: 'on' }, dumps: 3 },
  {
    name: 'no huge pages, zeros and untouched',
    options: { mib: 64, threads: 2, rate: RATE, thp: 'off', zero: 30, empty: 20 },
    dumps: 3,
  },
  { name: '500 mappings', options: { mib: 64, threads: 3, rate: RATE, mappings: 500 }, dumps: 2 },
  { name: 'scattered over 1 TiB', options: { mib: 100, threads: 2, rate: RATE, reserveGib: 1024 }, dumps: 2 },
  {
    name: 'a forked child that keeps its copy',
    options: { mib: 64, threads: 2, rate: RATE, child: 'idle' },
    dumps: 2,
  },
  { name: 'static, against musl', options: { mib: 64, threads: 2, rate: RATE, musl: true }, dumps: 2 },
  {
    name: 'memory that nobody else maps, but could',
    options: { mib: 64, threads: 2, rate: 2000, memory: 'memfd' },
    unreliable: true,
  },
  {
    name: 'memory that a child writes',
    options: { mib: 64, threads: 2, rate: 2000, memory: 'shared', child: 'write' },
    unreliable: true,
  },
];

for (const { name, options, dumps = 1, unreliable = false } of shapes) {
  const skip = noLiveDump || buildTarget('writer', { musl: options.musl === true }).skip;
  test(`every word of a core is of T0: ${name}`, { skip }, async () => {
    await using writer = await startWriter(options);
    for (let count = 0; count < dumps; count++) {
      await writer.advance(1000);
      using core = await dumpLive(writer.pid);
      const check = checkWriterImage(writer.plan, core.file);
      const shared = (options.mib! * MIB) / 4096;
      if (unreliable) assert.ok(core.summary.blocks.unreliable >= shared, 'shared memory is not vouched for');
      else assertExact(check, core.summary, options);
      await assertRunning(writer);
    }
    if (options.child === 'write') return;
    const live = await writer.check();
    assert.deepEqual([live.wrong, live.childWrong], [0, 0], 'the target itself was changed');
  });
}

function assertExact(check: WriterCheck, { blocks }: DumpSummary, { mib, threads = 1 }: WriterOptions): void {
  assert.deepEqual(
    { wrong: check.wrong, absent: check.absent, broken: check.brokenCounters, causeless: check.causeless },
    { wrong: 0, absent: 0, broken: 0, causeless: 0 },
    JSON.stringify(check),
  );
  assert.equal(check.words, (mib! * MIB) / WORD_BYTES);
  assert.equal(check.counters.length, threads);
  assert.ok(check.inflight <= threads);
  assert.deepEqual([blocks.unreliable, blocks.lost], [0, 0]);
  const { total, initial, trapped, swept, zero } = blocks;
  assert.equal(initial + trapped + swept + zero, total, 'each block is counted once');
}

/** It writes on, and nobody traces it. */
async function assertRunning(writer: Writer): Promise<void> {
  await writer.advance(100);
  assert.match(readFileSync(`/proc/${writer.pid}/status`, 'utf8'), /^TracerPid:\t0$/m);
}

test('of threads that write in causal order no core holds an effect without its cause', {
  skip: noLiveDump || buildTarget('writer').skip,
}, async () => {
  await using writer = await startWriter({ mib: 64, threads: 2, lead: 50 });
  for (let count = 0; count < 5; count++) {
    await writer.advance(1000);
    using core = await dumpLive(writer.pid);
    const check = checkWriterImage(writer.plan, core.file);
    assert.deepEqual([check.causeless, check.wrong, check.brokenCounters], [0, 0, 0], JSON.stringify(check));
  }
});

test('T0 lies between what was written before and after it, by the clock of both', {
  skip: noLiveDump || buildTarget('writer').skip,
}, async () => {
  await using writer = await startWriter({ mib: 32, threads: 1, rate: RATE });
  await writer.advance(1000);
  using dumped = await dumpLive(writer.pid);
  await using core = await Core.open(dumped.file);
  const t0Ns = Number(core.livecore!.t0.monotonicNs);
  const [[done, begun]] = checkWriterImage(writer.plan, dumped.file).counters as [readonly [number, number]];
  const before = await writesUntil(writer, t0Ns - 50e6);
  const after = await writesUntil(writer, t0Ns + 50e6);
  assert.ok(before <= begun && done <= after, `${before} <= ${begun}, ${done} <= ${after}`);
});

/** Writes done by a time, by the writer's own account of every 10 ms; at least those of the buckets that are over. */
async function writesUntil(writer: Writer, timeNs: number): Promise<number> {
  const { writes } = await writer.buckets(0, timeNs);
  return writes.reduce((total, count) => total + count, 0);
}
