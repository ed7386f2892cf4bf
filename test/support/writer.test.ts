/** The writer and its checker: right images pass, and each kind of wrong image is told. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildTarget } from './build.ts';
import { checkWriterImage } from './check-writer.ts';
import { requireProgram } from './packages.ts';
import { copyHeld, copyLive, coreSegments, type Segment, stopped } from './segments.ts';
import { monotonicNs, startWriter, type Writer, type WriterOptions } from './writer.ts';

const folder = mkdtempSync(join(tmpdir(), 'livecore-writer-'));
after(() => rmSync(folder, { recursive: true }));
const { skip } = buildTarget('writer');
let files = 0;
const newFile = (): string => join(folder, `image-${++files}`);

async function heldImage(writer: Writer): Promise<{ path: string; segments: Segment[] }> {
  const path = newFile();
  return { path, segments: await copyHeld(writer.pid, writer.ranges, path) };
}

/** Overwrites the word at an address of an image with what `change` makes of it. */
function changeWord(
  path: string,
  segments: readonly Segment[],
  address: bigint,
  change: (old: bigint) => bigint,
): void {
  const segment = segments.find((s) => s.address <= address && address < s.address + s.size)!;
  const position = Number(segment.offset + address - segment.address);
  const word = Buffer.alloc(8);
  const file = openSync(path, 'r+');
  readSync(file, word, 0, 8, position);
  word.writeBigUInt64LE(change(word.readBigUInt64LE()));
  writeSync(file, word, 0, 8, position);
  closeSync(file);
}

test('the arithmetic of the plan equals a plain replay', { skip }, () => {
  const report = JSON.parse(execFileSync(buildTarget('pattern-replay').path, { encoding: 'utf8' }));
  assert.deepEqual(report, { plans: 36, compared: 36 * 9 * 5 * 4096, wrong: 0 });
});

const shapes: Record<string, WriterOptions> = {
  'one thread, random, paced': { mib: 16, rate: 200_000 },
  'unthrottled, several rounds over little memory': { mib: 1 },
  'sequential, contiguous slices': { mib: 16, threads: 3, pattern: 'sequential', own: 'slice' },
  'threads that share pages': { mib: 16, threads: 8, rate: 200_000, pace: 'sleep' },
  'mostly reading': { mib: 16, reads: 100 },
  'zero pages and untouched pages': { mib: 16, zero: 30, empty: 30, rate: 50_000 },
  'shared memory': { mib: 16, memory: 'shared' },
  'a memfd': { mib: 16, memory: 'memfd' },
  'huge pages': { mib: 16, thp: 'on' },
  'scattered over a reservation': { mib: 8, reserveGib: 64, empty: 10 },
  'a thousand mappings': { mib: 8, mappings: 1000 },
  'a child that keeps its copy': { mib: 16, child: 'idle' },
  'shared memory that a child writes too': { mib: 16, threads: 2, memory: 'shared', child: 'write' },
  'two threads in causal order': { mib: 16, threads: 2, lead: 100 },
  'five threads, each write after another': { mib: 16, threads: 5, lead: 1, own: 'slice' },
  'static against musl': { mib: 4, threads: 2, musl: true },
};

for (const [name, options] of Object.entries(shapes)) {
  const shapeSkip = options.musl ? buildTarget('writer', { musl: true }).skip : skip;
  test(`an image of one instant passes: ${name}`, { skip: shapeSkip }, async () => {
    await using writer = await startWriter(options);
    await writer.advance(10_000);
    // SIGSTOP would not stop the child that writes: there, all writing is over first
    if (options.child === 'write') await writer.child.ask('stop');
    const { path, segments } = await heldImage(writer);
    const check = checkWriterImage(writer.plan, path, segments);
    assert.equal(check.wrong, 0, JSON.stringify(check));
    assert.deepEqual([check.absent, check.brokenCounters, check.causeless], [0, 0, 0]);
    assert.equal(check.words, (options.mib! * 2 ** 20) / 8);
    assert.equal(check.counters.length, options.threads ?? 1);
    assert.ok(check.counters.every(([begin]) => begin > 0));
    const live = await writer.check();
    assert.deepEqual([live.words, live.wrong, live.childWrong], [check.words, 0, live.childWrong]);
  });
}

