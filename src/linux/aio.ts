/**
 * Linux AIO (io_submit(2)): with O_DIRECT a write is handed to the disk and reported later, from the thread that asked,
 * without a second one. Without O_DIRECT io_submit does the whole write before it returns.
 */

import {
  IOCB_CMD_PREADV,
  IOCB_CMD_PWRITEV,
  SYS_io_destroy,
  SYS_io_getevents,
  SYS_io_setup,
  SYS_io_submit,
} from './abi.ts';
import { ERRNO } from './errno.ts';
import { check } from './failure.ts';
import { occupiedBytes } from './file.ts';
import { iocb, ioEvent, iovec } from './layouts.ts';
import { MappedMemory, type Memory } from './memory.ts';
import { errno, libc } from './native.ts';

const IOCB_BYTES = iocb.sizeBytes;
const EVENT_BYTES = ioEvent.sizeBytes;
const IOVEC_BYTES = iovec.sizeBytes;
const OPCODE = iocb.at.aio_lio_opcode;
const HEAD_BYTES = 64;
const NO_TIMEOUT = 0;
const ZERO_TIMEOUT_AT = 16;

/** A queue of up to `depth` gathering writes under way; each has a slot, named by the caller. */
export class AioQueue implements Disposable {
  readonly depth: number;
  /** the most pieces of memory that one write gathers */
  readonly piecesMax: number;
  readonly #memory: MappedMemory;
  readonly #requests: Memory;
  readonly #events: Memory;
  readonly #vectors: Memory;
  readonly #context: number;
  #pending = 0;
  #closed = false;

  /** @throws LivecoreError SYSTEM_CALL: EAGAIN above fs.aio-max-nr, ENOSYS in a kernel without AIO */
  constructor(depth: number, piecesMax: number) {
    this.depth = depth;
    this.piecesMax = piecesMax;
    const vectorsAt = HEAD_BYTES + depth * (IOCB_BYTES + EVENT_BYTES);
    const vectorsBytes = depth * piecesMax * IOVEC_BYTES;
    this.#memory = new MappedMemory(vectorsAt + vectorsBytes, { populate: true });
    this.#requests = this.#memory.slice(HEAD_BYTES, depth * IOCB_BYTES);
    this.#events = this.#memory.slice(HEAD_BYTES + depth * IOCB_BYTES, depth * EVENT_BYTES);
    this.#vectors = this.#memory.slice(vectorsAt, vectorsBytes);
    const result = libc.syscall(SYS_io_setup, depth, this.#memory.address, 0, 0, 0, 0);
    const error = result < 0 ? -errno() : 0;
    if (error < 0) this.#memory[Symbol.dispose]();
    check(error, `set up ${depth} asynchronous writes`, 'io_setup');
    this.#context = this.#memory.word(0);
  }

  /** How many are under way. */
  get pending(): number {
    return this.#pending;
  }

  /** Names a piece of memory of the next request of a slot: `index` counts from 0, below `piecesMax`. */
  setPiece(slot: number, index: number, address: number, length: number): void {
    const at = (slot * this.piecesMax + index) * IOVEC_BYTES;
    this.#vectors.setWord(at + iovec.at.iov_base, address);
    this.#vectors.setWord(at + iovec.at.iov_len, length);
  }

  /**
   * Begins a write of the slot's first `pieces` pieces, one after the other, to `offset` of the file. Slot and memory
   * belong to the kernel until {@link reap} reports the slot.
   *
   * @returns 0, or a negative errno: then nothing was begun; -EAGAIN when the kernel has no room now
   */
  write(slot: number, fd: number, pieces: number, offset: number): number {
    return this.#submit(IOCB_CMD_PWRITEV, slot, fd, pieces, offset);
  }

  /** Begins a read; otherwise as {@link write}. */
  read(slot: number, fd: number, pieces: number, offset: number): number {
    return this.#submit(IOCB_CMD_PREADV, slot, fd, pieces, offset);
  }

  #submit(opcode: number, slot: number, fd: number, pieces: number, offset: number): number {
    const requests = this.#requests;
    const base = slot * IOCB_BYTES;
    requests.setWord(base + iocb.at.aio_data, slot);
    requests.uint32[(base + OPCODE) >>> 2] = opcode;
    requests.uint32[(base + iocb.at.aio_fildes) >>> 2] = fd;
    requests.setWord(base + iocb.at.aio_buf, this.#vectors.address + slot * this.piecesMax * IOVEC_BYTES);
    requests.setWord(base + iocb.at.aio_nbytes, pieces);
    requests.setWord(base + iocb.at.aio_offset, offset);
    // io_submit takes a list of pointers to requests: one, at 8 of the head
    this.#memory.setWord(8, requests.address + base);
    for (;;) {
      const result = libc.syscall(SYS_io_submit, this.#context, 1, this.#memory.address + 8, 0, 0, 0);
      if (result === 1) {
        this.#pending++;
        return 0;
      }
      const error = errno();
      if (error !== ERRNO.EINTR) return -error;
    }
  }

  /**
   * Takes the reports of what is finished.
   *
   * @param least waits until so many are finished; 0 does not wait
   * @returns how many reports there are for {@link slot} and {@link result}, or a negative errno
   */
  reap(least = 0): number {
    if (this.#pending === 0) return 0;
    const timeout = least === 0 ? this.#memory.address + ZERO_TIMEOUT_AT : NO_TIMEOUT;
    for (;;) {
      const count = libc.syscall(
        SYS_io_getevents,
        this.#context,
        Math.min(least, this.#pending),
        this.depth,
        this.#events.address,
        timeout,
        0,
      );
      if (count >= 0) {
        this.#pending -= count;
        return count;
      }
      const error = errno();
      if (error !== ERRNO.EINTR) return -error;
    }
  }

  /** Slot of report `index` of the last {@link reap}. */
  slot(index: number): number {
    return this.#events.uint32[(index * EVENT_BYTES) >>> 2]!;
  }

  /** Bytes written or read, which may be fewer than asked, or a negative errno, of report `index`. */
  result(index: number): number {
    // the result is 64 bits wide, but no request is longer than 2 GiB
    return this.#events.int32[(index * EVENT_BYTES + ioEvent.at.res) >>> 2]!;
  }

  occupied(fd: number): number {
    return occupiedBytes(fd);
  }

  /** Without a second thread there is nobody to leave the file to. */
  keep(_fd: number): void {}
  giveBack(_fd: number): void {}

  /** Waits for what is under way, then gives the queue back. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    libc.syscall(SYS_io_destroy, this.#context, 0, 0, 0, 0, 0);
    this.#memory[Symbol.dispose]();
  }
}
