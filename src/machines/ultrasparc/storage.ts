import type { SnapshotStorage } from '../../engine/storage.ts';
import { type Bus, Op } from './bus.ts';
import { type Computer, RECORD_HEAD_WORDS, STAGING_ROOMS } from './computer.ts';

/**
 * The snapshot storage 17: blocks go from the staging memory "to an equivalent location" in a memory of its own or
 * in a partition of main memory, or to the end of a log on mass storage. Each word is an access of its own.
 */
export class UltrasparcStorage implements SnapshotStorage {
  readonly staging: Uint8Array;
  readonly largestOpen: number;
  readonly #bus: Bus;
  readonly #wordsPerBlock: number;
  readonly #log: boolean;
  readonly #free: number[] = [];

  constructor(bus: Bus) {
    const { computer } = bus;
    const { plan, places } = computer;
    this.#bus = bus;
    this.staging = computer.staging;
    this.largestOpen = places.stagingBlocks;
    this.#wordsPerBlock = plan.wordsPerBlock;
    this.#log = plan.variants.storage === 'log';
    for (let room = STAGING_ROOMS - 1; room >= 0; room--) {
      this.#free.push(room * places.stagingBlocks * plan.wordsPerBlock * 4);
    }
  }

  /** how many rooms are free */
  get free(): number {
    return this.#free.length;
  }

  open(count: number, urgent: boolean): number {
    if (count > this.largestOpen || this.#free.length <= (urgent ? 0 : 1)) return -1;
    return this.#free.pop()!;
  }

  store(first: number, count: number, offset: number): void {
    for (let index = 0; index < count; index++) {
      this.#storeBlock(first + index, offset / 4 + index * this.#wordsPerBlock);
    }
  }

  storeZero(first: number, count: number): void {
    for (let index = 0; index < count; index++) this.#storeBlock(first + index, -1);
  }

  close(offset: number): void {
    this.#free.push(offset);
  }

  pump(): void {
    // What is stored is stored: the machine's storage takes each word as it comes.
  }

  #storeBlock(block: number, stagingAt: number): void {
    if (this.#log) {
      const words = RECORD_HEAD_WORDS + this.#wordsPerBlock;
      for (let word = 0; word < words; word++) this.#bus.access(Op.logWord, block, word, stagingAt);
    } else {
      for (let word = 0; word < this.#wordsPerBlock; word++) {
        this.#bus.access(Op.imageWord, block, word, stagingAt < 0 ? -1 : stagingAt + word);
      }
    }
    this.#bus.access(Op.stored, block, 0, 0);
  }
}

/** The content of a block in the snapshot storage, as it stands; undefined where a log has no record of it. */
export function storedContent(computer: Computer, block: number): Uint32Array | undefined {
  const { plan, places, state } = computer;
  const { wordsPerBlock, firstBlock } = plan;
  if (plan.variants.storage !== 'log') {
    const at = places.storage + (block - firstBlock) * wordsPerBlock;
    return state.words.subarray(at, at + wordsPerBlock);
  }
  const record = RECORD_HEAD_WORDS + wordsPerBlock;
  const end = places.storage + state.words[places.logLength]!;
  for (let at = end - record; at >= places.storage; at -= record) {
    if (state.words[at + 1] === block) return state.words.subarray(at + RECORD_HEAD_WORDS, at + record);
  }
  return undefined;
}
