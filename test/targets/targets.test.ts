/** Each target is content when left alone, and notices what it is there to notice. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildTarget } from '../support/build.ts';
import { checkMutatorImage, startMutator } from '../support/mutator.ts';
import { requireProgram } from '../support/packages.ts';
import { limitTasks, pidsLimitSkip } from '../support/pids-limit.ts';
import { coreSegments, stopped } from '../support/segments.ts';
import { startTarget, type TargetName, targetNames, targetSkip } from '../support/targets.ts';
import { takeSnapshot } from '../support/watch.ts';

const folder = mkdtempSync(join(tmpdir(), 'livecore-targets-'));
after(() => rmSync(folder, { recursive: true }));
const { skip } = buildTarget('idle');
const gdb = requireProgram('gdb', 'gdb');

const args: Partial<Record<TargetName, readonly (string | number)[]>> = {
  idle: ['--timeout-ms', 50],
  forker: ['--mib', 8, '--life-ms', 50, '--spawn', 50],
};

for (const name of targetNames) {
  for (const musl of [false, true]) {
    const libc = musl ? 'musl' : 'glibc';
    test(`${name}, ${libc}: undisturbed, it is content`, { skip: targetSkip(name, { musl }) }, async () => {
      await using target = await startTarget(name, { musl, args: args[name] ?? [] });
      await sleep(300);
      await target.report();
      assert.deepEqual(await target.end(), []);
    });
  }
}

test('idle notices the EINTR of a stop that is not made good', { skip }, async () => {
  // SIGSTOP and SIGCONT end epoll_wait and others with EINTR though nobody has a handler: signal(7)
  await using target = await startTarget('idle', { args: ['--timeout-ms', 300] });
  await sleep(100);
  target.child.kill('SIGSTOP');
  await stopped(target.pid);
  target.child.kill('SIGCONT');
  await sleep(50);
  const troubles = await target.end();
  for (const name of [
    'epoll_wait',
    'epoll_wait timed',
    'semtimedop timed',
    'sigtimedwait timed',
    'recv timed',
  ]) {
    assert.ok(troubles.includes(`${name}: 1 EINTR`), troubles.join('\n'));
  }
});

test('idle notices a sleep that ends by itself', { skip }, async () => {
  await using target = await startTarget('idle', { args: ['--only', 'flock'] });
  assert.deepEqual(
    (await target.report()).map((kind: { name: string; rounds: number }) => [kind.name, kind.rounds]),
    [['flock', 0]],
  );
  process.kill(target.pid, 'SIGUSR2'); // blocked, and waited for by a kind that is not there: nothing may wake
  await sleep(50);
  assert.deepEqual(await target.end(), []);
});

for (const [what, command] of [
  ['a general register', 'set $r13 = $r13 ^ 1'],
  ['a vector register', 'set $xmm9.v2_int64[0] = 1'],
  ['the MXCSR', 'set $mxcsr = 0x1f80'],
] as const) {
  test(`compute notices one change of ${what}`, { skip: skip || gdb.skip }, async () => {
    await using target = await startTarget('compute', { args: ['--threads', 1] });
    const commands = ['thread 2', command, 'detach'].flatMap((line) => ['-ex', line]);
    // until it is caught in the computation itself, not in the few instructions between two blocks
    for (let tries = 0; tries < 20 && (await target.report()).wrong === 0; tries++) {
      spawnSync(gdb.path, ['-q', '-batch', '-p', String(target.pid), ...commands], { stdio: 'ignore' });
      const { blocks } = await target.report();
      while ((await target.report()).blocks < blocks + 2) await sleep(5);
    }
    assert.match((await target.end()).join(), /wrong registers, first/);
  });
}

test('signals notices a lost and a doubled signal', { skip: skip || gdb.skip }, async () => {
  await using target = await startTarget('signals');
  await sleep(50);
  const step = ['set var received[1] = received[1] + 1', 'detach'].flatMap((line) => ['-ex', line]);
  spawnSync(gdb.path, ['-q', '-batch', '-p', String(target.pid), ...step], { stdio: 'ignore' });
  await sleep(50);
  assert.match((await target.end()).join(), /signals out of order/);
});

test('threads notices a joiner that waits in vain', { skip: skip || gdb.skip }, async () => {
  await using target = await startTarget('threads');
  // what a lost owner-died bit looks like from outside: one noticed less
  const step = ['set var owner_dead = owner_dead - 1', 'detach'].flatMap((line) => ['-ex', line]);
  spawnSync(gdb.path, ['-q', '-batch', '-p', String(target.pid), ...step], { stdio: 'ignore' });
  assert.match((await target.end()).join(), /owners died, \d+ were noticed/);
});

test('a family that is idle keeps its Pss', { skip }, async () => {
  await using target = await startTarget('forker', { args: ['--mib', 32, '--idle', 1] });
  const { children } = await target.report();
  const pssKib = (): number[] =>
    [target.pid, ...children].map((pid) => takeSnapshot(pid).kib.get('Pss_Anon')!);
  // the first moments of a process, and the end of its thread that has nothing to do, touch a few pages
  let before = pssKib();
  for (let same = 0; same < 5; same++) {
    await sleep(20);
    const now = pssKib();
    if (now.join() !== before.join()) same = 0;
    before = now;
  }
  assert.ok(
    before.every((kib) => kib > 32 * 1024 * 0.3 && kib < 32 * 1024 * 0.4),
    before.join(),
  ); // a third each
  await sleep(100);
  assert.deepEqual(pssKib(), before);
  assert.deepEqual(await target.end(), []);
});

test('a target at its limit of tasks can start nothing', { skip: skip || pidsLimitSkip() }, async () => {
  await using target = await startTarget('limits-target');
  assert.equal((await target.report()).canStart, true);
  using _limit = limitTasks(target.pid);
  assert.deepEqual([(await target.report()).canStart, (await target.report()).canOpen], [false, false]);
  assert.deepEqual(await target.end(), []);
});

for (const filter of ['docker', 'allow', 'strict']) {
  test(`seccomp, filter ${filter}: works, and dies of a forbidden call`, { skip }, async () => {
    await using target = await startTarget('seccomp', { args: ['--filter', filter] });
    const { denies } = target.child.ready as { denies: number };
    assert.equal((await target.report()).denied, filter === 'docker' ? denies : 0);
    while ((await target.report()).beats === 0) await sleep(1);
    if (filter === 'docker') return assert.deepEqual(await target.end(), []);
    await assert.rejects(target.child.ask('forbidden'), filter === 'allow' ? /SIGSYS/ : /SIGKILL/);
  });
}

test('a daemon that dropped its rights is not dumpable', { skip: targetSkip('setuid-drop') }, async () => {
  await using target = await startTarget('setuid-drop');
  assert.equal((await target.report()).dumpable, 0);
  await using kept = await startTarget('setuid-drop', { args: ['--keep', 'dumpable'] });
  assert.equal((await kept.report()).dumpable, 1);
});

for (const ops of [
  'all',
  'dontneed',
  'free',
  'unmap,map',
  'fixed',
  'move,keep',
  'shrink',
  'brkgrow,brkshrink',
]) {
  test(`mutator, ${ops}: its memory is as its model says`, { skip }, async () => {
    await using mutator = await startMutator({ ops, rate: 20_000, threads: 2, mib: 2 });
    while ((await mutator.report()).operations < 3000) await sleep(5);
    const { pages, wrong } = await mutator.check();
    assert.deepEqual([pages, wrong], [2 * 512 + 256, 0]);
    const report = await mutator.report();
    assert.deepEqual([report.intruders, report.failures, report.first], [0, 0, '']);
  });
}

test('mutator under musl', { skip: buildTarget('mutator', { musl: true }).skip }, async () => {
  await using mutator = await startMutator({ rate: 20_000, threads: 2, mib: 2, musl: true });
  while ((await mutator.report()).operations < 3000) await sleep(5);
  assert.equal((await mutator.check()).wrong, 0);
});

test("gcore's image of a mutator passes; each kind of fault in it is told", { skip: gdb.skip }, async () => {
  await using mutator = await startMutator({ rate: 5000, threads: 2, mib: 4 });
  while ((await mutator.report()).operations < 3000) await sleep(5);
  execFileSync('gcore', ['-o', join(folder, 'mutator'), String(mutator.pid)], { stdio: 'pipe' });
  const core = join(folder, `mutator.${mutator.pid}`);
  const right = checkMutatorImage(mutator.plan, core);
  assert.deepEqual(
    [right.wrong, right.absent, right.extra, right.brokenCounters],
    [0, 0, 0, 0],
    JSON.stringify(right),
  );
  assert.ok(right.counters.every(([begin]) => begin > 100));

  const base = BigInt(mutator.plan.split(' ')[3]!);
  const all = coreSegments(core);
  const inArena = all.filter((s) => s.address >= base && s.address < base + (8n << 20n));
  const without = all.filter((s) => s !== inArena[0]);
  const lacking = checkMutatorImage(mutator.plan, core, without);
  assert.equal(lacking.absent, Number(inArena[0]!.size / 4096n));
  assert.equal(BigInt(lacking.absentPages[0]!), inArena[0]!.address);

  const hole = inArena.findIndex((s, i) => s.address + s.size < (inArena[i + 1]?.address ?? 0n));
  const end = inArena[hole]!.address + inArena[hole]!.size;
  const added = checkMutatorImage(mutator.plan, core, [...all, { address: end, offset: 0n, size: 4096n }]);
  assert.equal(added.extra, 1);

  const file = openSync(core, 'r+');
  writeSync(file, Buffer.alloc(8, 0xee), 0, 8, Number(inArena[0]!.offset) + 2048);
  const planted = checkMutatorImage(mutator.plan, core);
  assert.deepEqual([planted.wrong, planted.absent, planted.extra], [1, 0, 0]);
});

test('the bare limits of this machine are measured', { skip }, () => {
  const options = ['--mib', '16', '--threads', '3', '--rounds', '5', '--file', join(folder, 'limits')];
  const report = JSON.parse(execFileSync(buildTarget('limits').path, options, { encoding: 'utf8' }));
  for (const field of ['stopNs', 'resumeNs', 'memcpyGibPerS', 'memoryGibPerS', 'bufferedGibPerS']) {
    assert.ok(report[field] > 0, `${field} in ${JSON.stringify(report)}`);
  }
});
