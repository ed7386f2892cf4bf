/** Servers of our own in three runtimes: one service (test/targets/http-server.*), which checks its own data. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { startChild } from '../child.ts';
import { requireProgram } from '../packages.ts';
import type { LoadOptions, Server, ServerOptions } from '../servers.ts';
import { startLoad } from './load.ts';

const TARGETS = join(import.meta.dirname, '../../targets');
const CACHE = join(import.meta.dirname, '../../../node_modules/.cache/livecore-targets');

/** The Node that runs this, serving from V8's heap. */
export function startNodeServer({ mib = 64 }: ServerOptions = {}): Promise<Server> {
  return startHttpServer('Node', process.execPath, [join(TARGETS, 'http-server.ts'), String(mib)], 500);
}

export function startPythonServer({ mib = 64 }: ServerOptions = {}): Promise<Server> {
  const python = requireProgram('python3', 'python3').path;
  return startHttpServer('Python', python, [join(TARGETS, 'http-server.py'), String(mib)], 300);
}

/** A JVM with the collector it chooses by itself and a heap of three times the data. */
export function startJavaServer({ mib = 64 }: ServerOptions = {}): Promise<Server> {
  const java = requireProgram('java', 'openjdk-17-jre-headless').path;
  const args = [`-Xmx${mib * 3 + 32}m`, '-cp', compileJava(), 'HttpServerTarget', String(mib)];
  return startHttpServer('JVM', java, args, 80);
}

function compileJava(): string {
  const source = join(TARGETS, 'HttpServerTarget.java');
  const hash = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 16);
  const folder = join(CACHE, hash);
  if (existsSync(join(folder, 'HttpServerTarget.class'))) return folder;
  mkdirSync(folder, { recursive: true });
  const javac = requireProgram('javac', 'openjdk-17-jdk-headless').path;
  execFileSync(javac, ['-d', folder, source], { stdio: 'pipe' });
  return folder;
}

async function startHttpServer(
  name: string,
  program: string,
  args: string[],
  usualRate: number,
): Promise<Server> {
  const child = await startChild<{ port: number }>(program, args);
  const { port } = child.ready;
  return {
    name,
    pid: child.pid,
    program: readlinkSync(`/proc/${child.pid}/exe`),
    others: () => Promise.resolve({}),
    startLoad: ({ rate = usualRate, connections = 8 }: LoadOptions = {}) =>
      startLoad({ address: { port }, protocol: 'http', rate, connections, path: '/echo' }),
    async check() {
      const response = await fetch(`http://127.0.0.1:${port}/check`, { headers: { connection: 'close' } });
      assert.deepEqual([response.status, await response.text()], [200, 'wrong=0'], child.stderr);
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}
