import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { RLIMIT_CORE, RLIMIT_NOFILE, SCHED_BATCH, SCHED_OTHER, SIGUSR2 } from './abi.ts';
import { readLimits, readStat, readStatus } from './proc.ts';
import {
  CpuLatency,
  getAffinity,
  getLimit,
  ignoreSignal,
  setAffinity,
  setPriority,
  setScheduler,
  setSoftLimit,
  setThreadName,
  setTimerSlackNs,
} from './session.ts';

const module = JSON.stringify(join(import.meta.dirname, 'session.ts'));
const isRoot = process.getuid!() === 0;

/** A process of its own that has the functions of session.ts, prints 'ready', and evaluates each line that it gets. */
class Other implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor() {
    const script = `
      Object.assign(globalThis, await import(${module}));
      const { createInterface } = await import('node:readline');
      for await (const line of createInterface({ input: process.stdin })) {
        let answer;
        try { answer = eval(line) ?? null; } catch (error) { answer = { code: error.code, errno: error.errno }; }
        console.log(JSON.stringify(answer));
      }`;
    const options = { stdio: ['pipe', 'pipe', 'inherit'] as ['pipe', 'pipe', 'inherit'] };
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], options);
    this.process = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.process.pid!;
  }

  async ask(code: string): Promise<unknown> {
    this.process.stdin!.write(`${code.replaceAll('\n', ' ')}\n`);
    const { value, done } = await this.#lines.next();
    assert.ok(!done, `it ended instead of answering ${code}`);
    return JSON.parse(value as string);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill('SIGKILL');
    await once(this.process, 'exit');
  }
}

test('a session of its own, once', async () => {
  await using other = new Other();
  assert.equal(await other.ask('startSession()'), other.pid);
  const stat = readStat(other.pid);
  assert.deepEqual([stat.session, stat.processGroup], [other.pid, other.pid]);
  assert.deepEqual(await other.ask('startSession()'), { code: 'SYSTEM_CALL', errno: 1 });
});

test('terminal stops do not stop it, other signals still come', async () => {
  await using other = new Other();
  await other.ask('ignoreTerminalStops()');
  // bits 19 to 21: SIGTSTP, SIGTTIN, SIGTTOU
  assert.equal(readStatus(other.pid).ignoredSignals & (7n << 19n), 7n << 19n);
  for (const signal of ['SIGTSTP', 'SIGTTIN', 'SIGTTOU'] as const) other.process.kill(signal);
  assert.equal(await other.ask('1 + 1'), 2);
  other.process.kill('SIGTERM');
  const [, signal] = await once(other.process, 'exit');
  assert.equal(signal, 'SIGTERM');
});

test('an ignored signal is named in the status', async () => {
  ignoreSignal(SIGUSR2);
  assert.notEqual(readStatus('self').ignoredSignals & (1n << BigInt(SIGUSR2 - 1)), 0n);
  assert.throws(() => ignoreSignal(9), { code: 'SYSTEM_CALL', syscall: 'signal' });
});

test('it dies with its parent', async () => {
  await using other = new Other();
  const script = `const { setParentDeathSignal } = await import(${module});
    setParentDeathSignal(9); console.log(process.pid); setInterval(() => {}, 1000);`;
  const pid = await other.ask(`
    globalThis.grandchild = process.getBuiltinModule('node:child_process').spawn(
      process.execPath, ['--input-type=module', '-e', ${JSON.stringify(script)}], { stdio: ['ignore', 'pipe', 'inherit'] }),
    grandchild.stdout.once('data', () => { globalThis.isReady = true; }),
    grandchild.pid`);
  while ((await other.ask('globalThis.isReady === true')) !== true)
    await new Promise((resolve) => setTimeout(resolve, 20));
  other.process.kill('SIGKILL');
  await once(other.process, 'exit');
  // an orphan that is dead is a zombie until init takes it
  while (isAlive(pid as number)) await new Promise((resolve) => setTimeout(resolve, 5));
});

