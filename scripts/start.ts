/**
 * `npm start`: the main job on real input. A Redis server with some 500 MB under load is dumped live; what its clients
 * saw is shown, the same for gcore, and the core is checked to be the memory of one instant and opened in gdb.
 *
 * `npm start -- --bundled` takes the small Node server that stands in where Redis can't be had.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { styleText } from 'node:util';
import { formatMs, formatSize } from '../src/cli/format.ts';
import { LivecoreError } from '../src/errors.ts';
import { Core } from '../src/formats/elf-core/core.ts';
import { readCaller, readTarget } from '../src/machines/process/right-facts.ts';
import { judgeRights, requireRights } from '../src/machines/process/rights.ts';
import { requireProgram } from '../test/support/packages.ts';
import { Clients } from './demo/clients.ts';
import type { Latencies } from './demo/load.ts';
import { readClockOf } from './demo/read-clock.ts';
import { startTarget, type Target } from './demo/target.ts';

const KEYS = 120_000;
const VALUE_BYTES = 4000;
const RATE_PER_SECOND = 4000;
const BASELINE_MS = 4000;

const root = join(import.meta.dirname, '..');
const livecore = join(root, 'bin/livecore');

// So that `exit` comes, in which everything is cleaned up, however this ends.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => process.exit(130));
process.exitCode = await main();

async function main(): Promise<number> {
  // Cores go to the disk of the checkout: a temporary folder may be memory. The socket's path must be short.
  mkdirSync(join(root, '.cache'), { recursive: true });
  using folder = temporaryFolder(join(root, '.cache', 'start-'));
  using socketFolder = temporaryFolder(join(tmpdir(), 'livecore-'));
  using target = await startTarget(socketFolder.path, process.argv.includes('--bundled'), say);
  if (!hasRights(target)) return 1;

  heading(
    `1. ${target.name}, process ${target.pid}: filled with ${formatSize(KEYS * VALUE_BYTES)}, then put under load`,
  );
  using clients = await Clients.start({
    socketPath: target.socketPath,
    keys: KEYS,
    valueBytes: VALUE_BYTES,
    ratePerSecond: RATE_PER_SECOND,
  });
  say(
    `${RATE_PER_SECOND} requests a second, half of them writes to random keys, each timed from when it was due`,
  );
  const [before] = await clients.during(() => sleep(BASELINE_MS));

  const core = join(folder.path, `core.${target.pid}`);
  heading('2. dumped live');
  const [during, isDumped] = await clients.during(() =>
    run(livecore, ['dump', String(target.pid), '-o', core]),
  );
  if (!isDumped) return 1;
  const isOneInstant = await checkInstant(core, clients);

  heading('3. dumped by gcore, which freezes it meanwhile');
  const frozen = await dumpByGcore(target, clients, join(folder.path, 'gcore'));

  heading('4. what the clients saw');
  table({ before, 'during livecore': during, ...(frozen && { 'during gcore': frozen }) });

  heading('5. the core in gdb');
  const isReadable = backtrace(target, core);
  target.assertAlive();
  await clients.timesOf(0);
  say(styleText('green', `${target.name} is still running and serving; ending it and removing the files`));
  return isOneInstant && isReadable ? 0 : 1;
}

/** Says what is missing, before anything is filled. */
function hasRights(target: Target): boolean {
  try {
    requireRights(judgeRights(readCaller(), readTarget(target.pid)), target.pid);
    return true;
  } catch (error) {
    if (!(error instanceof LivecoreError)) throw error;
    say(styleText('red', error.message));
    say(
      'this demonstration needs the rights of a debugger; the command that has them:\n\n    sudo -E env "PATH=$PATH" npm start\n',
    );
    return false;
  }
}

