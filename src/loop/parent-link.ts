import { Buffer } from 'node:buffer';
import { F_GETFL, F_SETFL, O_NONBLOCK } from '../linux/abi.ts';
import { ERRNO } from '../linux/errno.ts';
import { controlFile, readFile, writeFile } from '../linux/file.ts';
import { MappedMemory } from '../linux/memory.ts';
import type { LoopMessage } from './protocol.ts';

const BUFFER_BYTES = 1024 * 1024;
const INPUT_BYTES = 4096;
const NEWLINE = 10;
const DIGIT_0 = 48;
const DIGIT_9 = 57;

/**
 * The loop's ends of the sockets to its parent: what it tells goes one way, what it is told comes another, so that the end of
 * one does not cut off the other. It never waits: what the parent does not read now waits in a buffer,
 * and progress that finds the buffer filling is dropped. The parent may be stopped, gone, or the target itself.
 */
export class ParentLink implements Disposable {
  readonly #fd: number;
  readonly #commandFd: number;
  readonly #memory: MappedMemory = new MappedMemory(BUFFER_BYTES, { populate: true });
  readonly #input: MappedMemory = new MappedMemory(INPUT_BYTES, { populate: true });
  #length = 0;
  #cancelled = false;
  /** the number whose digits have come so far */
  #number = 0;
  /** how much of a stream the parent's reader has taken, as of the last {@link receive} */
  taken = 0;

  constructor(fd: number, commandFd: number) {
    this.#fd = fd;
    this.#commandFd = commandFd;
    for (const end of [fd, commandFd]) controlFile(end, F_SETFL, controlFile(end, F_GETFL, 0) | O_NONBLOCK);
  }

  /** Sends what must arrive. */
  send(message: LoopMessage): void {
    this.#append(message, BUFFER_BYTES);
  }

  /** Sends what may be left out when the parent does not read. */
  offer(message: LoopMessage): void {
    this.#append(message, BUFFER_BYTES / 16);
  }

  /** Whether the parent wants us to stop, or is gone, as of the last {@link receive}. */
  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** Takes what the parent has sent; allocates nothing. Anything that is no number is a wish to stop. */
  receive(): void {
    const { address, bytes } = this.#input;
    const count = readFile(this.#commandFd, address, INPUT_BYTES);
    if (count === -ERRNO.EAGAIN) return;
    if (count <= 0) this.#cancelled = true;
    for (let at = 0; at < count; at++) {
      const byte = bytes[at]!;
      if (byte >= DIGIT_0 && byte <= DIGIT_9) this.#number = this.#number * 10 + byte - DIGIT_0;
      else if (byte === NEWLINE) {
        this.taken = Math.max(this.taken, this.#number);
        this.#number = 0;
      } else this.#cancelled = true;
    }
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
    this.#input[Symbol.dispose]();
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
