import { Buffer } from 'node:buffer';
import { F_GETFL, F_SETFL, O_NONBLOCK, POLLERR, POLLHUP, POLLIN } from '../linux/abi.ts';
import { ERRNO } from '../linux/errno.ts';
import { controlFile, writeFile } from '../linux/file.ts';
import { MappedMemory } from '../linux/memory.ts';
import { PollSet } from '../linux/poll.ts';
import type { LoopMessage } from './protocol.ts';

const BUFFER_BYTES = 1024 * 1024;

/**
 * The loop's end of the socket to its parent. It never waits: what the parent does not read now waits in a buffer,
 * and progress that finds the buffer filling is dropped. The parent may be stopped, gone, or the target itself.
 */
export class ParentLink implements Disposable {
  readonly #fd: number;
  readonly #memory: MappedMemory = new MappedMemory(BUFFER_BYTES, { populate: true });
  readonly #poll: PollSet = new PollSet(1);
  #length = 0;

  constructor(fd: number) {
    this.#fd = fd;
    const flags = controlFile(fd, F_GETFL, 0);
    controlFile(fd, F_SETFL, flags | O_NONBLOCK);
    this.#poll.set(0, fd, POLLIN);
  }

  /** Sends what must arrive. */
  send(message: LoopMessage): void {
    this.#append(message, BUFFER_BYTES);
  }

  /** Sends what may be left out when the parent does not read. */
  offer(message: LoopMessage): void {
    this.#append(message, BUFFER_BYTES / 16);
  }

  /** Whether the parent wants us to stop, or is gone. */
  get cancelled(): boolean {
    return this.#poll.wait(0) > 0 && (this.#poll.ready(0) & (POLLIN | POLLHUP | POLLERR)) !== 0;
  }

  /** Writes what the socket takes now. */
  flush(): void {
    while (this.#length > 0) {
      const written = writeFile(this.#fd, this.#memory.address, this.#length);
      if (written <= 0) {
        if (written !== -ERRNO.EAGAIN) this.#length = 0;
        return;
      }
      this.#memory.bytes.copyWithin(0, written, this.#length);
      this.#length -= written;
    }
  }

  /** Whether everything has been taken. */
  get drained(): boolean {
    return this.#length === 0;
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }

  #append(message: LoopMessage, room: number): void {
    const line = Buffer.from(`${JSON.stringify(message)}\n`);
    if (this.#length + line.length <= room) {
      this.#memory.bytes.set(line, this.#length);
      this.#length += line.length;
    }
    this.flush();
  }
}
