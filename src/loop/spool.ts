import { randomBytes } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, read, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LivecoreError } from '../errors.ts';
import { punchHole, punchHoleLater } from '../linux/file.ts';
import type { MappedMemory } from '../linux/memory.ts';

const PAGE_BYTES = 4096;
/** the least that is given back at once */
const PUNCHED_BYTES = 4 * 1024 * 1024;

/**
 * A nameless file between the loop, which writes a core to it as it comes, and its stream, which reads it in order and
 * gives back what it has read. The consumer of a stream may be slow, or the target itself; so the target never waits for
 * it. Nobody else can open it, and it is gone when both are.
 */
export class Spool implements Disposable {
  readonly fd: number;
  readonly #punches: boolean;
  #punched = 0;
  #punching: Promise<unknown> = Promise.resolve();

  constructor() {
    const path = join(tmpdir(), `livecore-${randomBytes(8).toString('hex')}`);
    const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECT } = constants;
    const flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
    try {
      this.fd = openSync(path, flags | O_DIRECT, 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw spoolError(path, error);
      // Some file systems have made the file before they refuse the flag.
      removeIfThere(path);
      this.fd = openSync(path, flags, 0o600);
    }
    unlinkSync(path);
    this.#punches = punchHole(this.fd, 0, PAGE_BYTES) === 0;
  }

  get sizeBytes(): number {
    return fstatSync(this.fd).size;
  }

  /**
   * Fills memory (aligned, for direct reads) from `offset`. Where the file ends earlier there is nothing yet, which is
   * zeros.
   */
  async fill(memory: MappedMemory, length: number, offset: number): Promise<void> {
    for (let at = 0; at < length; ) {
      const count = await readAt(this.fd, memory.bytes, at, length - at, offset + at);
      if (count === 0) memory.bytes.fill(0, at, length);
      at = count === 0 ? length : at + count;
    }
  }

  /** Gives back what stands in front of `end`, some at a time, and not sooner than what was given back before. */
  async giveBack(end: number): Promise<void> {
    const from = this.#punched;
    if (!this.#punches || end - from < PUNCHED_BYTES) return;
    this.#punched = end;
    await this.#punching;
    this.#punching = punchHoleLater(this.fd, from, end - from);
  }

  /** Until the descriptor is not used any more. */
  async settle(): Promise<void> {
    await this.#punching;
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

function readAt(
  fd: number,
  bytes: Uint8Array,
  at: number,
  length: number,
  position: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, bytes, at, length, position, (error, count) => (error ? reject(error) : resolve(count)));
  });
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

function spoolError(path: string, cause: unknown): LivecoreError {
  return new LivecoreError(
    'OUTPUT',
    `make the spool ${path}: ${(cause as Error).message}`,
    {
      path,
      cure: 'set TMPDIR to a directory with room for the core',
    },
    cause,
  );
}
