/**
 * Real servers under load, for tests and benches. Each is started in a folder of its own, on a socket or a port
 * that nobody else has, and ended by its pid.
 *
 * @example
 * const { redis } = servers;
 * test('...', { skip: redis.skip() }, async () => {
 *   await using server = await redis.start();
 *   await using load = await server.startLoad({ rate: 2000 });
 *   // ... dump server.pid ...
 *   assert.equal((await load.stop()).errors, 0);
 *   await server.check();
 * });
 */

import { requireProgram } from './packages.ts';
import { startJavaServer, startNodeServer, startPythonServer } from './servers/http.ts';
import { startMemcached } from './servers/memcached.ts';
import { startNginx } from './servers/nginx.ts';
import { startPostgres } from './servers/postgres.ts';
import { startRedis } from './servers/redis.ts';

export interface ServerOptions {
  /** about how much data the server holds, MiB; each server has its own default */
  readonly mib?: number;
}

export interface LoadOptions {
  /** requests a second, on a fixed schedule */
  readonly rate?: number;
  readonly connections?: number;
  /** percent of the requests that write, where there is such a thing */
  readonly writes?: number;
}

/** What the clients saw. Latencies run from the time a request was due, so that a stall is seen by all it met. */
export interface LoadReport {
  readonly requests: number;
  /** broken connections, missing and wrong answers, failed transactions */
  readonly errors: number;
  readonly reconnects: number;
  /** the first errors, in words */
  readonly messages: readonly string[];
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
}

export interface Load extends AsyncDisposable {
  /** sends no more, waits for what is under way, and reports the whole run */
  stop(): Promise<LoadReport>;
  /** after `stop`: the requests that were due in an interval (CLOCK_MONOTONIC, ns); errors are always of the whole run */
  report(fromNs: number, toNs: number): Promise<LoadReport>;
}

export interface Server extends AsyncDisposable {
  readonly name: string;
  /** the process to dump: the one that holds the data or answers the clients */
  readonly pid: number;
  /** its executable, for a debugger */
  readonly program: string;
  /** processes of the same server that are worth dumping too, by what they are */
  others(): Promise<Readonly<Record<string, number>>>;
  startLoad(options?: LoadOptions): Promise<Load>;
  /** throws when the server does not do any more what it is for, or its data is damaged */
  check(): Promise<void>;
}

export interface ServerKind {
  /** false, or why it can't be started here; installs packages where that can be done */
  skip(): string | false;
  start(options?: ServerOptions): Promise<Server>;
}

function kind(start: ServerKind['start'], programs: readonly (readonly [string, string])[]): ServerKind {
  const needed = [...programs, ['gcc', 'gcc'] as const]; // the load generator is a C program
  const skip = (): string | false =>
    needed.map((p) => requireProgram(p[0], p[1]).skip).find((s) => s !== false) ?? false;
  return { skip, start };
}

export type ServerName = 'redis' | 'postgres' | 'nginx' | 'memcached' | 'node' | 'python' | 'java';

export const servers: Readonly<Record<ServerName, ServerKind>> = {
  redis: kind(startRedis, [['redis-server', 'redis-server']]),
  postgres: kind(startPostgres, [
    ['postgres', 'postgresql'],
    ['pgbench', 'postgresql'],
    ['psql', 'postgresql-client'],
  ]),
  nginx: kind(startNginx, [['nginx', 'nginx-light']]),
  memcached: kind(startMemcached, [['memcached', 'memcached']]),
  node: kind(startNodeServer, []),
  python: kind(startPythonServer, [['python3', 'python3']]),
  java: kind(startJavaServer, [
    ['java', 'openjdk-17-jre-headless'],
    ['javac', 'openjdk-17-jdk-headless'],
  ]),
};
