/**
 * The target ends, or becomes another program, at random moments of a dump: what the core shows is of T0 all the same, what it
 * lacks is listed, and where there is none the message says why; in bounded time, with nothing left.
 */
import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { suite, type TestContext, test } from 'node:test';
import { Core } from '../../src/index.ts';
import { Random } from '../conformance/random.ts';
import { buildTarget } from '../support/build.ts';
import { checkWriterImage } from '../support/check-writer.ts';
import { startChild } from '../support/child.ts';
import { CommandDump, MOMENTS, type Moment } from '../support/command-dump.ts';
import { TestFolder } from '../support/cores.ts';
import { noLiveDump } from '../support/live-dump.ts';
import { coreSegments } from '../support/segments.ts';
import { loopsOf, until } from '../support/unharmed.ts';
import { startWriter, type Writer, type WriterReady } from '../support/writer.ts';

const skip = noLiveDump || buildTarget('writer').skip || buildTarget('headless').skip;
const PAGE = 4096n;

/** How it ends; `exec` goes on as a sleep. */
const ENDS = ['kill', 'quit', 'exec', 'exec-thread'] as const;

const TRIALS = 2;

/** Pages that the plan speaks of, the core has no content of, and none of its lists names. */
async function unlistedPages(writer: Writer, file: string): Promise<bigint[]> {
  await using core = await Core.open(file);
  const { lost, unreliable } = core.livecore!;
  const shown = coreSegments(file).map(({ address, size }) => ({ start: address, end: address + size }));
  const ranges = [...shown, ...lost, ...unreliable].sort((a, b) => (a.start < b.start ? -1 : 1));
  const unlisted: bigint[] = [];
  for (const { address, size } of [...writer.ranges].sort((a, b) => (a.address < b.address ? -1 : 1))) {
    for (let page = address; page < address + size; page += PAGE) {
      while (ranges.length > 0 && ranges[0]!.end <= page) ranges.shift();
      if (ranges.length === 0 || page < ranges[0]!.start) unlisted.push(page);
    }
  }
  return unlisted;
}

/** Whether a core is there, which must say of itself that all of it was written. */
async function wholeOrListed(file: string): Promise<boolean> {
  await using core = await Core.open(file);
  return core.livecore!.complete || core.livecore!.lost.length > 0;
}

/** A core that was passed must be of T0: of the writer, or of what it became before anything was read. */
async function judgeCore(writer: Writer, file: string, status: number): Promise<string> {
  await using core = await Core.open(file);
  const { lost, unreliable } = core.livecore!;
  assert.equal(lost.length + unreliable.length > 0, status === 3);
  if (core.process!.name === 'sleep') return 'a core of the sleep';
  assert.deepEqual(await unlistedPages(writer, file), []);
  // Without the writer's own counters nothing tells what its words were.
  const counters = writer.ranges.at(-1)!.address;
  if (!coreSegments(file).some(({ address, size }) => address <= counters && counters < address + size))
    return 'a core that lists what is lost';
  const { wrong, absent, brokenCounters, examples } = checkWriterImage(writer.plan, file);
  assert.deepEqual({ wrong, brokenCounters }, { wrong: 0, brokenCounters: 0 }, JSON.stringify(examples));
  if (status === 0) assert.equal(absent, 0);
  return absent > 0 ? 'a core that lists what is lost' : 'a whole core';
}

/** Has somebody end a target at this moment of a dump; what came of it, in words. */
async function dumpEnded(
  folder: TestFolder,
  pid: number,
  moment: Moment,
  { end, judge }: { end: () => void; judge: (file: string, status: number) => Promise<string> },
): Promise<string> {
  const file = folder.file('core');
  const dump = new CommandDump(pid, file);
  await dump.reached(moment);
  end();
  const status = await dump.ended;
  await until(() => loopsOf(pid).length === 0, 'the loop ends');
  if (status === 0 || status === 3) {
    const what = await judge(file, status);
    rmSync(file);
    return what;
  }
  const { code, message } = dump.lines.at(-1) ?? { code: String(status), message: 'it said nothing' };
  assert.deepEqual([status, readdirSync(folder.path)], [1, []], message);
  return code!;
}

