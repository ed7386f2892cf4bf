/**
 * Real servers under their load, dumped again and again: no client sees an error, the core opens in the server's own
 * debugger, and the process is what it was.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf } from '../../src/cli/interruption.ts';
import { Core } from '../../src/index.ts';
import { askGdb, askLldb, gdb, lldb, run } from '../support/debuggers.ts';
import { dumpLive, dumpUnwatched, noLiveDump } from '../support/live-dump.ts';
import { requireProgram } from '../support/packages.ts';
import { type Server, type ServerName, servers } from '../support/servers.ts';
import { differences, type Snapshot, takeSnapshot } from '../support/watch.ts';
import { startWriter } from '../support/writer.ts';

const DUMPS = 5;

/** What a server under load changes by itself: memory it allocates, workers it has or sheds, CPU time. */
const ITS_OWN = [
  /^(map|Vm\w+|Rss|Anonymous|LazyFree|Private_\w+|Shared_\w+|Referenced|Swap|AnonHugePages|Pss_\w+|Locked)\b/,
  /^thread \d+ .*(gone|new)/,
  /^thread \d+ children/,
  /^lock \d+/,
  /^fd \d+/,
  /^cmdline: postgres: /, // it says there what it does
  /Pnd: /, // its processes wake each other by signals
];

/** Nothing of ours is left: no tracer, no mask, no priority, no descriptor or mapping of a userfaultfd. */
function assertAsBefore(before: Snapshot, after: Snapshot): void {
  assert.deepEqual(differences(before, after, { lines: ITS_OWN }), []);
  for (const [name, value] of after.facts) {
    if (name.startsWith('fd '))
      assert.doesNotMatch(value, /userfaultfd|\/proc\/|socket:.*unix:livecore/, name);
    // VmFlags: um (missing), uw (write-protect) of a userfaultfd
    if (name.startsWith('map ')) assert.doesNotMatch(value, /\[.*\bu[mw]\b.*\]/, name);
  }
}

/** A debugger of its own kind finds its way in a core. */
type Look = (core: string, server: Server) => void;

const byGdb =
  (frame: RegExp): Look =>
  (core, { program }) =>
    assert.match(askGdb(core, ['thread apply all -q bt 20'], program), frame);

const byLldb =
  (frame: RegExp): Look =>
  (core, { program }) =>
    assert.match(askLldb(core, ['bt all'], program), frame);

const byJhsdb: Look = (core, { program }) => {
  const jhsdb = requireProgram('jhsdb', 'openjdk-17-jdk-headless');
  const stacks = run(jhsdb, ['jstack', '--core', core, '--exe', program]);
  assert.match(stacks.stdout, /HttpServerTarget\.main|at java\.lang\.Thread\.run/, stacks.stderr);
  assert.doesNotMatch(stacks.stdout + stacks.stderr, /Error attaching|DebuggerException/);
  const heap = run(jhsdb, ['jmap', '--histo', '--core', core, '--exe', program]);
  assert.match(heap.stdout, /java\.lang\.String/, heap.stderr);
};

const looks: Readonly<Record<ServerName, Look>> = {
  redis: byGdb(/aeProcessEvents|aeMain|main/),
  postgres: byGdb(/ServerLoop|PostmasterMain|epoll_wait|main/),
  nginx: byGdb(/ngx_|epoll_wait/),
  memcached: byGdb(/event_base_loop|epoll_wait/),
  node: byLldb(/node`uv_run|node`node::|epoll/),
  python: byGdb(/_PyEval_EvalFrameDefault|Py_BytesMain|Py_RunMain/),
  java: byJhsdb,
};

for (const [name, kind] of Object.entries(servers)) {
  const skip = noLiveDump || kind.skip() || gdb.skip || lldb.skip;
  test(`${name} under load does not notice ${DUMPS} dumps`, { skip }, async (context) => {
    await using server = await kind.start({ mib: 32 });
    await using load = await server.startLoad();
    await sleep(500);
    const targets = { [server.name]: server.pid, ...(await server.others()) };
    for (const [what, pid] of Object.entries(targets)) {
      const before = takeSnapshot(pid);
      for (let count = 0; count < DUMPS; count++) {
        using dumped = await dumpLive(pid, {}, ITS_OWN);
        const { blocks, pauseMs, traps } = dumped.summary;
        context.diagnostic(
          `${what}: pause ${pauseMs.toFixed(2)} ms, slowest trap ${traps.maxUs} us, ` +
            `${blocks.unreliable} blocks unreliable, ${blocks.lost} lost`,
        );
        if (count === 0) looks[name as ServerName](dumped.file, server);
        await assertTold(dumped.file, dumped.summary.blocks);
      }
      assertAsBefore(before, takeSnapshot(pid));
    }
    const report = await load.stop();
    assert.deepEqual([report.errors, report.reconnects, report.messages], [0, 0, []]);
    context.diagnostic(`${report.requests} requests, longest ${(report.maxUs / 1000).toFixed(1)} ms`);
    await server.check();
  });
}

/** What the summary counts as unreliable or lost is listed in the core, with a reason each. */
async function assertTold(file: string, blocks: { unreliable: number; lost: number }): Promise<void> {
  await using core = await Core.open(file);
  const pages = (ranges: readonly { start: bigint; end: bigint; reason: string }[]): number =>
    ranges.reduce((sum, { start, end }) => sum + Number(end - start) / 4096, 0);
  const { unreliable, lost } = core.livecore!;
  assert.deepEqual([pages(unreliable), pages(lost)], [blocks.unreliable, blocks.lost]);
  assert.ok([...unreliable, ...lost].every(({ reason }) => reason !== ''));
}

const launcher = join(import.meta.dirname, '../../bin/livecore');

test('a livecore that is dumping can be dumped, loop and parent, and its own dump comes out right', {
  skip: noLiveDump,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'livecore-of-livecore-'));
  await using writer = await startWriter({ mib: 1024, threads: 1, rate: 2000, pace: 'sleep' });
  const args = ['dump', String(writer.pid), '--json', '--max-stall', '60s', '-o', 'first'];
  const first = spawn(launcher, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<number | null>((resolve) => first.once('exit', (code) => resolve(code)));
  try {
    const lines = createInterface({ input: first.stdout! })[Symbol.asyncIterator]();
    // The plan is told before the target is touched: from here on the loop is at work.
    while (!(await lines.next()).value?.includes('"type":"plan"'));
    for (const pid of [first.pid!, ...childrenOf(first.pid!)]) await dumpOrRefusal(pid);
    while (!(await lines.next()).done);
    assert.equal(await ended, 0);
    await using core = await Core.open(join(folder, 'first'));
    assert.equal(core.complete, true);
    await writer.advance(100);
    assert.match(readFileSync(`/proc/${writer.pid}/status`, 'utf8'), /^TracerPid:\t0$/m);
  } finally {
    first.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
});

/** A process may have ended before its turn came; what it may not be is dumped wrong, or hurt. */
async function dumpOrRefusal(pid: number): Promise<void> {
  try {
    using dumped = await dumpUnwatched(pid);
    await using core = await Core.open(dumped.file);
    let threads = 0;
    for await (const { tid } of core.threads()) if (tid > 0) threads++;
    assert.ok(threads > 0);
  } catch (error) {
    const { code } = error as { code?: string };
    assert.ok(['NO_SUCH_PROCESS', 'TARGET_GONE', 'ZOMBIE'].includes(code ?? ''), String(error));
  }
}
