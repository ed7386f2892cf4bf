import type { State } from './state.ts';

/** What a block of main memory holds (Figure 9). */
export type Content130 =
  | 'kernel'
  | 'operating system'
  | 'snapshot program'
  | 'copy map'
  | 'application'
  | 'DMA buffer'
  | 'snapshot storage';

/**
 * The main memory 16, "addressable in blocks 132". A block has 8 KiB of addresses; how many of its words exist is
 * the shape's choice, so that exploring a machine does not spend its time on words that nobody uses.
 */
export class Memory {
  readonly #state: State;
  readonly #offset: number;
  /** number of the first block: main memory need not start at physical address 0 */
  readonly firstBlock: number;
  readonly blocks: number;
  readonly wordsPerBlock: number;

  constructor(state: State, offset: number, firstBlock: number, blocks: number, wordsPerBlock: number) {
    this.#state = state;
    this.#offset = offset;
    this.firstBlock = firstBlock;
    this.blocks = blocks;
    this.wordsPerBlock = wordsPerBlock;
  }

  /** The place in the state of a word of a block. */
  at(block: number, word: number): number {
    return this.#offset + (block - this.firstBlock) * this.wordsPerBlock + word;
  }

  read(block: number, word: number): number {
    return this.#state.words[this.at(block, word)]!;
  }

  write(block: number, word: number, value: number): void {
    this.#state.words[this.at(block, word)] = value;
  }

  /** whether main memory has such a block */
  has(block: number): boolean {
    return block >= this.firstBlock && block < this.firstBlock + this.blocks;
  }
}