function isAlive(pid: number): boolean {
  try {
    return !['Z', 'X'].includes(readStat(pid).state);
  } catch {
    return false;
  }
}

test('a thread is named, in 15 bytes', () => {
  const before = readFileSync('/proc/thread-self/comm', 'utf8').trimEnd();
  setThreadName('a name of many bytes');
  assert.equal(readFileSync('/proc/thread-self/comm', 'utf8'), 'a name of many \n');
  setThreadName(before);
  assert.equal(readFileSync('/proc/thread-self/comm', 'utf8').trimEnd(), before);
});

test('sleeps end on time where that is asked for', () => {
  const slack = (): number => Number(readFileSync('/proc/self/timerslack_ns', 'utf8'));
  const before = slack();
  setTimerSlackNs(1234);
  assert.equal(slack(), 1234);
  // 0 stands for the default of this process
  setTimerSlackNs(0);
  assert.equal(slack(), before);
});

test('memory is locked, and unlocked', { skip: !isRoot && 'needs root' }, async () => {
  await using other = new Other();
  assert.equal(readStatus(other.pid).lockedBytes, 0);
  await other.ask('lockMemory()');
  assert.ok(readStatus(other.pid).lockedBytes! > 0);
  await other.ask('unlockMemory()');
  assert.equal(readStatus(other.pid).lockedBytes, 0);
});

test('a changed priority gives the old one back', { skip: !isRoot && 'needs root' }, () => {
  const before = setPriority(3);
  assert.equal(readStat('self').nice, 3);
  assert.equal(setPriority(-1), 3);
  assert.equal(setPriority(before), -1);
  assert.equal(readStat('self').nice, before);
});

test('processors are chosen, and given back', () => {
  const all = getAffinity();
  assert.ok(all.length >= 1);
  assert.deepEqual(setAffinity([all.at(-1)!]), all);
  assert.deepEqual(getAffinity(), [all.at(-1)]);
  assert.equal(readStatus('self').fields.get('Cpus_allowed_list'), String(all.at(-1)));
  setAffinity(all);
  assert.deepEqual(getAffinity(), all);
  assert.throws(() => setAffinity([]), { code: 'SYSTEM_CALL', syscall: 'sched_setaffinity' });
});

test('a changed policy gives the old one back', () => {
  assert.equal(setScheduler(SCHED_BATCH), SCHED_OTHER);
  assert.equal(setScheduler(SCHED_OTHER), SCHED_BATCH);
});

test('limits are those of /proc, and the soft one is set within the hard one', () => {
  const files = getLimit(RLIMIT_NOFILE);
  assert.deepEqual(readLimits('self').get('Max open files'), files);
  assert.deepEqual(setSoftLimit(RLIMIT_NOFILE, files.soft - 1), files);
  assert.equal(getLimit(RLIMIT_NOFILE).soft, files.soft - 1);
  setSoftLimit(RLIMIT_NOFILE, Number.POSITIVE_INFINITY);
  assert.deepEqual(getLimit(RLIMIT_NOFILE), { soft: files.hard, hard: files.hard });
  setSoftLimit(RLIMIT_NOFILE, files.soft);
  assert.deepEqual(getLimit(RLIMIT_CORE), readLimits('self').get('Max core file size'));
});

test('wake-up latency is held down until it is let go', (context) => {
  let before: number;
  try {
    before = latencyUs();
  } catch {
    return context.skip('no /dev/cpu_dma_latency for this user');
  }
  {
    using _ = new CpuLatency();
    assert.equal(latencyUs(), 0);
  }
  assert.equal(latencyUs(), before);
});

/** The device, read, gives the smallest latency that anybody asks for now, in microseconds. */
function latencyUs(): number {
  const fd = openSync('/dev/cpu_dma_latency', 'r');
  const bytes = Buffer.alloc(4);
  readSync(fd, bytes);
  closeSync(fd);
  return bytes.readInt32LE();
}
