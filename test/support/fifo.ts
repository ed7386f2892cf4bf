/** A pipe whose reader is as fast, as slow or as gone as a test wants, with the core that came through it. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestFolder } from './cores.ts';

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_NONBLOCK } = constants;
const PIECE_BYTES = 64 * 1024;

/** A pipe with both ends in this process. */
export class Fifo implements Disposable {
  /** for `outputFd` */
  readonly writeFd: number;
  /** what was read, as a file */
  readonly path: string;
  readonly #readFd: number;
  readonly #file: number;
  readonly #piece = Buffer.alloc(PIECE_BYTES);
  /** the most that a spool of livecore in this process occupied while it was read */
  spoolBytes = 0;
  readBytes = 0;
  #going = true;

  constructor(folder: TestFolder, name: string) {
    const pipe = folder.file(`${name}.pipe`);
    this.path = folder.file(name);
    execFileSync('mkfifo', [pipe]);
    this.#readFd = openSync(pipe, O_RDONLY | O_NONBLOCK);
    this.writeFd = openSync(pipe, O_WRONLY);
    this.#file = openSync(this.path, O_RDWR | O_CREAT | O_EXCL, 0o600);
  }

  /** Reads until `done`, and then what is left; at most `bytesPerSecond`. */
  async read(
    done: Promise<unknown>,
    { bytesPerSecond = Number.POSITIVE_INFINITY }: { bytesPerSecond?: number } = {},
  ): Promise<void> {
    let over = false;
    done.then(
      () => (over = true),
      () => (over = true),
    );
    const begin = performance.now();
    for (;;) {
      const allowed = ((performance.now() - begin) / 1000) * bytesPerSecond;
      const count = this.readBytes < allowed ? this.#readSome() : 0;
      this.spoolBytes = Math.max(this.spoolBytes, occupiedSpool());
      if (count === 0 && over) return;
      // Not every turn: whoever writes runs in this process.
      await sleep(count === 0 ? 2 : 0);
    }
  }

  /** Reads so much, and stays. */
  async readUpTo(bytes: number): Promise<void> {
    while (this.readBytes < bytes) if (this.#readSome() === 0) await sleep(2);
  }

  /** The reader goes away. */
  leave(): void {
    if (!this.#going) return;
    this.#going = false;
    closeSync(this.#readFd);
  }

  [Symbol.dispose](): void {
    this.leave();
    closeSync(this.writeFd);
    closeSync(this.#file);
  }

  #readSome(): number {
    try {
      const count = readSync(this.#readFd, this.#piece);
      writeSync(this.#file, this.#piece, 0, count);
      this.readBytes += count;
      return count;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
      throw error;
    }
  }
}

/** What the spools in this process' hands occupy, by the kernel's account. */
export function occupiedSpool(): number {
  let bytes = 0;
  for (const name of readdirSync('/proc/self/fd')) {
    const fd = Number(name);
    try {
      if (!/\/livecore-[0-9a-f]{16} \(deleted\)$/.test(readlinkSync(join('/proc/self/fd', name)))) continue;
      bytes += fstatSync(fd).blocks * 512;
    } catch {
      // the descriptor of the listing itself
    }
  }
  return bytes;
}
