/** Cores on a file system without O_DIRECT: they are right, and when it hangs it holds up nobody but itself. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf } from '../../src/cli/interruption.ts';
import { type DumpOptions, type DumpSummary, dump } from '../../src/index.ts';
import { buildTarget } from '../support/build.ts';
import { checkWriterImage } from '../support/check-writer.ts';
import { PATIENT } from '../support/live-dump.ts';
import { mountPlainFs, noPlainFs, type PlainFs } from '../support/plain-fs.ts';
import { startWriter, type Writer } from '../support/writer.ts';

const skip = noPlainFs || buildTarget('writer').skip;
const RATE = 100_000;
const SLOWLY: DumpOptions = { bufferBytes: 8 * 2 ** 20, force: true };

test('every word of a core is of T0', { skip }, async () => {
  await using files = await mountPlainFs();
  await using writer = await startWriter({ mib: 64, threads: 2, rate: RATE, zero: 20, empty: 10 });
  for (const name of ['first', 'second']) {
    await writer.advance(1000);
    const output = join(files.path, name);
    const { blocks } = await dump(writer.pid, { ...PATIENT, output });
    const check = checkWriterImage(writer.plan, output);
    assert.deepEqual([check.wrong, check.absent, check.brokenCounters], [0, 0, 0], JSON.stringify(check));
    assert.deepEqual([blocks.unreliable, blocks.lost], [0, 0]);
  }
  assert.deepEqual(readdirSync(files.backing).sort(), ['first', 'second'], 'nothing else is left');
});

/** Dumps to a file system that hangs as soon as the copy has begun. Settles when it hangs. */
async function dumpIntoHang(
  files: PlainFs,
  pid: number,
  options: DumpOptions,
): Promise<{ outcome: Promise<DumpSummary | Error> }> {
  return new Promise((resolve, reject) => {
    let hung = false;
    const onProgress: DumpOptions['onProgress'] = ({ phase }) => {
      if (phase !== 'copy' || hung) return;
      hung = true;
      files.hang().then(() => resolve({ outcome }), reject);
    };
    const all = { ...SLOWLY, ...options, output: join(files.path, 'core'), onProgress };
    const outcome = dump(pid, all).catch((error: Error) => error);
    outcome.then(() => hung || reject(new Error('the dump was over before the file system hung')), reject);
  });
}

/** Until the loop of the last dump is gone, and its unfinished file with it. */
async function assertNothingLeft(files: PlainFs): Promise<void> {
  await files.go();
  for (let naps = 0; readdirSync(files.backing).length > 0 && naps < 600; naps++) await sleep(50);
  assert.deepEqual(readdirSync(files.backing), []);
}

/** Whether a thread waits for an answer of the file system (fs/fuse/dev.c). */
function waitsForFiles(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).some((tid) =>
    /^(request_wait_answer|.*fuse.*)$/.test(readFileSync(`/proc/${pid}/task/${tid}/wchan`, 'utf8')),
  );
}

async function writerOf128Mib(): Promise<Writer> {
  const writer = await startWriter({ mib: 128, threads: 1, rate: RATE, pace: 'sleep' });
  await writer.advance(1000);
  return writer;
}

test('when it hangs the dump is given up, and the target and the caller go on', { skip }, async () => {
  await using files = await mountPlainFs({ delayUs: 5000 });
  await using writer = await writerOf128Mib();
  const notices: string[] = [];
  const { outcome } = await dumpIntoHang(files, writer.pid, {
    maxStallMs: 1000,
    onNotice: (text) => notices.push(text),
  });
  const error = (await outcome) as Error & { code: string };
  assert.equal(error.code, 'STALLED', String(error));
  assert.match(notices.at(-1) ?? '', /^process \d+ of livecore still waits for a file system/);
  await writer.advance(10_000);
  assert.equal((await writer.check()).wrong, 0);
  await assertNothingLeft(files);
});

test('killed while it hangs, the loop lets go of the target at once', { skip }, async () => {
  await using files = await mountPlainFs({ delayUs: 5000 });
  await using writer = await writerOf128Mib();
  const { outcome } = await dumpIntoHang(files, writer.pid, { maxStallMs: 600_000 });
  const loop = childrenOf(process.pid).filter(
    (pid) => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'livecore-loop\n',
  );
  assert.equal(loop.length, 1);
  // Its second thread sleeps between two writes; only a write that the file system has taken can't be killed.
  for (let naps = 0; !waitsForFiles(loop[0]!) && naps < 600; naps++) await sleep(10);
  process.kill(loop[0]!, 'SIGKILL');
  await writer.advance(10_000);
  assert.equal(((await outcome) as Error & { code: string }).code, 'STALLED');
  await files.go();
});
