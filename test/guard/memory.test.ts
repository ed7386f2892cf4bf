/** The tool alone has so little memory that it is swapped, or waits for memory for ever. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MemoryGroup, memoryRoot, noMemoryGroup } from '../support/memory-group.ts';
import { until } from '../support/unharmed.ts';
import { Guarded, isStopped, noGuardTest } from './guarded.ts';

const MIB = 2 ** 20;

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
  const reason = noMemoryGroup();
  if (reason !== false) return reason;
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
