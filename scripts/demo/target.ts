/** The server that is dumped: Redis, or where it can't be had the small one of this folder. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { requireProgram } from '../../test/support/packages.ts';

/** A running server, ended when disposed. */
export interface Target extends Disposable {
  readonly name: string;
  readonly program: string;
  readonly pid: number;
  readonly socketPath: string;
  /** throws if the server has ended */
  assertAlive(): void;
}

const START_LIMIT_MS = 10_000;

/**
 * Starts it on a Unix socket in `folder`, so that no port is taken, and without persistence.
 *
 * @param bundled take the small server even where Redis is there
 */
export async function startTarget(
  folder: string,
  bundled: boolean,
  say: (line: string) => void,
): Promise<Target> {
  const socketPath = join(folder, 'server.sock');
  const redis = bundled ? { path: '', skip: 'not wanted' } : requireProgram('redis-server', 'redis-server');
  if (redis.skip !== false) {
    say(`no Redis here (${redis.skip}), so a small server of this repository takes its place`);
    return start(
      process.execPath,
      [join(import.meta.dirname, 'server.ts'), socketPath],
      'a Node server',
      socketPath,
    );
  }
  const settings = { port: '0', unixsocket: socketPath, save: '', appendonly: 'no', dir: folder };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  return start(redis.path, args, 'redis-server', socketPath);
}

async function start(program: string, args: string[], name: string, socketPath: string): Promise<Target> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const assertAlive = (): void => {
    if (hasEnded(child)) throw new Error(`${name} has ended: ${child.exitCode ?? child.signalCode}`);
  };
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  for (const startMs = performance.now(); !existsSync(socketPath); await sleep(20)) {
    assertAlive();
    if (performance.now() - startMs > START_LIMIT_MS) throw new Error(`${name} does not open its socket`);
  }
  return { name, program, pid: child.pid!, socketPath, assertAlive, [Symbol.dispose]: kill };
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
