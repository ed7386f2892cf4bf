/** Text of /proc: read raw into kept memory where it is read often, or as a string where it is read once. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { LivecoreError } from '../errors.ts';
import { O_CLOEXEC, O_RDONLY } from './abi.ts';
import { ERRNO } from './errno.ts';
import { check } from './failure.ts';
import { closeFile, openFile, readFileAt } from './file.ts';
import { copyMemory, equalMemory, MappedMemory } from './memory.ts';

/**
 * A file of /proc that is read again and again. It stays open, so it stays that of one process, and reading takes no
 * memory unless the text has outgrown it.
 */
export class ProcFile implements Disposable {
  readonly fd: number;
  /** bytes of the last {@link read} */
  length = 0;
  #memory: MappedMemory;
  #closed = false;

  /**
   * @param capacityBytes room to begin with
   * @throws LivecoreError SYSTEM_CALL: ENOENT or ESRCH when the process is gone, EACCES
   */
  constructor(path: string, { capacityBytes = 4096 }: { capacityBytes?: number } = {}) {
    this.fd = check(openFile(path, O_RDONLY | O_CLOEXEC), `open ${path}`, 'openat', { path });
    this.#memory = new MappedMemory(capacityBytes, { populate: true });
  }

  /** The text of the last {@link read}: its first `length` bytes. Another array after the memory has grown. */
  get bytes(): Uint8Array {
    return this.#memory.bytes;
  }

  /** Address of {@link bytes}. */
  get address(): number {
    return this.#memory.address;
  }

  /**
   * Reads the file anew, to its end.
   *
   * The kernel gives a page at most at a time and lets the process go on between; one that is not stopped can change
   * mappings meanwhile, and then the text is of no single moment.
   *
   * @returns its length or a negative errno, -ESRCH when the process is gone
   */
  read(): number {
    let length = 0;
    for (;;) {
      if (length === this.#memory.length) this.#grow();
      const count = readFileAt(this.fd, this.#memory.address + length, this.#memory.length - length, length);
      if (count < 0) return count;
      if (count === 0) break;
      length += count;
    }
    this.length = length;
    return length;
  }

  #grow(): void {
    const larger = new MappedMemory(this.#memory.length * 2, { populate: true });
    copyMemory(larger.address, this.#memory.address, this.#memory.length);
    this.#memory[Symbol.dispose]();
    this.#memory = larger;
  }

  /** Whether the last texts of both are the same, byte for byte. */
  equals(other: ProcFile): boolean {
    return this.length === other.length && equalMemory(this.address, other.address, this.length);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFile(this.fd);
    this.#memory[Symbol.dispose]();
  }
}

/** Reads a file of /proc once, as bytes. Throws SYSTEM_CALL. */
export function readProcBytes(path: string): Uint8Array {
  return translated(path, 'read', () => readFileSync(path));
}

/** Reads a file of /proc once, as text. Throws SYSTEM_CALL. */
export function readProcText(path: string): string {
  return translated(path, 'read', () => readFileSync(path, 'utf8'));
}

/** Names in a directory of /proc. Throws SYSTEM_CALL. */
export function listProc(path: string): string[] {
  return translated(path, 'list', () => readdirSync(path));
}

/** Where a link of /proc points, as the kernel prints it. Throws SYSTEM_CALL. */
export function readProcLink(path: string): string {
  return translated(path, 'read link', () => readlinkSync(path));
}

function translated<T>(path: string, action: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const { errno, syscall, code } = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    const fields = { path, syscall: syscall ?? 'read', errno: Math.abs(errno) };
    throw new LivecoreError(
      'SYSTEM_CALL',
      `${action} ${path}: ${syscall} failed with ${code}`,
      fields,
      error,
    );
  }
}

/** Whether an error says that the process or thread asked for is gone (/proc: ENOENT at opening, ESRCH later). */
export function isGone(error: unknown): boolean {
  if (!(error instanceof LivecoreError)) return false;
  return error.errno === ERRNO.ESRCH || error.errno === ERRNO.ENOENT;
}
