/** A dump by the command line, and the moments of it at which something may happen. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const launcher = join(import.meta.dirname, '../../bin/livecore');
/** far above what any dump of a test takes; on a busy machine a new process may wait long for a CPU */
const BOUND_MS = 90_000;

/** Up to so many ms after a phase was told of: the whole of a dump, and its short phases often enough. */
export const MOMENTS = [
  { phase: 'start', withinMs: 500 },
  { phase: 'arm', withinMs: 60 },
  { phase: 'copy', withinMs: 60 },
] as const;

export interface Moment {
  readonly phase: string;
  readonly afterMs: number;
}

interface Line {
  readonly type: string;
  readonly phase?: string;
  readonly code?: string;
  readonly message?: string;
}

/** One dump by the command line, and the lines that it says. Killed when it takes far too long. */
export class CommandDump {
  readonly lines: Line[] = [];
  /** exit status, or the signal that ended it */
  readonly ended: Promise<number | NodeJS.Signals>;
  readonly #process: ChildProcess;

  /** @param streamed whether the core goes through stdout to the file */
  constructor(pid: number, file: string, { streamed = false }: { streamed?: boolean } = {}) {
    const args = [
      'dump',
      String(pid),
      '-o',
      streamed ? '-' : file,
      '--json',
      '--force',
      '--max-stall',
      '10s',
    ];
    const fd = streamed ? openSync(file, 'wx') : undefined;
    this.#process = spawn(launcher, args, {
      stdio: ['ignore', fd ?? 'pipe', fd === undefined ? 'inherit' : 'pipe'],
    });
    if (fd !== undefined) closeSync(fd);
    createInterface({ input: (this.#process.stdout ?? this.#process.stderr)! }).on('line', (line) =>
      this.lines.push(JSON.parse(line) as Line),
    );
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), BOUND_MS);
    this.ended = once(this.#process, 'close').then(([code, signal]) => {
      clearTimeout(timer);
      return (signal ?? code) as number | NodeJS.Signals;
    });
  }

  /** Waits for a moment, or the end. */
  async reached({ phase, afterMs }: Moment): Promise<void> {
    let over = false;
    void this.ended.then(() => (over = true));
    while (!over && phase !== 'start' && !this.lines.some((line) => line.phase === phase)) await sleep(1);
    await sleep(afterMs);
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }
}
