import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { requireProgram } from '../packages.ts';
import type { Load, LoadOptions, LoadReport, Server, ServerOptions } from '../servers.ts';
import { serverFolder, startServerProcess } from './process.ts';

const MIB_PER_SCALE = 15; // pgbench -i: 100,000 accounts

/** PostgreSQL with pgbench's tables, as user postgres where we are root (it refuses root). `pid` is the postmaster. */
export async function startPostgres({ mib = 64 }: ServerOptions = {}): Promise<Server> {
  const user = process.getuid?.() === 0 ? userIds('postgres') : undefined;
  const folder = serverFolder('pg', user);
  const run = (program: string, args: readonly string[]): string =>
    execFileSync(requireProgram(program, 'postgresql').path, args, {
      ...user,
      cwd: folder,
      env: { ...process.env, PGHOST: folder, PGDATABASE: 'postgres', PGUSER: 'postgres' },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const data = join(folder, 'data');
  run('initdb', ['-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync']);
  const settings = [
    'listen_addresses=',
    `unix_socket_directories=${folder}`,
    `shared_buffers=${Math.max(mib, 16)}MB`,
    'fsync=off', // of the server's own files: its speed is not what is looked at
    'autovacuum=off',
  ];
  const server = await startServerProcess({
    program: requireProgram('postgres', 'postgresql').path,
    args: ['-D', data, ...settings.flatMap((setting) => ['-c', setting])],
    folder,
    ...(user === undefined ? {} : { user: 'postgres' }),
    endSignal: 'SIGINT', // fast shutdown: Debian's and pg_ctl's default
    ready: () => {
      try {
        return Promise.resolve(run('psql', ['-Atc', 'select 1']).trim() === '1');
      } catch {
        return Promise.resolve(false);
      }
    },
  });
  run('pgbench', ['-i', '-q', '-s', String(Math.max(1, Math.round(mib / MIB_PER_SCALE)))]);
  return {
    name: 'PostgreSQL',
    pid: server.pid,
    program: readlinkSync(`/proc/${server.pid}/exe`),
    /** the busiest backend, if there is load */
    async others() {
      const query =
        "select pid from pg_stat_activity where application_name = 'pgbench' order by backend_start limit 1";
      const pid = run('psql', ['-Atc', query]).trim();
      return pid === '' ? ({} as Record<string, number>) : { backend: Number(pid) };
    },
    startLoad: (options) => startPgbench(folder, user, options),
    async check() {
      // what pgbench's transactions keep equal, whatever happens between them
      const sums = ['accounts', 'tellers', 'branches'].map(
        (t) => `(select sum(${t[0]}balance) from pgbench_${t})`,
      );
      const all = [...sums, '(select coalesce(sum(delta), 0) from pgbench_history)'];
      const [first, ...rest] = run('psql', ['-AtF', ' ', '-c', `select ${all.join(', ')}`])
        .trim()
        .split(' ');
      assert.deepEqual(rest, [first, first, first], server.log());
      assert.doesNotMatch(server.log(), /PANIC|terminated by signal|was not properly shut down/);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

function userIds(name: string): { uid: number; gid: number } {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`));
  if (line === undefined) throw new Error(`no user ${name} in /etc/passwd`);
  const [, , uid, gid] = line.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}

/** pgbench with a rate measures from the time a transaction was due, and logs each (--log). */
async function startPgbench(
  folder: string,
  user: { uid: number; gid: number } | undefined,
  { rate = 200, connections = 4 }: LoadOptions = {},
): Promise<Load> {
  const prefix = `bench-${process.hrtime.bigint()}`;
  const args = ['-c', String(connections), '-j', '1', '-n', '-R', String(rate), '-T', '86400'];
  const child = spawn(
    requireProgram('pgbench', 'postgresql').path,
    [...args, '--log', `--log-prefix=${prefix}`],
    {
      ...user,
      cwd: folder,
      env: { ...process.env, PGHOST: folder, PGDATABASE: 'postgres', PGUSER: 'postgres' },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let talk = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (talk += text));
  const exited = once(child, 'close');
  const running = (): boolean => child.exitCode === null && child.signalCode === null;
  while (running() && !readdirSync(folder).some((name) => name.startsWith(prefix))) await sleep(20);
  const report = (fromNs: number, toNs: number): LoadReport => {
    const logs = readdirSync(folder).filter((name) => name.startsWith(prefix));
    const lines = logs.flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'));
    return summarize(lines, talk, child.exitCode, fromNs, toNs);
  };
  return {
    async stop() {
      // SIGALRM is how pgbench notices the end of -T: it finishes what is under way and reports
      if (running()) child.kill('SIGALRM');
      await exited;
      return report(0, Number.POSITIVE_INFINITY);
    },
    report: (fromNs, toNs) => Promise.resolve(report(fromNs, toNs)),
    async [Symbol.asyncDispose]() {
      if (running()) child.kill('SIGKILL');
      await exited;
    },
  };
}

/** Log lines: client, transaction, elapsed us (from when it was due), script, end seconds, end us, lag. */
function summarize(
  lines: readonly string[],
  talk: string,
  exitCode: number | null,
  fromNs: number,
  toNs: number,
): LoadReport {
  const clockOffsetNs = Number(process.hrtime.bigint()) - Date.now() * 1e6;
  const latencies: number[] = [];
  for (const line of lines) {
    const [, , elapsed, , seconds, us] = line.split(' ').map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    if (!Number.isFinite(elapsed)) continue; // "failed", "skipped": counted by pgbench below
    const dueNs = seconds * 1e9 + (us - elapsed) * 1e3 + clockOffsetNs;
    if (dueNs >= fromNs && dueNs < toNs) latencies.push(elapsed);
  }
  latencies.sort((a, b) => a - b);
  const quantile = (q: number): number => latencies[Math.floor((latencies.length - 1) * q)] ?? 0;
  const failed = Number(/number of failed transactions: (\d+)/.exec(talk)?.[1] ?? 0);
  const messages = talk.split('\n').filter((line) => /error|aborted|fatal|lost/i.test(line));
  return {
    requests: latencies.length,
    errors: failed + messages.length + (exitCode === 0 || exitCode === null ? 0 : 1),
    reconnects: 0, // pgbench gives a client up whose connection breaks: that is an error
    messages,
    p50Us: quantile(0.5),
    p99Us: quantile(0.99),
    p999Us: quantile(0.999),
    maxUs: quantile(1),
  };
}
