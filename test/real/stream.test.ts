/** `-o -`: cores that are streamed while they are made, whatever their reader does. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf } from '../../src/cli/interruption.ts';
import { Core, type DumpOptions, type DumpSummary, dump } from '../../src/index.ts';
import { getAffinity, setAffinity } from '../../src/linux/session.ts';
import { buildTarget } from '../support/build.ts';
import { checkWriterImage } from '../support/check-writer.ts';
import { TestFolder } from '../support/cores.ts';
import { Fifo } from '../support/fifo.ts';
import { dumpLive, noLiveDump, PATIENT } from '../support/live-dump.ts';
import { checkMutatorImage, startMutator } from '../support/mutator.ts';
import { coreSegments } from '../support/segments.ts';
import { startWriter, type Writer } from '../support/writer.ts';

const skip = noLiveDump || buildTarget('writer').skip;
const MIB = 2 ** 20;
const PN_XNUM = 0xffff;
const TAIL_HEADERS = 128;
const SMALL: DumpOptions = { ...PATIENT, spoolBytes: 16 * MIB, bufferBytes: 8 * MIB };

/** Where the memory of a core ends, and how its head numbers the program headers. */
function headOf(path: string): { tailOffset: number; phnum: number } {
  const fd = openSync(path, 'r');
  const head = Buffer.alloc(64);
  readSync(fd, head, 0, 64, 0);
  closeSync(fd);
  return { tailOffset: Number(head.readBigUInt64LE(32)) - TAIL_HEADERS, phnum: head.readUInt16LE(56) };
}

/** Streams to a reader that takes all of it. */
async function streamed(
  fifo: Fifo,
  pid: number,
  options: DumpOptions,
  speed: { bytesPerSecond?: number } = {},
): Promise<DumpSummary> {
  const dumped = dump(pid, { ...options, outputFd: fifo.writeFd });
  await fifo.read(dumped, speed);
  return dumped;
}

async function quietWriter(mib: number): Promise<Writer> {
  const writer = await startWriter({ mib, threads: 2, rate: 50_000, zero: 20, empty: 10 });
  await writer.advance(10_000);
  await writer.check();
  // The kernel writes the number of the CPU into each thread's memory (rseq(2)): let it stay.
  setAffinity(getAffinity(writer.pid).slice(0, 1), writer.pid);
  await writer.report();
  return writer;
}

for (const { name, options, phnum } of [
  { name: 'that fits into the spool', options: PATIENT, phnum: 'plain' },
  { name: 'larger than the spool', options: SMALL, phnum: 'extended' },
]) {
  test(`the stream of a core ${name} is the core`, { skip }, async () => {
    using folder = new TestFolder();
    using fifo = new Fifo(folder, 'streamed');
    await using writer = await quietWriter(64);
    using file = await dumpLive(writer.pid);
    const summary = await streamed(fifo, writer.pid, options);
    const [wanted, found] = [headOf(file.file), headOf(fifo.path)];
    assert.equal(found.tailOffset, wanted.tailOffset);
    assert.equal(found.phnum === PN_XNUM ? 'extended' : 'plain', phnum);
    assert.deepEqual(coreSegments(fifo.path), coreSegments(file.file));
    const memory = (path: string): Buffer => readFileSync(path).subarray(4096, wanted.tailOffset);
    assert.ok(memory(fifo.path).equals(memory(file.file)), 'the memory differs');
    assert.equal(summary.file, '-');
    assert.equal(summary.fileBytes, fifo.readBytes);
    await using core = await Core.open(fifo.path);
    assert.ok(core.complete);
  });
}

test('a slow reader lengthens the dump, and the spool stays within its bound', { skip }, async () => {
  using folder = new TestFolder();
  using fifo = new Fifo(folder, 'slow');
  await using writer = await startWriter({ mib: 64, threads: 2, rate: 500, pace: 'sleep' });
  await writer.advance(100);
  const { blocks } = await streamed(fifo, writer.pid, SMALL, { bytesPerSecond: 40 * MIB });
  const check = checkWriterImage(writer.plan, fifo.path);
  assert.deepEqual([check.wrong, check.absent, check.brokenCounters], [0, 0, 0], JSON.stringify(check));
  assert.deepEqual([blocks.unreliable, blocks.lost], [0, 0]);
  assert.ok(fifo.spoolBytes > 8 * MIB && fifo.spoolBytes <= 2 * SMALL.spoolBytes!, `${fifo.spoolBytes}`);
  assert.equal((await writer.check()).wrong, 0);
});

test('memory that is not protected is streamed where it stands', { skip }, async () => {
  using folder = new TestFolder();
  using fifo = new Fifo(folder, 'shared');
  await using writer = await startWriter({ mib: 64, threads: 1, rate: 500, memory: 'memfd' });
  await writer.advance(100);
  await streamed(fifo, writer.pid, SMALL);
  assert.equal(checkWriterImage(writer.plan, fifo.path).absent, 0);
  assert.ok(fifo.spoolBytes <= 2 * SMALL.spoolBytes!, `${fifo.spoolBytes}`);
});

