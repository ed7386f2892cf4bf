/**
 * Ctrl-C, once and twice.
 *
 * Once cancels: the dump releases the target, removes its file and ends with CANCELLED. Twice is for when that
 * takes too long: the tool's processes are killed. The kernel then lifts all protection (userfaultfd(2): closing
 * the last descriptor unregisters its ranges and wakes every waiter), so the target runs on in that case too.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { exitStatuses, type Voice } from './voice.ts';

const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Listens for the signals that ask for an end, until disposed. */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #voice: Voice;
  readonly #listener = (): void => this.#interrupt();

  constructor(voice: Voice) {
    this.#voice = voice;
    for (const name of SIGNALS) process.on(name, this.#listener);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    for (const name of SIGNALS) process.off(name, this.#listener);
  }

  #interrupt(): void {
    if (this.#controller.signal.aborted) {
      for (const pid of childrenOf(process.pid)) killNow(pid);
      process.exit(exitStatuses.interrupted[0]);
    }
    this.#voice.say('stopping; the target runs on (once more to stop at once)');
    this.#controller.abort();
  }
}

/** The children of every thread of a process (proc(5), /proc/PID/task/TID/children), and theirs, last first. */
export function childrenOf(pid: number): number[] {
  const direct = threadsOf(pid).flatMap((tid) => {
    const text = readOrEmpty(`/proc/${pid}/task/${tid}/children`);
    return text.split(' ').filter(Boolean).map(Number);
  });
  return direct.flatMap((child) => [...childrenOf(child), child]);
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // gone in between, which is what was wanted
  }
}
