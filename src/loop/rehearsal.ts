import { type ChildProcess, spawn } from 'node:child_process';
import { dirname } from 'node:path';
import type { Policy } from '../engine/policy.ts';
import { O_CLOEXEC, O_RDWR, O_TMPFILE } from '../linux/abi.ts';
import { monotonicNs } from '../linux/clock.ts';
import { closeFile, openFile } from '../linux/file.ts';
import { sleepNs } from '../linux/poll.ts';
import { readProcText } from '../linux/proc-file.ts';
import { Capture } from './capture.ts';
import { FileStorage } from './file-storage.ts';

const BUFFER_BYTES = 4 * 1024 * 1024;
const STARTED_NS = 200_000_000;

/**
 * Dumps a small process of our own, in full and to a nameless file, so that no code runs for the first time while
 * somebody waits: V8 compiles a function when it is first called, 0.3 to 0.5 ms for those of a hold.
 *
 * The process is `cat`: it sleeps in read(2), and a byte for it is written, by the kernel, to a page that is protected.
 * A rehearsal that fails is of no consequence: the dump goes on, somewhat slower.
 */
export function rehearse(policy: Policy, output: string): void {
  try {
    using actor = new Actor();
    const fd = openFile(dirname(output), O_TMPFILE | O_RDWR | O_CLOEXEC, 0o600);
    if (fd < 0) return;
    try {
      using storage = new FileStorage(fd, BUFFER_BYTES);
      let poked = 0;
      using capture = new Capture({
        pid: actor.pid,
        all: true,
        policy: { ...policy, pauseLimitNs: Number.POSITIVE_INFINITY, chunkBlocks: 16 },
        fd,
        storage,
        tick: () => {
          if (poked++ < 3) actor.poke();
        },
      });
      capture.run();
    } finally {
      closeFile(fd);
    }
  } catch {
    // Nothing depends on it.
  }
}

/** The process that is dumped in the rehearsal; ended by pid. */
class Actor implements Disposable {
  readonly pid: number;
  readonly #child: ChildProcess;

  constructor() {
    this.#child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'], env: {} });
    this.#child.on('error', () => {});
    if (this.#child.pid === undefined) throw new Error('there is no cat');
    this.pid = this.#child.pid;
    this.#child.stdin?.on('error', () => {});
    // Until it has executed and sleeps in read(2), number 0.
    const deadline = monotonicNs() + STARTED_NS;
    while (!readProcText(`/proc/${this.pid}/syscall`).startsWith('0 ') && monotonicNs() < deadline)
      sleepNs(500_000);
  }

  /** Has the kernel write to its buffer. */
  poke(): void {
    this.#child.stdin?.write('x');
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
    this.#child.stdin?.destroy();
    this.#child.unref();
  }
}
