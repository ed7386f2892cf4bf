/** A server's process: started in the foreground, awaited until it listens, ended by its pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { requireProgram } from '../packages.ts';

/** A folder for one server, removed with it. Short, because a socket's path has 108 bytes (unix(7)). */
export function serverFolder(name: string, owner?: { uid: number; gid: number }): string {
  const folder = mkdtempSync(join(tmpdir(), `lc-${name}-`));
  if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
  return folder;
}

export interface ServerCommand {
  readonly program: string;
  readonly args: readonly string[];
  readonly folder: string;
  /** a user name to run as, where this process is root */
  readonly user?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** what makes the server end in good order */
  readonly endSignal: NodeJS.Signals;
  /** resolves to true once the server answers */
  ready(): Promise<boolean>;
}

export interface ServerProcess extends AsyncDisposable {
  readonly pid: number;
  /** what the process wrote to stdout and stderr */
  log(): string;
  readonly running: boolean;
}

/** Starts a server and waits until it answers. It dies with this process, however that ends (setpriv --pdeathsig). */
export async function startServerProcess(command: ServerCommand): Promise<ServerProcess> {
  const logFile = join(command.folder, 'log');
  const log = openSync(logFile, 'a', 0o666);
  const wrapper = ['--pdeathsig', 'KILL'];
  if (command.user !== undefined && process.getuid?.() === 0) {
    wrapper.push(`--reuid=${command.user}`, `--regid=${command.user}`, '--init-groups');
  }
  const setpriv = requireProgram('setpriv', 'util-linux');
  const child = spawn(setpriv.path, [...wrapper, command.program, ...command.args], {
    stdio: ['ignore', log, log],
    cwd: command.folder,
    env: { ...process.env, ...command.env },
  });
  closeSync(log);
  const server = makeProcess(child, command, () => readFileSync(logFile, 'utf8'));
  try {
    for (const start = Date.now(); !(await command.ready()); await sleep(20)) {
      if (!server.running) throw new Error(`${command.program}: ended at once: ${server.log()}`);
      if (Date.now() - start > 60_000)
        throw new Error(`${command.program}: not ready in 60 s: ${server.log()}`);
    }
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

function makeProcess(child: ChildProcess, command: ServerCommand, log: () => string): ServerProcess {
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const running = (): boolean =>
    child.pid !== undefined && child.exitCode === null && child.signalCode === null;
  return {
    pid: child.pid ?? -1,
    log,
    get running() {
      return running();
    },
    async [Symbol.asyncDispose]() {
      if (running()) child.kill(command.endSignal);
      const late = setTimeout(() => running() && child.kill('SIGKILL'), 20_000);
      await exited;
      clearTimeout(late);
      rmSync(command.folder, { recursive: true, force: true });
    },
  };
}

/** Does somebody accept connections there? */
export function accepts(address: { path: string } | { port: number; host: string }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Sends one request of a line protocol and returns what came back until `enough` says so. */
export function roundTrip(
  path: string,
  request: string,
  enough: (answer: string) => boolean,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    let answer = '';
    socket.setEncoding('utf8').setTimeout(20_000, () => socket.destroy(new Error('no answer in 20 s')));
    socket.on('data', (text: string) => {
      answer += text;
      if (enough(answer)) socket.end();
    });
    socket.once('error', reject);
    socket.once('close', () => resolve(answer));
    socket.write(request);
  });
}

/** The direct children of a process. */
export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}
