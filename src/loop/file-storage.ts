import type { SnapshotStorage } from '../engine/storage.ts';
import { LivecoreError } from '../errors.ts';
import type { CoreLayout } from '../formats/elf-core/layout.ts';
import { ERRNO, errnoName } from '../linux/errno.ts';
import { isZero, MappedMemory } from '../linux/memory.ts';
import { openWriteQueue, type WriteQueue } from '../linux/write-queue.ts';
import { HeldBlocks } from './held-blocks.ts';
import { PARENT_FD } from './protocol.ts';
import type { SpoolRoom } from './spool-room.ts';
import { StagingRing } from './staging-ring.ts';

const BLOCK_BYTES = 4096;
/** the largest room: a huge page's span */
const LARGEST_BLOCKS = 512;
const DEPTH = 128;
/** a chunk of 64 blocks of which every other was held is 64 pieces */
const PIECES_MAX = 64;
/** no page has this number */
const REHEARSED_BLOCK = 2 ** 52;
/** runs of the backlog begun in one pump, 20 us each: a trap may wait for it */
const BACKLOG_AT_ONCE = 4;
/** so much of the memory is for single blocks: what traps copy */
const SLAB_SHARE = 0.25;
/** so much of the ring is kept for writers that wait */
const RESERVE_SHARE = 0.25;
/** fewer free units than this, and held blocks are written without their neighbours */
const FEW_UNITS_SHARE = 0.125;

/** The queue for a {@link FileStorage} of `fd`, which is open already. */
export function openStorageQueue(fd: number): WriteQueue {
  return openWriteQueue(fd, DEPTH, PIECES_MAX, PARENT_FD);
}

/**
 * Snapshot storage in a file: blocks go from staging memory to their place in a core file by asynchronous direct
 * writes, from this thread and without waiting. Runs of zeros are left out, so the file is sparse.
 *
 * A disk takes 256 KiB nearly as fast as 4. So a block that a trap has copied is held until the chunk around it comes,
 * and one write gathers all of it; when memory gets short, held blocks are written alone. Where blocks stand in the
 * file is known only after T0 (`place`); runs that are stored before wait in the backlog.
 */
export class FileStorage implements SnapshotStorage, Disposable {
  readonly memory: MappedMemory;
  readonly staging: Uint8Array;
  readonly largestOpen: number = LARGEST_BLOCKS;
  readonly #fd: number;
  readonly #ring: StagingRing;
  readonly #held: HeldBlocks;
  readonly #fewUnits: number;
  /** where the slab of held blocks begins; the ring is in front of it */
  readonly #slabAt: number;
  readonly #queue: WriteQueue;
  readonly #freeSlots: number[] = [];
  /** what each write gathers: rooms of its pieces, by slot and piece */
  readonly #rooms: Float64Array = new Float64Array(DEPTH * PIECES_MAX).fill(0);
  readonly #pieces: Int32Array = new Int32Array(DEPTH);
  readonly #lengths: Float64Array = new Float64Array(DEPTH);
  /** where each write that is under way begins in the file; Infinity for the other slots */
  readonly #places: Float64Array = new Float64Array(DEPTH).fill(Number.POSITIVE_INFINITY);
  readonly #spool: SpoolRoom | undefined;
  /** the write that is being gathered: its slot, or -1; its place in the file, and the block after it */
  #gathering = -1;
  #place = 0;
  #nextBlock = 0;
  /** runs that can't be gathered now: first block, count, offset, room of each */
  readonly #backlog: number[] = [];
  #backlogNext = 0;
  #layout: CoreLayout | undefined;
  #room = -1;
  zeroBlocks = 0;

