/** Waits that a stop interrupts end when they would have, and no other wait does. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildTarget } from '../../../test/support/build.ts';
import { startTarget, type Target } from '../../../test/support/targets.ts';
import {
  IORING_ENTER_ABS_TIMER,
  IORING_ENTER_EXT_ARG,
  IORING_ENTER_GETEVENTS,
  SIGCONT,
  SIGSTOP,
} from '../../linux/abi.ts';
import { monotonicNs } from '../../linux/clock.ts';
import { TaskList } from '../../linux/proc-tasks.ts';
import { ProcessMemory } from '../../linux/process-memory.ts';
import { Hold } from './hold.ts';
import { WaitKeeper } from './wait-keeper.ts';

const skip = process.getuid!() === 0 ? buildTarget('idle').skip : 'needs root';
const TIMEOUT_MS = 900;
/** so long a wait has lasted when it is stopped: what is started again ends far from where it would have */
const STOPPED_MS = 500;
const LATER_NS = 3_000_000_000;

/** A thread that waits, and whoever keeps its wait. */
class Waiting implements AsyncDisposable {
  readonly target: Target;
  readonly keeper: WaitKeeper;
  readonly #memory: ProcessMemory;

  private constructor(target: Target) {
    this.target = target;
    this.#memory = new ProcessMemory(target.pid);
    this.keeper = new WaitKeeper((address, to, length) => this.#memory.read(address, to, length));
  }

  /** One that has waited for some time. */
  static async start(kind: string): Promise<Waiting> {
    const target = await startTarget('idle', { args: ['--timeout-ms', TIMEOUT_MS, '--only', kind] });
    const waiting = new Waiting(target);
    const { rounds } = await waiting.report();
    while ((await waiting.report()).rounds === rounds) await sleep(1);
    await sleep(STOPPED_MS);
    return waiting;
  }

  async report(): Promise<{ rounds: number; eintr: number; early: number; wrong: number }> {
    const [{ rounds, eintr, early, wrong }] = await this.target.report();
    return { rounds, eintr, early, wrong };
  }

  /** What it reports when its thread has had the time to say that its wait is over. */
  async reportSoon(rounds: number): Promise<unknown> {
    for (let tries = 0; tries < 40 && (await this.report()).rounds === rounds; tries++) await sleep(10);
    return this.report();
  }

  /** Stops all of its threads for a moment. */
  stop(): void {
    using threads = new TaskList(this.target.pid);
    using hold = new Hold(this.target.pid, threads, [], this.keeper);
    hold.seize();
    hold.begin();
    while (!hold.look());
    hold.capture();
  }

  /** The id of the thread that waits. */
  get tid(): number {
    const { pid } = this.target;
    return readdirSync(`/proc/${pid}/task`)
      .map(Number)
      .find((id) => id !== pid)!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.keeper[Symbol.dispose]();
    this.#memory[Symbol.dispose]();
    await this.target[Symbol.asyncDispose]();
  }
}

suite('a wait that a stop interrupts', { skip }, () => {
  for (const kind of [
    'epoll_pwait2 timed',
    'sigtimedwait timed',
    'semtimedop timed',
    'recv timed',
    'send timed',
    'accept timed',
    'io_getevents timed',
    'io_uring_enter timed',
  ]) {
    test(`${kind}: it ends when it would have, with the same result`, async () => {
      await using waiting = await Waiting.start(kind);
      const { rounds } = await waiting.report();
      waiting.stop();
      waiting.keeper.keepUntil(monotonicNs() + LATER_NS);
      // By itself it would wait as long again as it had waited.
      assert.deepEqual(await waiting.reportSoon(rounds), {
        rounds: rounds + 1,
        eintr: 0,
        early: 0,
        wrong: 0,
      });
    });
  }

  test('twice: it still ends when it would have', async () => {
    await using waiting = await Waiting.start('recv timed');
    const { rounds } = await waiting.report();
    waiting.stop();
    await sleep(50);
    waiting.keeper.keep();
    waiting.stop();
    waiting.keeper.keepUntil(monotonicNs() + LATER_NS);
    assert.deepEqual(await waiting.reportSoon(rounds), { rounds: rounds + 1, eintr: 0, early: 0, wrong: 0 });
  });

  test('epoll_wait: it starts again with what remains', async () => {
    await using waiting = await Waiting.start('epoll_wait timed');
    waiting.stop();
    await sleep(20);
    const left = Number(readFileSync(`/proc/${waiting.tid}/syscall`, 'utf8').split(' ')[4]);
    assert.ok(left > 0 && left <= TIMEOUT_MS - STOPPED_MS / 2, `${left} ms`);
  });

  test('one that has run since is another, and is left alone', async () => {
    await using waiting = await Waiting.start('io_uring_enter timed');
    const { rounds } = await waiting.report();
    waiting.stop();
    process.kill(waiting.target.pid, SIGSTOP);
    process.kill(waiting.target.pid, SIGCONT);
    waiting.keeper.keepUntil(monotonicNs() + LATER_NS);
    const { rounds: now, early } = await waiting.report();
    // SIGSTOP is not made good: it ends this call, and what waits now has begun later.
    assert.deepEqual([now, early], [rounds + 1, 0]);
  });

  test('a point in time needs nobody', async (context) => {
    await using waiting = await Waiting.start('io_uring_enter absolute');
    const [{ missing }] = await waiting.target.report();
    if (missing !== '') return context.skip(missing);
    const flags = Number(readFileSync(`/proc/${waiting.tid}/syscall`, 'utf8').split(' ')[4]);
    assert.equal(flags, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | IORING_ENTER_ABS_TIMER);
    const { rounds } = await waiting.report();
    waiting.stop();
    waiting.keeper.keepUntil(monotonicNs() + LATER_NS);
    assert.equal((await waiting.report()).rounds, rounds);
    while ((await waiting.report()).rounds === rounds) await sleep(5);
    assert.deepEqual(await waiting.target.end(), []);
  });
});
