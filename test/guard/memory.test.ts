/** The tool alone has so little memory that it is swapped, or waits for memory for ever. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../support/unharmed.ts';
import { Guarded, isStopped, noGuardTest } from './guarded.ts';

const MIB = 2 ** 20;

/** Where a group with a limit of memory can be made, by the version of control groups. */
function memoryRoot(version: 1 | 2): string | undefined {
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, path, type, options] = line.split(' ');
    if (version === 1 && type === 'cgroup' && options?.split(',').includes('memory')) return path;
    if (version === 2 && type === 'cgroup2' && /\bmemory\b/.test(controllersBelow(path!))) return path;
  }
  return undefined;
}

function controllersBelow(path: string): string {
  return readFileSync(join(path, 'cgroup.subtree_control'), 'utf8');
}

/** A control group of its own for processes that have little memory. */
class MemoryGroup implements Disposable {
  readonly folder: string;
  readonly #limit: string;

  constructor(name: string) {
    const [first, second] = [memoryRoot(1), memoryRoot(2)];
    this.folder = join((first ?? second)!, `livecore-test-${process.pid}-${name}`);
    this.#limit = first === undefined ? 'memory.max' : 'memory.limit_in_bytes';
    mkdirSync(this.folder);
  }

  add(...pids: number[]): void {
    for (const pid of pids) writeFileSync(join(this.folder, 'cgroup.procs'), String(pid));
  }

  limit(bytes: number): void {
    writeFileSync(join(this.folder, this.#limit), String(bytes));
  }

  /** Who finds no memory waits for it from now on, and is not killed (v1). */
  waitForMemory(): void {
    writeFileSync(join(this.folder, 'memory.oom_control'), '1');
  }

  [Symbol.dispose](): void {
    rmdirSync(this.folder);
  }
}

/** A file to swap to, as long as it is held. */
class Swap implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'livecore-swap-'));
  readonly #file = join(this.#folder, 'swap');

  constructor() {
    try {
      execFileSync('dd', ['if=/dev/zero', `of=${this.#file}`, 'bs=1M', 'count=512'], { stdio: 'pipe' });
      execFileSync('chmod', ['600', this.#file]);
      execFileSync('mkswap', [this.#file], { stdio: 'pipe' });
      execFileSync('swapon', [this.#file], { stdio: 'pipe' });
    } catch (error) {
      rmSync(this.#folder, { recursive: true });
      throw error;
    }
  }

  [Symbol.dispose](): void {
    spawnSync('swapoff', [this.#file]);
    rmSync(this.#folder, { recursive: true });
  }
}

function noSwap(): string | false {
  if (process.getuid!() !== 0) return 'needs root';
  if (memoryRoot(1) === undefined && memoryRoot(2) === undefined)
    return 'no control group hierarchy with the memory controller is mounted';
  try {
    using _swap = new Swap();
    return false;
  } catch (error) {
    return `no file can be swapped to here: ${(error as Error).message.split('\n')[0]}`;
  }
}

function swappedBytes(pid: number): number {
  return Number(/^VmSwap:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024;
}

test('a tool whose memory is swapped', { skip: noGuardTest || noSwap() }, async (context) => {
  using _swap = new Swap();
  await using target = await Guarded.start();
  using group = new MemoryGroup('swap');
  {
    await using tool = target.dump({
      group: group.folder,
      fault: 'session.setPriority.setpriority@host/live:stop:1',
    });
    const loop = await tool.loop();
    await until(() => isStopped(loop), 'the loop is about to begin');
    const swapped = (): number => swappedBytes(tool.pid) + swappedBytes(loop);
    for (let bytes = 256 * MIB; swapped() < 48 * MIB && bytes > 64 * MIB; bytes -= 8 * MIB)
      group.limit(bytes);
    context.diagnostic(`${Math.round(swapped() / MIB)} MiB are in the swap`);
    assert.ok(swapped() > 16 * MIB);
    process.kill(loop, 'SIGCONT');
    const { status, code } = await tool.ended();
    assert.ok(status === 0 || code === 'STALLED', JSON.stringify(tool.told.at(-1)));
    context.diagnostic(code ?? 'a whole core');
    await target.unharmed(context, status === 0 ? 'whole' : 'none');
  }
  await target.end();
});

test('a loop that waits for memory for ever', {
  skip: noGuardTest || (memoryRoot(1) === undefined && 'needs the memory controller of cgroup v1'),
}, async (context) => {
  await using target = await Guarded.start();
  using group = new MemoryGroup('wait');
  {
    await using tool = target.dump({ fault: 'process-memory.read.pread@#read/live:stop:100' });
    const loop = await tool.loop();
    await until(() => isStopped(loop), 'the loop has come to its copy');
    group.waitForMemory();
    group.limit(4096);
    group.add(loop);
    process.kill(loop, 'SIGCONT');
    assert.deepEqual(await tool.ended(), { status: 1, code: 'STALLED' });
    await target.unharmed(context, 'none');
  }
  await target.end();
});
