/** What a dump leaves in the target and around it: nothing; and what it takes while it runs. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DumpSummary } from '../../src/index.ts';
import { buildTarget } from '../support/build.ts';
import { startChild } from '../support/child.ts';
import { run } from '../support/debuggers.ts';
import { dumpLive, noLiveDump } from '../support/live-dump.ts';
import { requireProgram } from '../support/packages.ts';
import { startWriter } from '../support/writer.ts';

const MIB = 2 ** 20;
const PAGE = 4096;
const skip = noLiveDump || buildTarget('still').skip;

test('a target that stands still is afterwards what it was, and meanwhile nearly', { skip }, async () => {
  await using child = await startChild(buildTarget('still').path, ['--threads', '3']);
  await sleep(200);
  // A page that is protected has lost its accessed bit; the kernel counts those alone as Referenced.
  using dumped = await dumpLive(child.pid, {}, [/^Referenced: /]);
  assertUnchanged(dumped.summary, { rssBytes: 0 });
});

/** What the summary itself says of the target's memory. */
function assertUnchanged(
  { before, after }: DumpSummary,
  { vmPteBytes = 0, pssBytes = 0.01, rssBytes = 16 * PAGE } = {},
): void {
  // A target that runs may touch a page of its own meanwhile.
  assert.ok(
    Math.abs(after.rssBytes - before.rssBytes) <= rssBytes,
    `RSS ${before.rssBytes} -> ${after.rssBytes}`,
  );
  for (const field of ['anonHugePagesBytes', 'swapBytes'] as const)
    assert.equal(after[field], before[field], field);
  assert.ok(
    after.vmPteBytes - before.vmPteBytes <= vmPteBytes,
    `VmPTE ${before.vmPteBytes} -> ${after.vmPteBytes}`,
  );
  assert.ok(Math.abs(after.pssBytes - before.pssBytes) <= before.pssBytes * pssBytes, 'Pss');
}

test('1 TiB reserved, 100 MiB touched: page tables grow by less than 4 MiB', {
  skip: noLiveDump || buildTarget('writer').skip,
}, async () => {
  await using writer = await startWriter({
    mib: 100,
    reserveGib: 1024,
    rate: 1000,
    pace: 'sleep',
    thp: 'off',
  });
  using dumped = await dumpLive(writer.pid);
  assertUnchanged(dumped.summary, { vmPteBytes: 4 * MIB });
});

test('huge pages stay whole where nobody writes, and small ones do not become more', {
  skip: noLiveDump || buildTarget('writer').skip,
}, async () => {
  await using writer = await startWriter({ mib: 64, rate: 1, pace: 'sleep', thp: 'on' });
  using dumped = await dumpLive(writer.pid);
  const { before } = dumped.summary;
  assert.ok(before.anonHugePagesBytes >= 32 * MIB, 'the target has no huge pages');
  assertUnchanged(dumped.summary);
});

test('a parent and a child that share memory go on sharing it: Pss of both grows by less than 1%', {
  skip: noLiveDump || buildTarget('forker').skip,
}, async () => {
  const mib = 64;
  await using parent = await startWriter({ mib, threads: 1, rate: 1, pace: 'sleep', child: 'idle' });
  const pids = [parent.pid, parent.child.ready.child];
  const before = pids.map(pssKib);
  assert.ok(
    before.every((kib) => kib < 0.75 * mib * 1024),
    `not shared: ${before.join()}`,
  );
  for (const pid of pids) {
    using dumped = await dumpLive(pid);
    assertUnchanged(dumped.summary);
  }
  const after = pids.map(pssKib);
  for (const [index, kib] of after.entries())
    assert.ok(kib - before[index]! < before[index]! / 100, `Pss ${before[index]} -> ${kib} KiB`);
});

function pssKib(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))![1]);
}

test('the page cache of the files that a target maps stays', {
  skip: skip || requireProgram('fincore', 'util-linux').skip || requireProgram('python3', 'python3').skip,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'livecore-cache-'));
  const file = join(folder, 'data');
  writeFileSync(file, Buffer.alloc(32 * MIB, 7));
  const code = `import mmap,sys,time
f=open(sys.argv[1],'r+b'); m=mmap.mmap(f.fileno(),0); s=sum(m[::4096]); print('ready',flush=True); time.sleep(600)`;
  const child = spawn(requireProgram('python3', 'python3').path, ['-c', code, file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await new Promise((resolve) => child.stdout!.once('data', resolve));
    const cached = (): number =>
      Number(run(requireProgram('fincore', 'util-linux'), ['-nbo', 'res', file]).stdout);
    const before = cached();
    assert.equal(before, 32 * MIB);
    for (const all of [false, true]) {
      using dumped = await dumpLive(child.pid!, { all });
      // Mapped shared: others may write it.
      assert.equal(dumped.summary.blocks.unreliable > 0, all);
      assert.equal(cached(), before);
    }
  } finally {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the tool takes less than 300 MiB, whatever the size of the target', {
  skip: noLiveDump || buildTarget('writer').skip,
}, async () => {
  await using writer = await startWriter({ mib: 1024, rate: 50_000, threads: 2, readyTimeoutMs: 300_000 });
  using dumped = await dumpLive(writer.pid);
  assert.ok(dumped.summary.peakRssBytes > 64 * MIB);
  // The library's host is this test: its own memory counts as well, so what is asserted is the loop's.
  const loop = dumped.summary.peakRssBytes - process.resourceUsage().maxRSS * 1024;
  assert.ok(loop < 230 * MIB, `${Math.round(loop / MIB)} MiB`);
});