test("a forked child's copy is the memory of the fork", { skip }, async () => {
  await using writer = await startWriter({ mib: 16, child: 'idle' });
  assert.equal((await writer.check()).childWrong, 0);
});

test('one planted wrong word is found, whatever it is', { skip }, async () => {
  await using writer = await startWriter({ mib: 16, rate: 100_000, zero: 10 });
  const { path, segments } = await heldImage(writer);
  const [memory] = writer.ranges;
  for (const change of [
    (old: bigint) => old ^ 1n,
    () => 0x1234_0001n,
    () => 0xdead_0000n,
    (old: bigint) => old ^ (1n << 63n),
  ]) {
    const changed = newFile();
    copyFileSync(path, changed);
    const address = memory!.address + 0x345_678n;
    changeWord(changed, segments, address, change);
    const check = checkWriterImage(writer.plan, changed, segments);
    assert.deepEqual([check.wrong, check.foreign, check.stale, check.future], [1, 1, 0, 0]);
    assert.equal(BigInt(check.examples[0]!.address), address);
  }
});

test('a page of an earlier or a later instant is found and named', { skip }, async () => {
  await using writer = await startWriter({ mib: 4 }); // unthrottled: every page changes in no time
  const first = await heldImage(writer);
  await writer.advance(2_000_000);
  const second = await heldImage(writer);
  const swapPage = (from: string, to: string): string => {
    const mixed = newFile();
    copyFileSync(to, mixed);
    const page = Buffer.alloc(4096);
    const [source, target] = [openSync(from, 'r'), openSync(mixed, 'r+')];
    readSync(source, page, 0, 4096, 123 * 4096);
    writeSync(target, page, 0, 4096, 123 * 4096);
    closeSync(source);
    closeSync(target);
    return mixed;
  };
  const early = checkWriterImage(writer.plan, swapPage(first.path, second.path), second.segments);
  assert.deepEqual([early.wrong, early.stale], [512, 512]);
  const late = checkWriterImage(writer.plan, swapPage(second.path, first.path), first.segments);
  assert.deepEqual([late.wrong, late.future], [512, 512]);
});

test('a plain copy of running memory is torn, and found so', { skip }, async () => {
  await using writer = await startWriter({ mib: 64 });
  const path = newFile();
  const check = checkWriterImage(writer.plan, path, copyLive(writer.pid, writer.ranges, path));
  assert.ok(check.wrong > 0);
  assert.equal(check.foreign, 0);
});

test('an effect without its cause is found, where each thread by itself is right', { skip }, async () => {
  await using writer = await startWriter({ mib: 4, threads: 2, lead: 50, own: 'slice' });
  const cause = await heldImage(writer);
  await writer.advance(1000);
  const effect = await heldImage(writer);
  // the first thread's slice and counters of an earlier instant, the second thread's of a later one
  const [memory, counters] = cause.segments;
  const check = checkWriterImage(
    writer.plan,
    `${cause.path}+`,
    joinFiles(`${cause.path}+`, [
      { from: cause.path, segment: { ...memory!, size: memory!.size / 2n } },
      { from: effect.path, segment: upperHalf(memory!) },
      { from: cause.path, segment: { ...counters!, size: 4096n } },
      { from: effect.path, segment: upperHalf(counters!) },
    ]),
  );
  assert.deepEqual([check.wrong, check.absent, check.brokenCounters, check.causeless], [0, 0, 0, 1]);
});

function upperHalf({ address, offset, size }: Segment): Segment {
  return { address: address + size / 2n, offset: offset + size / 2n, size: size / 2n };
}

/** Writes parts of images into one file; returns its segments. */
function joinFiles(path: string, parts: readonly { from: string; segment: Segment }[]): Segment[] {
  let offset = 0n;
  const bytes: Buffer[] = [];
  const segments = parts.map(({ from, segment: { address, offset: start, size } }) => {
    bytes.push(readFileSync(from).subarray(Number(start), Number(start + size)));
    offset += size;
    return { address, size, offset: offset - size };
  });
  writeFileSync(path, Buffer.concat(bytes));
  return segments;
}

