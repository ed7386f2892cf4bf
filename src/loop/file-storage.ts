import type { SnapshotStorage } from '../engine/storage.ts';
import { LivecoreError } from '../errors.ts';
import type { CoreLayout } from '../formats/elf-core/layout.ts';
import { AioQueue } from '../linux/aio.ts';
import { ERRNO, errnoName } from '../linux/errno.ts';
import { isZero, MappedMemory } from '../linux/memory.ts';
import { StagingRing } from './staging-ring.ts';

const BLOCK_BYTES = 4096;
/** the largest room: a huge page's span */
const LARGEST_BLOCKS = 512;
const DEPTH = 64;
/** writes of the backlog begun in one pump, 20 us each: a trap may wait for it */
const BACKLOG_AT_ONCE = 4;
/** so much of the ring is kept for writers that wait */
const RESERVE_SHARE = 0.25;

/** What a write that can't be begun now has to remember. Kept in arrays, so that queueing allocates nothing. */
class Backlog {
  readonly rooms: number[] = [];
  readonly offsets: number[] = [];
  readonly lengths: number[] = [];
  readonly firsts: number[] = [];
}

/**
 * Snapshot storage in a file: blocks go from the staging ring to their place in a core file by asynchronous direct
 * writes, from this thread and without waiting. Runs of zeros are left out, so the file is sparse.
 *
 * Where blocks stand in the file is known only after T0 (`place`); what is stored before that waits in the ring.
 */
export class FileStorage implements SnapshotStorage, Disposable {
  readonly memory: MappedMemory;
  readonly staging: Uint8Array;
  readonly largestOpen: number = LARGEST_BLOCKS;
  readonly #fd: number;
  readonly #ring: StagingRing;
  readonly #queue: AioQueue;
  readonly #free: number[] = [];
  readonly #slotRoom: Float64Array = new Float64Array(DEPTH);
  readonly #slotLength: Float64Array = new Float64Array(DEPTH);
  readonly #backlog = new Backlog();
  #backlogNext = 0;
  #layout: CoreLayout | undefined;
  #room = -1;
  zeroBlocks = 0;

  /** @param fd a file opened for direct writes; stays the caller's */
  constructor(fd: number, bufferBytes: number) {
    using building = new DisposableStack();
    this.#fd = fd;
    this.memory = building.use(new MappedMemory(bufferBytes, { populate: true }));
    this.#queue = building.use(new AioQueue(DEPTH));
    this.staging = this.memory.bytes;
    this.#ring = new StagingRing(this.memory.length, BLOCK_BYTES, this.memory.length * RESERVE_SHARE);
    for (let slot = 0; slot < DEPTH; slot++) this.#free.push(slot);
    building.move();
  }

  /** the most of the ring that was ever in use */
  get peakBytes(): number {
    return this.#ring.peakBytes;
  }
  /** nothing is stored that is not in the file */
  get idle(): boolean {
    return this.#queue.pending === 0 && this.#backlogNext === this.#backlog.rooms.length;
  }

  /** Says where blocks belong: from now on they can be written. */
  place(layout: CoreLayout): void {
    this.#layout = layout;
  }

  open(count: number, urgent: boolean): number {
    this.#room = this.#ring.open(count * BLOCK_BYTES, urgent);
    return this.#room;
  }

  store(first: number, count: number, offset: number): void {
    const { address, uint32 } = this.memory;
    let from = 0;
    for (let block = 0; block <= count; block++) {
      const at = offset + block * BLOCK_BYTES;
      // One word tells most blocks that are not zero.
      const zero = block === count || (uint32[at >>> 2] === 0 && isZero(address + at, BLOCK_BYTES));
      if (!zero) continue;
      if (block > from) this.#write(first + from, block - from, offset + from * BLOCK_BYTES);
      from = block + 1;
      if (block < count) this.zeroBlocks++;
    }
  }

  storeZero(_first: number, count: number): void {
    this.zeroBlocks += count;
  }

  close(offset: number): void {
    this.#ring.release(offset);
    this.#room = -1;
  }

  pump(): void {
    this.#reap(0);
    const backlog = this.#backlog;
    if (this.#layout === undefined) return;
    for (let count = 0; count < BACKLOG_AT_ONCE && this.#free.length > 0; count++) {
      if (this.#backlogNext === backlog.rooms.length) break;
      const next = this.#backlogNext;
      const begun = this.#begin(
        backlog.firsts[next]!,
        backlog.offsets[next]!,
        backlog.lengths[next]!,
        backlog.rooms[next]!,
      );
      if (!begun) return;
      this.#backlogNext++;
    }
    if (this.#backlogNext > 0 && this.#backlogNext === backlog.rooms.length) this.#clearBacklog();
  }

  /** Waits until everything stored is in the file. When nobody waits for us any more. */
  finish(): void {
    while (!this.idle) {
      this.pump();
      if (this.#queue.pending > 0) this.#reap(1);
    }
  }

  [Symbol.dispose](): void {
    this.#queue[Symbol.dispose]();
    this.memory[Symbol.dispose]();
  }

  #write(first: number, count: number, offset: number): void {
    const room = this.#room;
    this.#ring.retain(room);
    const length = count * BLOCK_BYTES;
    const direct = this.#layout !== undefined && this.#backlogNext === this.#backlog.rooms.length;
    if (direct && this.#free.length > 0 && this.#begin(first, offset, length, room)) return;
    const backlog = this.#backlog;
    backlog.firsts.push(first);
    backlog.offsets.push(offset);
    backlog.lengths.push(length);
    backlog.rooms.push(room);
  }

  /** Hands one write to the disk; false where the kernel takes no more now. */
  #begin(first: number, offset: number, length: number, room: number): boolean {
    const slot = this.#free.pop()!;
    const place = this.#layout!.fileOffset(first * BLOCK_BYTES);
    if (place < 0)
      throw new LivecoreError('INVARIANT', `snapshot given up: block ${first} has no place in the file`);
    const result = this.#queue.write(slot, this.#fd, this.memory.address + offset, length, place);
    if (result < 0) {
      this.#free.push(slot);
      if (result === -ERRNO.EAGAIN) return false;
      throw writeFailed(-result);
    }
    this.#slotRoom[slot] = room;
    this.#slotLength[slot] = length;
    return true;
  }

  #reap(least: number): void {
    if (this.#queue.pending === 0) return;
    const count = this.#queue.reap(least);
    for (let index = 0; index < count; index++) {
      const slot = this.#queue.slot(index);
      const result = this.#queue.result(index);
      this.#free.push(slot);
      this.#ring.release(this.#slotRoom[slot]!);
      // A direct write is short only where the disk is full (or a limit is reached).
      if (result < 0) throw writeFailed(-result);
      if (result < this.#slotLength[slot]!) throw writeFailed(ERRNO.ENOSPC);
    }
  }

  #clearBacklog(): void {
    const backlog = this.#backlog;
    backlog.rooms.length = 0;
    backlog.offsets.length = 0;
    backlog.lengths.length = 0;
    backlog.firsts.length = 0;
    this.#backlogNext = 0;
  }
}

/** The error for a write of the output that failed. */
export function writeFailed(errno: number): LivecoreError {
  if (errno === ERRNO.ENOSPC) {
    return new LivecoreError('NO_SPACE', 'write the core: no space left on the device', {
      errno,
      cure: 'free some, or write elsewhere with -o; the core needs up to the resident size of the target',
    });
  }
  return new LivecoreError('OUTPUT', `write the core: ${errnoName(errno)}`, { errno });
}
