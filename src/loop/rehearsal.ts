import { type ChildProcess, spawn } from 'node:child_process';
import type { Policy } from '../engine/policy.ts';
import { RLIMIT_CORE } from '../linux/abi.ts';
import { monotonicNs } from '../linux/clock.ts';
import { check } from '../linux/failure.ts';
import { truncateFile } from '../linux/file.ts';
import { ProcessHandle } from '../linux/pidfd.ts';
import { sleepNs } from '../linux/poll.ts';
import { readProcText } from '../linux/proc-file.ts';
import { setSoftLimit } from '../linux/session.ts';
import type { WriteQueue } from '../linux/write-queue.ts';
import { Capture } from './capture.ts';
import { FileStorage } from './file-storage.ts';

const BUFFER_BYTES = 4 * 1024 * 1024;
const STARTED_NS = 200_000_000;
/** more than the program's own loading takes */
const STARTED_BYTES = 1024 * 1024;
/** writes to see while arming, and after T0; and how long to wait for them in all */
const WRITES_ENOUGH = 4;
const NAP_NS = 100_000;
const PATIENCE_NAPS = 200;
/** what the process may take of a CPU, ten times what it needs */
const CPU_SECONDS = 1;

/**
 * Dumps a small process of our own, in full and to the file of the core itself, which is empty afterwards, so that no code runs for the first time while
 * somebody waits: V8 compiles a function when it is first called, 0.3 to 0.5 ms for those of a hold.
 *
 * The process is `cat /dev/zero`: the kernel writes to its 32 buffer pages all the time, so that there is something to note
 * while arming, to copy in the hold, and to trap. A rehearsal that fails is of no consequence: the dump goes on, somewhat
 * slower.
 */
export function rehearse(policy: Policy, fd: number, queue: WriteQueue): void {
  try {
    using actor = new Actor();
    using storage = new FileStorage(fd, queue, BUFFER_BYTES);
    let patience = PATIENCE_NAPS;
    using process = new ProcessHandle(actor.pid);
    using capture = new Capture({
      process,
      all: true,
      policy: { ...policy, pauseLimitNs: Number.POSITIVE_INFINITY, chunkBlocks: 16 },
      fd,
      storage,
      tickNs: 0,
      // Sleeping is what lets it write, where all CPUs are busy.
      tick: ({ snapshot: { phase, statistics } }) => {
        const acted = phase === 'arm' ? statistics.early : statistics.traps;
        if (acted < WRITES_ENOUGH && patience-- > 0) sleepNs(NAP_NS);
      },
    });
    capture.run();
  } catch {
    // Nothing depends on it.
  }
  check(truncateFile(fd, 0), 'empty the output again', 'ftruncate');
}

/** The process that is dumped in the rehearsal; ended by pid. */
class Actor implements Disposable {
  readonly pid: number;
  readonly #child: ChildProcess;

  constructor() {
    // It never stops by itself; if we are killed, at any moment and whatever it blocks, the kernel ends it (SIGKILL: the
    // limit is the hard one too, setrlimit(2)).
    const script = `ulimit -t ${CPU_SECONDS}; exec cat /dev/zero`;
    this.#child = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'ignore', 'ignore'], env: {} });
    this.#child.on('error', () => {});
    if (this.#child.pid === undefined) throw new Error('there is no shell');
    this.pid = this.#child.pid;
    setSoftLimit(RLIMIT_CORE, 0, this.pid);
    // Until it has allocated its buffer, and reads and writes.
    const deadline = monotonicNs() + STARTED_NS;
    while (readIo(this.pid) < STARTED_BYTES && monotonicNs() < deadline) sleepNs(500_000);
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
    this.#child.unref();
  }
}

/** Bytes that a process has read, of files, devices and all else (proc_pid_io(5), rchar). */
function readIo(pid: number): number {
  return Number(/^rchar: (\d+)$/m.exec(readProcText(`/proc/${pid}/io`))?.[1] ?? 0);
}