test('what an image lacks is counted as absent', { skip }, async () => {
  await using writer = await startWriter({ mib: 4, rate: 1000 });
  const { path, segments } = await heldImage(writer);
  const [memory, counters] = segments;
  const gap = [
    { ...memory!, size: 0x3000n },
    { address: memory!.address + 0x5000n, offset: memory!.offset + 0x5000n, size: memory!.size - 0x7000n },
    counters!,
  ];
  const check = checkWriterImage(writer.plan, path, gap);
  assert.deepEqual([check.absent, check.wrong], [(0x2000 + 0x2000) / 8, 0]);
});

test("gcore's core passes, read through its program headers", {
  skip: requireProgram('gcore', 'gdb').skip,
}, async () => {
  await using writer = await startWriter({ mib: 16, threads: 2, rate: 50_000, pace: 'sleep', empty: 20 });
  execFileSync('gcore', ['-o', join(folder, 'core'), String(writer.pid)], { stdio: 'pipe' });
  const core = join(folder, `core.${writer.pid}`);
  assert.ok(coreSegments(core).length > 5);
  const check = checkWriterImage(writer.plan, core);
  assert.deepEqual([check.wrong, check.absent], [0, 0], JSON.stringify(check));
});

test("a forking dumper's copy of running memory passes", { skip }, async () => {
  await using writer = await startWriter({ mib: 64, threads: 3, mappings: 100, empty: 10 });
  const path = newFile();
  const dump = await writer.forkDump(path);
  assert.ok(dump.forkNs > 0 && dump.forkNs <= dump.totalNs);
  const check = checkWriterImage(writer.plan, path, dump.segments);
  assert.deepEqual([check.wrong, check.absent], [0, 0]);
});

for (const pace of ['spin', 'sleep'] as const) {
  test(`a stop shows in full as a stall, pace ${pace}`, { skip }, async () => {
    await using writer = await startWriter({ mib: 1, rate: 20_000, pace });
    writer.child.kill('SIGSTOP');
    await stopped(writer.pid);
    const from = monotonicNs();
    await sleep(120);
    const to = monotonicNs();
    writer.child.kill('SIGCONT');
    await writer.advance(3); // the gap is noted after the write that was stopped in its middle
    const gaps = await writer.gaps(from, to);
    // the sleeping writer wants to run at its next due time, 50 µs after the last write at the latest
    const slackNs = pace === 'sleep' ? 50_000 : 0;
    const whole = gaps.filter((gap) => gap.startNs <= from + slackNs && gap.startNs + gap.lengthNs >= to);
    assert.equal(whole.length, 1, JSON.stringify(gaps));
    assert.ok((await writer.report()).gaps.maxNs >= to - from - slackNs);
  });
}

test('after a stop a paced writer catches up with its schedule', { skip }, async () => {
  await using writer = await startWriter({ mib: 1, rate: 10_000 });
  writer.child.kill('SIGSTOP');
  await sleep(100);
  writer.child.kill('SIGCONT');
  const { nowNs } = await writer.report();
  await sleep(20);
  const { writes } = await writer.child.ask<{ writes: number }>('stop');
  assert.ok(writes >= ((nowNs - writer.child.ready.startNs) / 1e9) * 10_000 * 0.5);
  const late = await writer.buckets(0, Number.MAX_SAFE_INTEGER);
  assert.equal(
    late.writes.reduce((a, b) => a + b, 0),
    writes,
  );
});

test('every write is in exactly one bucket, and a stop is lost work', { skip }, async () => {
  await using writer = await startWriter({ mib: 4, threads: 2 });
  const fromNs = monotonicNs();
  await sleep(200);
  const stopNs = monotonicNs();
  writer.child.kill('SIGSTOP');
  await stopped(writer.pid);
  await sleep(200);
  writer.child.kill('SIGCONT');
  const toNs = monotonicNs();
  const lost = await writer.lostWorkMs({ fromNs: stopNs, toNs }, { fromNs, toNs: stopNs });
  assert.ok(lost > 0, `${lost} ms`);
  const { writes } = await writer.child.ask<{ writes: number }>('stop');
  const all = await writer.buckets(0, Number.MAX_SAFE_INTEGER);
  assert.equal(
    all.writes.reduce((a, b) => a + b, 0),
    writes,
  );
});

test('a misspelt option is refused', { skip }, async () => {
  const misspelt = { ...{ 'thread-count': 2 } } as WriterOptions;
  await assert.rejects(startWriter(misspelt), /unknown option --thread-count/);
});