/** Random moments, and all that came of them. */
async function tryMoments(
  context: TestContext,
  seed: number,
  trial: (folder: TestFolder, moment: Moment) => Promise<string>,
): Promise<Map<string, Set<string>>> {
  const random = new Random(seed);
  using folder = new TestFolder();
  const came = new Map<string, Set<string>>();
  for (const { phase, withinMs } of MOMENTS) {
    came.set(phase, new Set());
    for (let count = 0; count < TRIALS; count++) {
      const afterMs = random.below(withinMs);
      try {
        const what = await trial(folder, { phase, afterMs });
        context.diagnostic(`${afterMs} ms after ${phase}: ${what}`);
        came.get(phase)!.add(what);
      } catch (error) {
        throw new Error(`${afterMs} ms after ${phase}: ${(error as Error).message}`, { cause: error });
      }
    }
  }
  return came;
}

suite('the target ends while it is dumped', { skip }, () => {
  for (const [index, how] of ENDS.entries()) {
    test(`by ${how}`, async (context) => {
      const came = await tryMoments(context, 40 + index, async (folder, moment) => {
        await using writer = await startWriter({ mib: 128, threads: 3, rate: 50_000, pace: 'sleep' });
        return await dumpEnded(folder, writer.pid, moment, {
          end: () => (how === 'kill' ? writer.child.kill('SIGKILL') : writer.child.tell(how)),
          judge: (file, status) => judgeCore(writer, file, status),
        });
      });
      const isKnown = /^(TARGET_GONE|NO_SUCH_PROCESS|ZOMBIE|a .*core.*)$/;
      for (const [phase, ends] of came) for (const end of ends) assert.match(end, isKnown, phase);
      // After T0 nothing of what was copied is thrown away.
      assert.ok(!came.get('copy')!.has('TARGET_GONE'));
    });
  }

  test('what was copied before is in a core that lists the rest', async () => {
    using folder = new TestFolder();
    // So large that much is left to copy when that is told to have begun.
    await using writer = await startWriter({ mib: 1024, threads: 3, rate: 50_000, pace: 'sleep' });
    const what = await dumpEnded(
      folder,
      writer.pid,
      { phase: 'copy', afterMs: 0 },
      {
        end: () => writer.child.kill('SIGKILL'),
        judge: (file, status) => judgeCore(writer, file, status),
      },
    );
    assert.equal(what, 'a core that lists what is lost');
  });

  test('by a kill, and its parent does not wait for it', async (context) => {
    // What becomes a sleep waits for nobody.
    const script = 'exec 3<&0; "$@" <&3 3<&- & exec sleep 1000 3<&-';
    const args = [
      '-c',
      script,
      'sh',
      buildTarget('writer').path,
      '--mib',
      64,
      '--rate',
      10_000,
      '--pace',
      'sleep',
    ];
    const came = await tryMoments(context, 50, async (folder, moment) => {
      await using parent = await startChild<WriterReady>('sh', args);
      const { pid } = parent.ready;
      return await dumpEnded(folder, pid, moment, {
        end: () => void process.kill(pid, 'SIGKILL'),
        judge: async (file) => ((await wholeOrListed(file)) ? 'a core' : assert.fail('no core')),
      });
    });
    for (const [phase, ends] of came)
      for (const end of ends) assert.match(end, /^(TARGET_GONE|ZOMBIE|a core)$/, phase);
  });

  test('its first thread alone', async (context) => {
    const came = await tryMoments(context, 60, async (folder, moment) => {
      await using headless = await startChild(buildTarget('headless').path);
      let answer: Promise<unknown> | undefined;
      const beats = async (): Promise<number> => (await headless.ask<{ beats: number }>('report')).beats;
      const what = await dumpEnded(folder, headless.pid, moment, {
        end: () => {
          answer = headless.ask('end');
        },
        judge: async (file) => ((await wholeOrListed(file)) ? 'a core' : assert.fail('no core')),
      });
      await answer;
      for (const before = await beats(); (await beats()) < before + 10; );
      return what;
    });
    for (const [phase, ends] of came)
      for (const end of ends) assert.match(end, /^(UNSUPPORTED_TARGET|a core)$/, phase);
  });
});