test('lost ranges have no content in a stream either', { skip }, async () => {
  using folder = new TestFolder();
  await using mutator = await startMutator({ threads: 2, mib: 32, rate: 2000, ops: 'map,unmap' });
  for (let attempt = 1; ; attempt++) {
    using fifo = new Fifo(folder, `lost-${attempt}`);
    await streamed(fifo, mutator.pid, SMALL, { bytesPerSecond: 60 * MIB });
    const check = checkMutatorImage(mutator.plan, fifo.path);
    assert.deepEqual([check.wrong, check.extra, check.brokenCounters], [0, 0, 0], check.examples.join());
    await using core = await Core.open(fifo.path);
    const lost = core.livecore!.lost;
    const isLost = (at: bigint): boolean => lost.some(({ start, end }) => start <= at && at < end);
    assert.deepEqual(
      check.absentPages.filter((page) => !isLost(BigInt(page))),
      [],
    );
    if (check.absent > 0) break;
    assert.ok(attempt < 5, 'nothing was ever lost');
  }
});

function loopOf(pid: number): number {
  const name = (child: number): string => readFileSync(`/proc/${child}/comm`, 'utf8');
  return childrenOf(pid).find((child) => name(child) === 'livecore-loop\n')!;
}

function holdsUserfaultfd(pid: number): boolean {
  try {
    const names = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    return names.some((name) => name.includes('userfaultfd'));
  } catch {
    return existsSync(`/proc/${pid}/fd`);
  }
}

async function failure(dumped: Promise<DumpSummary>): Promise<Error & { code: string }> {
  return dumped.then(
    () => assert.fail('the dump succeeded'),
    (error: Error & { code: string }) => error,
  );
}

test('a reader that goes away ends the dump; the target goes on', { skip }, async () => {
  using folder = new TestFolder();
  using fifo = new Fifo(folder, 'gone');
  await using writer = await startWriter({ mib: 64, threads: 2, rate: 500, pace: 'sleep' });
  const failed = failure(dump(writer.pid, { ...SMALL, outputFd: fifo.writeFd }));
  await fifo.readUpTo(MIB);
  fifo.leave();
  const error = await failed;
  assert.equal(error.code, 'OUTPUT');
  assert.match(error.message, /its reader has gone/);
  await writer.advance(1000);
  assert.equal((await writer.check()).wrong, 0);
});

test('a reader that stops ends the dump after a bound; the target goes on', { skip }, async () => {
  using folder = new TestFolder();
  using fifo = new Fifo(folder, 'stopped');
  await using writer = await startWriter({ mib: 64, threads: 1, rate: 50, pace: 'sleep' });
  const failed = failure(dump(writer.pid, { ...SMALL, outputFd: fifo.writeFd, readerTimeoutMs: 1000 }));
  await fifo.readUpTo(MIB);
  assert.equal((await failed).code, 'READER_STOPPED');
  await writer.advance(100);
  assert.equal((await writer.check()).wrong, 0);
});

test('a target that writes more than the spool may hold is let go', { skip }, async () => {
  using folder = new TestFolder();
  using fifo = new Fifo(folder, 'full');
  await using writer = await startWriter({ mib: 64, threads: 2, rate: 200_000 });
  const failed = failure(dump(writer.pid, { ...SMALL, outputFd: fifo.writeFd }));
  await fifo.readUpTo(MIB);
  assert.equal((await failed).code, 'SPOOL_FULL');
  await writer.advance(10_000);
  assert.equal((await writer.check()).wrong, 0);
});

test('a parent that stops does not hold the target', { skip }, async () => {
  await using writer = await startWriter({ mib: 64, threads: 1, rate: 50, pace: 'sleep' });
  const cli = join(import.meta.dirname, '../../src/cli/main.ts');
  const options = ['--spool', '16MiB', '--buffer', '8MiB', '--reader-timeout', '1s', '--max-stall', '10s'];
  const tool = spawn(process.execPath, [cli, 'dump', `${writer.pid}`, ...options, '--json', '-o', '-'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  tool.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  try {
    // The first byte comes while memory is protected; nobody reads on.
    await once(tool.stdout, 'readable');
    tool.kill('SIGSTOP');
    const loop = loopOf(tool.pid!);
    while (existsSync(`/proc/${loop}/fd`) && holdsUserfaultfd(loop)) await sleep(50);
    await writer.advance(100);
    tool.kill('SIGCONT');
    tool.stdout.resume();
    const [status] = (await once(tool, 'exit')) as [number];
    assert.equal(status, 1, said);
    assert.match(said, /"code":"READER_STOPPED"/);
  } finally {
    tool.kill('SIGCONT');
    tool.kill('SIGKILL');
  }
});

test('a process may read the stream of its own core', { skip: noLiveDump }, async () => {
  const program = join(import.meta.dirname, '../targets/reads-own-core.ts');
  const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const [status] = (await once(child, 'exit')) as [number];
  assert.equal(status, 0);
  const { read, fileBytes, found } = JSON.parse(said) as { read: number; fileBytes: number; found: boolean };
  assert.equal(read, fileBytes);
  assert.ok(found, 'the core holds what the process held');
});
