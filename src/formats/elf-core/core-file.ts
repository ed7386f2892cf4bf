/** The file under a core reader: bounded reads, and errors that name the file and the place in it. */
import { type FileHandle, open } from 'node:fs/promises';
import { Cursor } from '../../bytes/cursor.ts';
import { LivecoreError } from '../../errors.ts';

/** The most that is read into one buffer on the file's own word: above what any kernel writes in one note. */
const PAYLOAD_LIMIT_BYTES = 256 * 1024 * 1024;

export class CoreFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle, sizeBytes: number) {
    this.path = path;
    this.#handle = handle;
    this.sizeBytes = sizeBytes;
  }

  static async open(path: string): Promise<CoreFile> {
    let handle: FileHandle;
    try {
      handle = await open(path, 'r');
    } catch (cause) {
      throw openFailed(path, cause);
    }
    try {
      const stat = await handle.stat();
      if (!stat.isFile())
        throw new LivecoreError('BAD_CORE', `opening ${path}: not a regular file`, { path, position: 0 });
      return new CoreFile(path, handle, stat.size);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** A cursor over `length` bytes of the file. Refuses what lies outside the file before it allocates. */
  async cursor(position: number, length: number, what: string): Promise<Cursor> {
    return new Cursor(await this.bytes(position, length, what), position, (problem, at) =>
      this.error(problem, at),
    );
  }

  async bytes(position: number, length: number, what: string): Promise<Uint8Array> {
    if (position + length > this.sizeBytes) {
      throw this.error(
        `${what} ends at ${position + length}, the file at ${this.sizeBytes}: it was cut`,
        position,
      );
    }
    if (length > PAYLOAD_LIMIT_BYTES)
      throw this.error(`${what} takes ${length} bytes, which is too much`, position);
    const bytes = new Uint8Array(length);
    await this.fill(bytes, position);
    return bytes;
  }

  /** Fills `bytes` from the file. */
  async fill(bytes: Uint8Array, position: number): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      // read(2) gives at most 2^31 - 4096 bytes
      const length = Math.min(bytes.length - done, 1 << 30);
      const { bytesRead } = await this.#handle.read(bytes, done, length, position + done);
      if (bytesRead === 0) throw this.error('the file became shorter while it was read', position + done);
      done += bytesRead;
    }
  }

  /** An error about the content of this file. */
  error(problem: string, position: number, cure?: string): LivecoreError {
    return new LivecoreError('BAD_CORE', `reading ${this.path}: at byte ${position}: ${problem}`, {
      path: this.path,
      position,
      ...(cure === undefined ? {} : { cure }),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

function openFailed(path: string, cause: unknown): LivecoreError {
  const { message, errno } = cause as NodeJS.ErrnoException;
  const fields = errno === undefined ? { path } : { path, errno: Math.abs(errno) };
  return new LivecoreError('BAD_CORE', `opening ${path}: ${message}`, fields, cause);
}