  /**
   * @param queue of {@link openStorageQueue}, idle; it and `fd` stay the caller's, and outlive this
   * @param spool where the file is the spool of a stream
   */
  constructor(fd: number, queue: WriteQueue, bufferBytes: number, spool?: SpoolRoom) {
    this.#fd = fd;
    this.#spool = spool;
    this.#queue = queue;
    this.memory = new MappedMemory(bufferBytes, { populate: true });
    this.staging = this.memory.bytes;
    const slabUnits = Math.floor((this.memory.length * SLAB_SHARE) / BLOCK_BYTES);
    this.#slabAt = this.memory.length - slabUnits * BLOCK_BYTES;
    this.#ring = new StagingRing(this.#slabAt, BLOCK_BYTES, this.#slabAt * RESERVE_SHARE);
    this.#held = new HeldBlocks(slabUnits);
    this.#fewUnits = slabUnits * FEW_UNITS_SHARE;
    for (let slot = 0; slot < DEPTH; slot++) this.#freeSlots.push(slot);
  }

  /** nothing is stored that is not in the file */
  get idle(): boolean {
    return (
      this.#queue.pending === 0 &&
      this.#gathering < 0 &&
      this.#held.size === 0 &&
      this.#backlogNext === this.#backlog.length
    );
  }

  get inOrder(): boolean {
    return this.#spool?.wantsOrder ?? false;
  }

  /** what is stored and not in the file yet, at most: rooms that are busy */
  get outstandingBytes(): number {
    return this.#ring.usedBytes + (this.#held.units - this.#held.freeUnits) * BLOCK_BYTES;
  }

  /** what the file occupies, or a negative errno; see WriteQueue */
  get occupiedBytes(): number {
    return this.#queue.occupied(this.#fd);
  }

  /** where the memory ends in the file, once that is known; 0 before */
  get tailOffset(): number {
    return this.#layout?.tailOffset ?? 0;
  }

  /** Says where blocks belong: from now on they can be written. */
  place(layout: CoreLayout): void {
    this.#layout = layout;
  }

  open(count: number, urgent: boolean): number {
    if (!urgent && this.#spool?.sweepWaits(count * BLOCK_BYTES, this.outstandingBytes)) return -1;
    const unit = count === 1 && urgent ? this.#held.open() : -1;
    this.#room = unit >= 0 ? this.#slabAt + unit * BLOCK_BYTES : this.#ring.open(count * BLOCK_BYTES, urgent);
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
      if (block > from) this.#keep(first + from, block - from, offset + from * BLOCK_BYTES);
      from = block + 1;
      if (block < count) this.zeroBlocks++;
    }
  }

  storeZero(_first: number, count: number): void {
    this.zeroBlocks += count;
  }

