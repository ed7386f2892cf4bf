/** Every CPU is busy at nice -20. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { availableParallelism, setPriority } from 'node:os';
import { test } from 'node:test';
import { isRunning, until } from '../support/unharmed.ts';
import { Guarded, isStopped, noGuardTest as skip } from './guarded.ts';

const SECONDS = 60;

/**
 * A process for each CPU that computes at the highest priority, and by a limit of its own not for long. Each in a session of
 * its own, whose priority is the highest as well (sched(7), "The autogroup feature").
 */
class Spinners implements Disposable {
  readonly #all: readonly ChildProcess[];

  constructor() {
    this.#all = Array.from({ length: availableParallelism() }, () => {
      const script = `ulimit -t ${SECONDS}; while :; do :; done`;
      const spinner = spawn('sh', ['-c', script], { stdio: 'ignore', detached: true });
      setPriority(spinner.pid!, -20);
      const autogroup = `/proc/${spinner.pid}/autogroup`;
      if (existsSync(autogroup)) writeFileSync(autogroup, '-20');
      return spinner;
    });
  }

  [Symbol.dispose](): void {
    for (const spinner of this.#all) spinner.kill('SIGKILL');
  }
}

/** Where the loop stops until they compute: else it would be over before. */
const MOMENTS: readonly (readonly [what: string, fault: string])[] = [
  ['before the target is touched', 'session.setPriority.setpriority@host/live:stop:1'],
  ['from the midst of the copy on', 'process-memory.read.pread@#read/live:stop:100'],
];

for (const [moment, fault] of MOMENTS) {
  test(`${moment}: a dump comes of it, or ends in time`, { skip }, async (context) => {
    await using target = await Guarded.start();
    await using tool = target.dump({ fault });
    const loop = await tool.loop();
    await until(() => isStopped(loop), 'the loop stops');
    {
      using _spinners = new Spinners();
      process.kill(loop, 'SIGCONT');
      await until(() => !isRunning(loop), 'the loop ends', 60_000);
    }
    const { status, code } = await tool.ended();
    // A thread needs a CPU to stop.
    assert.ok(status === 0 || code === 'STALLED' || code === 'HOLD_FAILED', JSON.stringify(tool.told.at(-1)));
    context.diagnostic(code ?? 'a whole core');
    await target.unharmed(context, status === 0 ? 'whole' : 'none');
    await target.end();
  });
}
