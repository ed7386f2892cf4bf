import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  listDescriptors,
  listProcesses,
  listThreads,
  readAuxv,
  readCommandLine,
  readControlGroups,
  readCoredumpFilter,
  readDescriptorInfo,
  readDescriptorLink,
  readExecutable,
  readLimits,
  readNamespace,
  readSmapsRollup,
  readStat,
  readStatm,
  readStatus,
  readThreadStat,
  readThreadStatus,
} from './proc.ts';
import { parseLimits, parseSmapsRollup, parseStat, parseStatus } from './proc-status.ts';

test('status of our own process', () => {
  const status = readStatus('self');
  assert.equal(status.threadGroupId, process.pid);
  assert.equal(status.parentId, process.ppid);
  assert.equal(status.userIds[0], process.getuid!());
  assert.equal(status.groupIds[1], process.getegid!());
  assert.equal(status.tracerId, 0);
  assert.equal(status.namespaceIds[0], process.pid);
  assert.equal(status.threads, listThreads('self').length);
  const resident = process.memoryUsage.rss();
  assert.ok(Math.abs(status.residentBytes! - resident) < 64 << 20);
  assert.ok(status.pageTableBytes! > 0);
  assert.equal(status.effectiveCapabilities, BigInt(`0x${status.fields.get('CapEff')}`));
});

test('status of a kernel thread has no memory', () => {
  const text =
    'Name:\tkthreadd\nState:\tS (sleeping)\nTgid:\t2\nPid:\t2\nPPid:\t0\nTracerPid:\t0\nThreads:\t1\n';
  const status = parseStatus(text);
  assert.deepEqual(
    [status.name, status.state, status.residentBytes, status.seccomp],
    ['kthreadd', 'S', undefined, undefined],
  );
  assert.deepEqual(status.namespaceIds, [2]);
});

test('masks are exact', () => {
  const status = parseStatus(
    'Name:\tx\nSigBlk:\tfffffffe7ffbfeff\nCapEff:\t000001ffffffffff\nNSpid:\t9\t3\t1\n',
  );
  assert.equal(status.blockedSignals, 0xfffffffe7ffbfeffn);
  assert.equal(status.effectiveCapabilities, 0x1ffffffffffn);
  assert.deepEqual(status.namespaceIds, [9, 3, 1]);
});

test('a name of any bytes comes through', async () => {
  for (const name of ['a) R 1 (b', ' spaced ', 'back\\slash', 'new\nline', '))) 1 2 3']) {
    const script = `process.title = ${JSON.stringify(name)}; console.log('ready'); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['-e', script]);
    await once(child.stdout, 'data');
    const pid = child.pid!;
    assert.equal(readStatus(pid).name, name);
    const stat = readStat(pid);
    assert.deepEqual([stat.name, stat.pid, stat.parentId, stat.nice], [name, pid, process.pid, 0]);
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});

test('stat of our own process', () => {
  const stat = readStat('self');
  const uptimeTicks = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 100;
  const age = uptimeTicks - stat.startTicks;
  assert.ok(Math.abs(age - process.uptime() * 100) < 200, `${age}`);
  assert.equal(stat.threads, listThreads('self').length);
  assert.equal(stat.flags & 0x200000, 0);
  const parsed = parseStat('1 (x) S 0 1 1 34816 -1 4194560 5 6 7 8 90 91 92 93 20 -5 17 0 2222 4096 3 0');
  assert.deepEqual(
    [
      parsed.terminal,
      parsed.userTicks,
      parsed.systemTicks,
      parsed.childrenUserTicks,
      parsed.childrenSystemTicks,
    ],
    [34816, 90, 91, 92, 93],
  );
  assert.deepEqual([parsed.nice, parsed.threads, parsed.startTicks], [-5, 17, 2222]);
});

test('threads have status and times of their own', () => {
  for (const tid of listThreads('self')) {
    assert.equal(readThreadStatus(process.pid, tid).fields.get('Pid'), String(tid));
    assert.equal(readThreadStat(process.pid, tid).pid, tid);
  }
});

test('sizes agree with one another', () => {
  const size = readStatm('self');
  assert.ok(size.totalPages > size.residentPages && size.residentPages > size.sharedPages);
  const rollup = readSmapsRollup('self');
  assert.ok(rollup.get('Rss')! >= rollup.get('Pss')!);
  assert.deepEqual(
    [...parseSmapsRollup('5-6 ---p 0 00:00 0 [rollup]\nRss:  12 kB\nX: no\n')],
    [['Rss', 12288]],
  );
});

test('limits by name', () => {
  const limits = readLimits('self');
  assert.ok(limits.get('Max open files')!.soft > 0);
  assert.ok(limits.get('Max stack size')!.hard > 0);
  const parsed = parseLimits('Limit  Soft Limit\nMax nice priority         5       unlimited            \n');
  assert.deepEqual([...parsed], [['Max nice priority', { soft: 5, hard: Number.POSITIVE_INFINITY }]]);
});

test('the auxiliary vector names the page size and the vDSO', () => {
  const auxv = readAuxv('self');
  // AT_PAGESZ, AT_SYSINFO_EHDR, AT_NULL
  assert.equal(auxv.get(6), 4096n);
  assert.equal(auxv.get(33)! % 4096n, 0n);
  assert.equal(auxv.has(0), false);
});

test('command line, executable, groups, namespaces', async () => {
  const child = spawn('sleep', ['1000']);
  assert.deepEqual(readCommandLine(child.pid!), ['sleep', '1000']);
  assert.match(readExecutable(child.pid!), /\/(sleep|coreutils|busybox)$/);
  assert.equal(readNamespace(child.pid!, 'pid'), readNamespace('self', 'pid'));
  assert.match(readNamespace('self', 'user'), /^user:\[\d+\]$/);
  assert.ok(readControlGroups(child.pid!).size > 0);
  assert.equal(readCoredumpFilter(child.pid!), readCoredumpFilter('self'));
  assert.ok(listProcesses().includes(child.pid!));
  child.kill('SIGKILL');
  await once(child, 'exit');
  const shell = spawn('sh', ['-c', 'read line', '', 'two words', '']);
  assert.deepEqual(readCommandLine(shell.pid!), ['sh', '-c', 'read line', '', 'two words', '']);
  shell.kill('SIGKILL');
  await once(shell, 'exit');
});

test('descriptors and what they are', () => {
  const descriptors = listDescriptors('self');
  assert.ok(descriptors.includes(2));
  assert.equal(readDescriptorLink('self', 2), readDescriptorLink(process.pid, 2));
  assert.ok(Number(readDescriptorInfo('self', 2).get('flags')) >= 0);
});
