/** A process that has ended and that its parent doesn't wait for. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { until } from './unharmed.ts';

export interface Zombie extends Disposable {
  readonly pid: number;
  readonly parent: number;
}

/** Owned by who asks for it: the parent goes with it, and whoever takes its place reaps the zombie. */
export async function startZombie(): Promise<Zombie> {
  // A shell reaps its children, a sleep does not: so the child is killed when the shell has become one (exec).
  const parent = spawn('sh', ['-c', 'sleep 100 & echo $!; exec sleep 100'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [line] = (await parent.stdout.take(1).toArray()) as Buffer[];
    const pid = Number(line);
    await until(() => readFileSync(`/proc/${parent.pid}/comm`, 'utf8') === 'sleep\n', 'the shell is a sleep');
    process.kill(pid, 'SIGKILL');
    await until(() => /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')), 'it is a zombie');
    return { pid, parent: parent.pid!, [Symbol.dispose]: () => end(parent) };
  } catch (error) {
    end(parent);
    throw error;
  }
}

function end(parent: ChildProcess): void {
  parent.kill('SIGKILL');
}
