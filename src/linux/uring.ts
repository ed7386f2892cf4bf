/**
 * io_uring(7): writes that are begun from the thread that asks and are reported later, without a second thread of
 * ours. A write that would have to wait (for a block allocation, a journal, a file system without O_DIRECT) is handed to a
 * worker of the kernel; io_submit(2) waits for it in the caller, 65 ms for 8 KiB on an ext4 that was committing.
 */

import {
  IORING_ENTER_GETEVENTS,
  IORING_OFF_SQES,
  IORING_OP_READV,
  IORING_OP_WRITEV,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_SINGLE_ISSUER,
  MAP_POPULATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
  SYS_io_uring_enter,
  SYS_io_uring_setup,
} from './abi.ts';
import { ERRNO } from './errno.ts';
import { check, failure } from './failure.ts';
import { closeFile, occupiedBytes } from './file.ts';
import { ioUringCqe, ioUringParams, ioUringSqe, iovec } from './layouts.ts';
import { MappedMemory, Memory } from './memory.ts';
import { errno, libc, viewMemory } from './native.ts';

const SQE_BYTES = ioUringSqe.sizeBytes;
const CQE_BYTES = ioUringCqe.sizeBytes;
const IOVEC_BYTES = iovec.sizeBytes;
const PARAMS_BYTES = 128;

/** A queue of up to `depth` gathering writes under way; each has a slot, named by the caller. */
export class UringQueue implements Disposable {
  readonly depth: number;
  /** the most pieces of memory that one write gathers */
  readonly piecesMax: number;
  readonly #fd: number;
  readonly #vectors: MappedMemory;
  readonly #ring: Memory;
  readonly #requests: Memory;
  readonly #submitTail: number;
  readonly #submitMask: number;
  readonly #submitIndices: number;
  readonly #reportHead: number;
  readonly #reportTail: number;
  readonly #reportMask: number;
  readonly #reports: number;
  #first = 0;
  #pending = 0;
  #closed = false;