/** The core is of one instant if the clock in it can be read, and of T0 if the clock says what T0's stamp says. */
async function checkInstant(file: string, clients: Clients): Promise<boolean> {
  await using core = await Core.open(file);
  const clock = await readClockOf(core, clients.mark);
  if ('fault' in clock) {
    say(styleText('red', `the core is not the memory of one instant: ${clock.fault}`));
    return false;
  }
  const t0Ns = Number(core.livecore?.t0.monotonicNs ?? 0n);
  const [last, next] = [await clients.timesOf(clock.lastWrite), await clients.timesOf(clock.lastWrite + 1)];
  const isAtT0 = last !== undefined && next !== undefined && last.sentNs < t0Ns && t0Ns < next.repliedNs;
  say(`pause ${formatMs((core.livecore?.pauseNs ?? 0) / 1e6)}`);
  say(
    `512 values, written in turn all the time, stand in the core as they did after write ${clock.lastWrite}: one instant`,
  );
  if (isAtT0) say('that write was sent before T0, and the reply to the next one came after T0');
  else say(styleText('red', 'but T0 does not lie between that write and the next one'));
  return isAtT0;
}

async function dumpByGcore(target: Target, clients: Clients, prefix: string): Promise<Latencies | undefined> {
  const gcore = requireProgram('gcore', 'gdb');
  if (gcore.skip !== false) {
    say(`skipped: ${gcore.skip}`);
    return undefined;
  }
  const startMs = performance.now();
  const [latencies] = await clients.during(async () => {
    const child = spawn(gcore.path, ['-o', prefix, String(target.pid)], { stdio: 'ignore' });
    await once(child, 'exit');
    // what had to wait is answered only now
    await sleep(500);
  });
  const file = `${prefix}.${target.pid}`;
  say(
    `gcore took ${formatMs(performance.now() - startMs - 500)} and wrote ${formatSize(statSync(file).size)}`,
  );
  rmSync(file);
  return latencies;
}

function backtrace(target: Target, core: string): boolean {
  const gdb = requireProgram('gdb', 'gdb');
  if (gdb.skip !== false) {
    say(`skipped: ${gdb.skip}`);
    return true;
  }
  const args = [
    '--nx',
    '--batch',
    '-ex',
    'echo threads:\\n',
    '-ex',
    'info threads',
    '-ex',
    'bt 6',
    target.program,
    core,
  ];
  const { stdout } = spawnSync(gdb.path, args, {
    encoding: 'utf8',
    env: { ...process.env, DEBUGINFOD_URLS: '' },
  });
  const shown = stdout.slice(stdout.indexOf('threads:\n'));
  const frames = shown.split('\n').filter((line) => /^(\*? +\d+ +|#)/.test(line));
  for (const frame of frames) say(frame);
  return frames.some((line) => line.startsWith('#0'));
}

/** Runs a command as a user would see it; whether it succeeded. */
async function run(program: string, args: string[]): Promise<boolean> {
  say(`$ livecore ${args.join(' ')}`);
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const [status] = await once(child, 'exit');
  return status === 0;
}

function table(rows: Readonly<Record<string, Latencies>>): void {
  say(['', 'p50', 'p99', 'p99.9', 'longest', 'requests', 'failed'].map(cell).join(''));
  for (const [name, { p50Ms, p99Ms, p999Ms, maxMs, requests, failed }] of Object.entries(rows)) {
    const values = [p50Ms, p99Ms, p999Ms, maxMs].map((ms) => `${ms.toFixed(2)} ms`);
    say([name, ...values, String(requests), String(failed)].map(cell).join(''));
  }
}

function cell(text: string, column: number): string {
  return column === 0 ? text.padEnd(16) : text.padStart(12);
}

function temporaryFolder(prefix: string): Disposable & { readonly path: string } {
  const path = mkdtempSync(prefix);
  const remove = (): void => rmSync(path, { recursive: true, force: true });
  process.once('exit', remove);
  return { path, [Symbol.dispose]: remove };
}

function heading(text: string): void {
  console.log(`\n${styleText('bold', text)}`);
}

function say(text: string): void {
  console.log(text);
}
