/** Nobody reads what the command writes: a core to stdout, JSON, or words. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestFolder } from '../support/cores.ts';
import { isRunning, until } from '../support/unharmed.ts';
import { Guarded, noGuardTest as skip } from './guarded.ts';

const { O_RDWR, O_WRONLY, O_NONBLOCK } = constants;

/** A pipe, full if that is wanted, that nobody reads before `drain`. */
class UnreadPipe implements Disposable {
  /** for a child's stdio */
  readonly fd: number;
  readonly #ours: number;

  constructor(folder: TestFolder, { full }: { full: boolean }) {
    const path = folder.file(`pipe-${full}`);
    execFileSync('mkfifo', [path]);
    // Both ends, so that it can be opened and stays open.
    this.#ours = openSync(path, O_RDWR | O_NONBLOCK);
    this.fd = openSync(path, O_WRONLY);
    if (full) this.#fill();
  }

  /** Reads until the writer has ended. */
  async drain(ended: () => boolean): Promise<void> {
    const piece = Buffer.alloc(65536);
    while (!ended()) {
      try {
        readSync(this.#ours, piece);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
        await sleep(10);
      }
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
    closeSync(this.#ours);
  }

  #fill(): void {
    try {
      for (const piece = Buffer.alloc(4096, '\n'); ; ) writeSync(this.#ours, piece);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}

test('a core that nobody reads: the dump ends after its bound', { skip }, async (context) => {
  using folder = new TestFolder();
  using pipe = new UnreadPipe(folder, { full: false });
  await using target = await Guarded.start({ mib: 64, rate: 500 });
  await using tool = target.dump({
    args: ['-o', '-', '--spool', '16MiB', '--buffer', '8MiB', '--reader-timeout', '2s'],
    stdio: ['ignore', pipe.fd, 'pipe'],
    told: 'stderr',
  });
  assert.deepEqual(await tool.ended(), { status: 1, code: 'READER_STOPPED' });
  await target.unharmed(context, 'none');
  await target.end();
});

for (const { what, json, stdio } of [
  { what: 'JSON', json: true, stdio: (fd: number) => ['ignore', fd, 'ignore'] as const },
  { what: 'words', json: false, stdio: (fd: number) => ['ignore', 'ignore', fd] as const },
]) {
  test(`${what} that nobody reads: the command waits, the dump does not`, { skip }, async (context) => {
    using folder = new TestFolder();
    using pipe = new UnreadPipe(folder, { full: true });
    await using target = await Guarded.start();
    await using tool = target.dump({ json, stdio: [...stdio(pipe.fd)], told: 'nowhere' });
    const loop = await tool.loop();
    await until(() => !isRunning(loop), 'the loop ends by itself');
    await target.unharmed(context, 'whole');
    assert.ok(!tool.hasEnded);
    await pipe.drain(() => tool.hasEnded);
    assert.equal((await tool.ended()).status, 0);
    await target.end();
  });
}