  close(offset: number): void {
    if (offset < this.#slabAt) this.#ring.release(offset);
    // The unit is free again unless it was held.
    else if (this.#room === offset) this.#held.free(this.#unitAt(offset));
    this.#room = -1;
  }

  rehearse(): void {
    const offset = this.open(1, true);
    if (offset >= this.#slabAt) {
      const { address, uint32 } = this.memory;
      if (uint32[offset >>> 2] === 0) isZero(address + offset, BLOCK_BYTES);
      this.#keep(REHEARSED_BLOCK, 1, offset);
      this.#held.free(this.#held.take(REHEARSED_BLOCK));
    }
    if (offset >= 0) this.close(offset);
  }

  pump(): void {
    this.#reap(0);
    if (this.#layout === undefined) return;
    this.#gatherBacklog();
    if (this.#held.freeUnits < this.#fewUnits) this.#gatherHeld();
    this.#begin();
  }

  /**
   * How much of the front of the file is written for good, where all blocks in front of `block` have been stored; Infinity
   * for all there are. Held blocks that are in the way are written, some at a time.
   */
  writtenUpTo(block: number): number {
    const layout = this.#layout;
    if (layout === undefined) return 0;
    // The block itself may have no place: it was armed, and its mapping was gone by T0.
    let lowest = Math.min(layout.fileOffsetFrom(block * BLOCK_BYTES), this.#settleBelow(block));
    if (this.#gathering >= 0) lowest = Math.min(lowest, this.#place);
    for (let slot = 0; slot < DEPTH; slot++) lowest = Math.min(lowest, this.#places[slot]!);
    for (let at = this.#backlogNext; at < this.#backlog.length; at += 4)
      lowest = Math.min(lowest, layout.fileOffset(this.#backlog[at]! * BLOCK_BYTES));
    return lowest;
  }

  /** Begins to write held blocks in front of `block`; the place in the file of the first one that is left. */
  #settleBelow(block: number): number {
    const held = this.#held;
    let left = Number.POSITIVE_INFINITY;
    let writes = BACKLOG_AT_ONCE;
    for (let unit = held.nextBelow(block, 0); unit >= 0; unit = held.nextBelow(block, unit)) {
      const first = held.block(unit);
      const place = this.#layout!.fileOffset(first * BLOCK_BYTES);
      // With it go those next to it, so that its unit may hold another one now, or none.
      if (writes-- > 0 && this.#begin() && this.#startAt(first, place) && this.#begin()) continue;
      left = Math.min(left, place);
      unit++;
    }
    return left;
  }

  /** Waits until everything stored is in the file, and has that back from the queue. When nobody waits for us any more. */
  finish(): void {
    while (!this.idle) {
      this.pump();
      if (this.#backlogNext === this.#backlog.length) this.#gatherHeld();
      if (this.#queue.pending > 0) this.#reap(1);
    }
    this.#queue.giveBack(this.#fd);
  }

  /** Waits for what is under way: its memory is read until then. May take as long as a file system likes. */
  [Symbol.dispose](): void {
    while (this.#queue.pending > 0 && this.#queue.reap(1) >= 0);
    this.memory[Symbol.dispose]();
  }

  #unitAt(offset: number): number {
    return (offset - this.#slabAt) / BLOCK_BYTES;
  }

  /** A run that is not zero: a single block of the slab is held, others are gathered. */
  #keep(first: number, count: number, offset: number): void {
    const room = this.#room;
    if (room >= this.#slabAt) {
      this.#held.hold(this.#unitAt(room), first);
      this.#room = -1;
      return;
    }
    this.#ring.retain(room);
    const behind = this.#backlogNext < this.#backlog.length;
    if (behind || !this.#gather(first, count, offset, room)) this.#backlog.push(first, count, offset, room);
  }

  /**
   * Adds a run to the write that is being gathered, with the held blocks between the two, or begins another write with
   * it, and with the held blocks just before it. False where that can't be done now.
   */
  #gather(first: number, count: number, offset: number, room: number): boolean {
    const layout = this.#layout;
    if (layout === undefined) return false;
    const place = layout.fileOffset(first * BLOCK_BYTES);
    if (place < 0) throw misplaced(first);
    if (this.#gathering >= 0) this.#addHeld(first);
    if (this.#gathering >= 0 && !this.#continues(first, place) && !this.#begin()) return false;
    if (this.#gathering < 0 && !this.#startAt(first, place)) return false;
    this.#add(count, offset, room);
    return true;
  }

  /** Whether a run continues the write that is being gathered. */
  #continues(first: number, place: number): boolean {
    const slot = this.#gathering;
    return (
      this.#nextBlock === first &&
      this.#place + this.#lengths[slot]! === place &&
      this.#pieces[slot]! < PIECES_MAX
    );
  }

  /** A new write for a block and the held ones just before it, which are added. */
  #startAt(first: number, place: number): boolean {
    const slot = this.#freeSlots.pop();
    if (slot === undefined) return false;
    let before = 0;
    while (before < PIECES_MAX - 1 && this.#held.has(first - before - 1)) {
      if (this.#layout!.fileOffset((first - before - 1) * BLOCK_BYTES) !== place - (before + 1) * BLOCK_BYTES)
        break;
      before++;
    }
    this.#gathering = slot;
    this.#pieces[slot] = 0;
    this.#lengths[slot] = 0;
    this.#place = place - before * BLOCK_BYTES;
    this.#nextBlock = first - before;
    this.#addHeld(first);
    return true;
  }

  /** Adds the held blocks that follow what is gathered, up to `end`. */
  #addHeld(end: number): void {
    const slot = this.#gathering;
    while (this.#nextBlock < end && this.#pieces[slot]! < PIECES_MAX) {
      const block = this.#nextBlock;
      if (this.#layout!.fileOffset(block * BLOCK_BYTES) !== this.#place + this.#lengths[slot]!) return;
      const unit = this.#held.take(block);
      if (unit < 0) return;
      const offset = this.#slabAt + unit * BLOCK_BYTES;
      this.#add(1, offset, offset);
    }
  }

  #add(count: number, offset: number, room: number): void {
    const slot = this.#gathering;
    const piece = this.#pieces[slot]!;
    this.#queue.setPiece(slot, piece, this.memory.address + offset, count * BLOCK_BYTES);
    this.#rooms[slot * PIECES_MAX + piece] = room;
    this.#pieces[slot] = piece + 1;
    this.#lengths[slot]! += count * BLOCK_BYTES;
    this.#nextBlock += count;
  }

  /** Hands what was gathered to the disk; false where the kernel takes no more now. */
  #begin(): boolean {
    const slot = this.#gathering;
    if (slot < 0) return true;
    this.#addHeld(Number.POSITIVE_INFINITY);
    const result = this.#queue.write(slot, this.#fd, this.#pieces[slot]!, this.#place);
    if (result === -ERRNO.EAGAIN) return false;
    if (result < 0) throw writeFailed(-result);
    this.#places[slot] = this.#place;
    this.#gathering = -1;
    return true;
  }

  #gatherBacklog(): void {
    const backlog = this.#backlog;
    for (let count = 0; count < BACKLOG_AT_ONCE && this.#backlogNext < backlog.length; count++) {
      const at = this.#backlogNext;
      if (!this.#gather(backlog[at]!, backlog[at + 1]!, backlog[at + 2]!, backlog[at + 3]!)) return;
      this.#backlogNext = at + 4;
    }
    if (this.#backlogNext === 0 || this.#backlogNext < backlog.length) return;
    backlog.length = 0;
    this.#backlogNext = 0;
  }

  /** Writes some held blocks without waiting for their neighbours. */
  #gatherHeld(): void {
    for (let count = 0; count < BACKLOG_AT_ONCE && this.#held.size > 0; count++) {
      const block = this.#held.any();
      if (!this.#begin()) return;
      const place = this.#layout!.fileOffset(block * BLOCK_BYTES);
      if (place < 0) throw misplaced(block);
      if (!this.#startAt(block, place)) return;
      this.#addHeld(Number.POSITIVE_INFINITY);
    }
  }

  #reap(least: number): void {
    if (this.#queue.pending === 0) return;
    const count = this.#queue.reap(least);
    for (let index = 0; index < count; index++) {
      const slot = this.#queue.slot(index);
      const result = this.#queue.result(index);
      this.#freeSlots.push(slot);
      this.#places[slot] = Number.POSITIVE_INFINITY;
      for (let piece = 0; piece < this.#pieces[slot]!; piece++)
        this.#free(this.#rooms[slot * PIECES_MAX + piece]!);
      // A direct write is short only where the disk is full (or a limit is reached).
      if (result < 0) throw writeFailed(-result);
      if (result < this.#lengths[slot]!) throw writeFailed(ERRNO.ENOSPC);
    }
  }

  #free(room: number): void {
    if (room < this.#slabAt) this.#ring.release(room);
    else this.#held.free(this.#unitAt(room));
  }
}

function misplaced(block: number): LivecoreError {
  return new LivecoreError('INVARIANT', `snapshot given up: block ${block} has no place in the file`);
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
