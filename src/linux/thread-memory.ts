/**
 * The memory between a ThreadQueue and its thread: words that each of the two writes alone, two rings of numbers, and what
 * each slot is to write. Both threads make one of these over the same bytes.
 *
 * A counter is stored after what it counts, and looked at before that is read; Atomics keeps both sides to it.
 */
import { iovec } from './layouts.ts';
import type { Memory } from './memory.ts';

const IOVEC_BYTES = iovec.sizeBytes;
/** words that different threads write stand in cache lines of their own */
const LINE_WORDS = 16;
const WORDS_BYTES = 9 * LINE_WORDS * 4;
/** what a file occupies is told in units that 32 bits are enough for */
const UNIT_BYTES = 4096;
/** of a slot: descriptor, pieces, result, and the offset in the file as 64 bits */
const SLOT_BYTES = 32;
const RING_ENTRY_BYTES = 8;

type Word =
  | 'asked'
  | 'closing'
  | 'look'
  | 'lookAt'
  | 'ownerSleeps'
  | 'done'
  | 'threadSleeps'
  | 'state'
  | 'tid'
  | 'occupied';

/** Where each word stands. */
export const WORD: Readonly<Record<Word, number>> = {
  /** requests that were ever made; by the owner */
  asked: 0,
  /** the owner wants no more */
  closing: LINE_WORDS,
  /** the owner wants to know what the file of descriptor `lookAt` occupies: 1, or 0 once the thread looks; by both */
  look: 6 * LINE_WORDS,
  lookAt: 7 * LINE_WORDS,
  /** the owner sleeps until `done` changes */
  ownerSleeps: 2 * LINE_WORDS,
  /** requests that were ever finished; by the thread */
  done: 3 * LINE_WORDS,
  /** the thread sleeps until it is told: 1, or 0 while it works */
  threadSleeps: 4 * LINE_WORDS,
  /** READY, or a negative errno; 0 until the thread has come up */
  state: 5 * LINE_WORDS,
  /** of the thread */
  tid: 5 * LINE_WORDS + 1,
  /** what the thread found when it looked last; see `occupied()` */
  occupied: 8 * LINE_WORDS,
};

/** The thread is there and has a descriptor table of its own. */
export const READY = 1;

/** Views of that memory. */
export class ThreadMemory {
  readonly memory: Memory;
  readonly depth: number;
  readonly piecesMax: number;
  readonly #slotsAt: number;
  readonly #vectorsAt: number;

  /** @param memory of at least `ThreadMemory.bytes(depth, piecesMax)`, zeros at first */
  constructor(memory: Memory, depth: number, piecesMax: number) {
    this.memory = memory;
    this.depth = depth;
    this.piecesMax = piecesMax;
    this.#slotsAt = WORDS_BYTES + depth * RING_ENTRY_BYTES;
    this.#vectorsAt = this.#slotsAt + depth * SLOT_BYTES;
  }

  static bytes(depth: number, piecesMax: number): number {
    return WORDS_BYTES + depth * (RING_ENTRY_BYTES + SLOT_BYTES + piecesMax * IOVEC_BYTES);
  }

  load(word: number): number {
    return Atomics.load(this.memory.int32, word);
  }
  store(word: number, value: number): void {
    Atomics.store(this.memory.int32, word, value);
  }
  addressOf(word: number): number {
    return this.memory.address + word * 4;
  }

  /** What the file that was looked at occupies, in bytes, or a negative errno. */
  get occupied(): number {
    const units = this.load(WORD.occupied);
    return units < 0 ? units : units * UNIT_BYTES;
  }
  set occupied(bytes: number) {
    this.store(WORD.occupied, bytes < 0 ? bytes : Math.ceil(bytes / UNIT_BYTES));
  }

  /** The ring of asked slots: entry `n` is request number n. */
  askedSlot(n: number): number {
    return this.memory.int32[this.#entry(n)]!;
  }
  setAskedSlot(n: number, slot: number): void {
    this.memory.int32[this.#entry(n)] = slot;
  }
  /** The ring of finished slots. */
  doneSlot(n: number): number {
    return this.memory.int32[this.#entry(n) + 1]!;
  }
  setDoneSlot(n: number, slot: number): void {
    this.memory.int32[this.#entry(n) + 1] = slot;
  }

  setPiece(slot: number, index: number, address: number, length: number): void {
    const at = this.vectorAt(slot, index);
    this.memory.setWord(at + iovec.at.iov_base, address);
    this.memory.setWord(at + iovec.at.iov_len, length);
  }
  /** Where the iovec of a piece stands in the memory. */
  vectorAt(slot: number, index: number): number {
    return this.#vectorsAt + (slot * this.piecesMax + index) * IOVEC_BYTES;
  }

  setRequest(slot: number, fd: number, pieces: number, offset: number): void {
    const at = this.#slotsAt + slot * SLOT_BYTES;
    this.memory.int32[at >>> 2] = fd;
    this.memory.int32[(at + 4) >>> 2] = pieces;
    this.memory.setWord(at + 16, offset);
  }
  fd(slot: number): number {
    return this.memory.int32[(this.#slotsAt + slot * SLOT_BYTES) >>> 2]!;
  }
  pieces(slot: number): number {
    return this.memory.int32[(this.#slotsAt + slot * SLOT_BYTES + 4) >>> 2]!;
  }
  offset(slot: number): number {
    return this.memory.word(this.#slotsAt + slot * SLOT_BYTES + 16);
  }
  result(slot: number): number {
    return this.memory.int32[(this.#slotsAt + slot * SLOT_BYTES + 8) >>> 2]!;
  }
  setResult(slot: number, result: number): void {
    this.memory.int32[(this.#slotsAt + slot * SLOT_BYTES + 8) >>> 2] = result;
  }

  #entry(n: number): number {
    return (WORDS_BYTES + (n % this.depth) * RING_ENTRY_BYTES) >>> 2;
  }
}