  /**
   * @throws LivecoreError SYSTEM_CALL: EPERM where kernel.io_uring_disabled or a seccomp filter forbids it, ENOSYS and
   *   EINVAL in a kernel before 6.1
   */
  constructor(depth: number, piecesMax: number) {
    this.depth = depth;
    this.piecesMax = piecesMax;
    using building = new DisposableStack();
    this.#vectors = building.use(
      new MappedMemory(PARAMS_BYTES + depth * piecesMax * IOVEC_BYTES, { populate: true }),
    );
    const params = this.#vectors.slice(0, PARAMS_BYTES);
    // Reports are taken when we ask for them, never by interrupting what we do.
    params.uint32[ioUringParams.at.flags >>> 2] = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    const result = libc.syscall(SYS_io_uring_setup, depth, params.address, 0, 0, 0, 0);
    this.#fd = check(result < 0 ? -errno() : result, `set up ${depth} asynchronous writes`, 'io_uring_setup');
    building.defer(() => closeFile(this.#fd));
    const word = (at: number): number => params.uint32[at >>> 2]!;
    const { at } = ioUringParams;
    const submitEntries = word(at.sq_entries);
    const ringBytes = Math.max(
      word(at['sq_off.array']) + submitEntries * 4,
      word(at['cq_off.cqes']) + word(at.cq_entries) * CQE_BYTES,
    );
    // Both rings are one mapping since 5.4 (IORING_FEAT_SINGLE_MMAP).
    this.#ring = building.adopt(mapRing(this.#fd, ringBytes, 0), unmapRing);
    this.#requests = building.adopt(mapRing(this.#fd, submitEntries * SQE_BYTES, IORING_OFF_SQES), unmapRing);
    this.#submitTail = word(at['sq_off.tail']) >>> 2;
    this.#submitMask = this.#ring.uint32[word(at['sq_off.ring_mask']) >>> 2]!;
    this.#submitIndices = word(at['sq_off.array']) >>> 2;
    this.#reportHead = word(at['cq_off.head']) >>> 2;
    this.#reportTail = word(at['cq_off.tail']) >>> 2;
    this.#reportMask = this.#ring.uint32[word(at['cq_off.ring_mask']) >>> 2]!;
    this.#reports = word(at['cq_off.cqes']);
    building.move();
  }

  /** How many are under way. */
  get pending(): number {
    return this.#pending;
  }

  /** Names a piece of memory of the next request of a slot: `index` counts from 0, below `piecesMax`. */
  setPiece(slot: number, index: number, address: number, length: number): void {
    const at = PARAMS_BYTES + (slot * this.piecesMax + index) * IOVEC_BYTES;
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
    return this.#submit(IORING_OP_WRITEV, slot, fd, pieces, offset);
  }

  /** Begins a read; otherwise as {@link write}. */
  read(slot: number, fd: number, pieces: number, offset: number): number {
    return this.#submit(IORING_OP_READV, slot, fd, pieces, offset);
  }

  #submit(opcode: number, slot: number, fd: number, pieces: number, offset: number): number {
    const ring = this.#ring.uint32;
    const tail = ring[this.#submitTail]!;
    const index = tail & this.#submitMask;
    const request = this.#requests;
    const base = index * SQE_BYTES;
    request.bytes.fill(0, base, base + SQE_BYTES);
    request.bytes[base + ioUringSqe.at.opcode] = opcode;
    request.uint32[(base + ioUringSqe.at.fd) >>> 2] = fd;
    request.setWord(base + ioUringSqe.at.off, offset);
    request.setWord(
      base + ioUringSqe.at.addr,
      this.#vectors.address + PARAMS_BYTES + slot * this.piecesMax * IOVEC_BYTES,
    );
    request.uint32[(base + ioUringSqe.at.len) >>> 2] = pieces;
    request.setWord(base + ioUringSqe.at.user_data, slot);
    ring[this.#submitIndices + index] = index;
    // The kernel looks at the tail inside the call that follows: no barrier is needed (x86 keeps stores in order).
    ring[this.#submitTail] = tail + 1;
    for (;;) {
      const result = libc.syscall(SYS_io_uring_enter, this.#fd, 1, 0, 0, 0, 0);
      if (result === 1) {
        this.#pending++;
        return 0;
      }
      const error = result < 0 ? errno() : ERRNO.EAGAIN;
      if (error === ERRNO.EINTR) continue;
      ring[this.#submitTail] = tail;
      return error === ERRNO.EBUSY ? -ERRNO.EAGAIN : -error;
    }
  }

  /**
   * Takes the reports of what is finished.
   *
   * @param least waits until so many are finished; 0 does not wait
   * @returns how many reports there are for {@link slot} and {@link result}, or a negative errno
   */
  reap(least = 0): number {
    const ring = this.#ring.uint32;
    // The reports of the last call are given back.
    ring[this.#reportHead] = this.#first;
    if (this.#pending === 0) return 0;
    for (;;) {
      const wanted = Math.min(least, this.#pending);
      const result = libc.syscall(SYS_io_uring_enter, this.#fd, 0, wanted, IORING_ENTER_GETEVENTS, 0, 0);
      const error = result < 0 ? errno() : 0;
      if (error !== 0 && error !== ERRNO.EINTR) return -error;
      const head = ring[this.#reportHead]!;
      const count = (ring[this.#reportTail]! - head) >>> 0;
      if (count < wanted) continue;
      this.#first = head + count;
      this.#pending -= count;
      return count;
    }
  }

  /** Slot of report `index` of the last {@link reap}. */
  slot(index: number): number {
    return this.#ring.uint32[this.#report(index) >>> 2]!;
  }

  /** Bytes written or read, which may be fewer than asked, or a negative errno, of report `index`. */
  result(index: number): number {
    return this.#ring.int32[(this.#report(index) + ioUringCqe.at.res) >>> 2]!;
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
    while (this.#pending > 0 && this.reap(1) > 0);
    unmapRing(this.#requests);
    unmapRing(this.#ring);
    closeFile(this.#fd);
    this.#vectors[Symbol.dispose]();
  }

  #report(index: number): number {
    const at = (this.#ring.uint32[this.#reportHead]! + index) & this.#reportMask;
    return this.#reports + at * CQE_BYTES;
  }
}

/** The rings belong to the kernel and to us: they stay mapped until the queue is disposed of, or this process ends. */
function mapRing(fd: number, length: number, offset: number): Memory {
  const rounded = Math.ceil(length / 8) * 8;
  const address = libc.mmap(0, rounded, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
  if (address === -1) throw failure('map the rings of io_uring', 'mmap', -errno());
  return new Memory(address, viewMemory(address, rounded), 0, rounded);
}

function unmapRing(ring: Memory): void {
  libc.munmap(ring.address, ring.length);
}
