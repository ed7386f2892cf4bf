import type { Memory } from './memory.ts';
import type { State } from './state.ts';

/** of a store: block, word, value */
const STORE_WORDS = 3;

/** How many words of the state a store buffer takes. */
export function storeBufferWords(entries: number): number {
  return 1 + entries * STORE_WORDS;
}

/**
 * The store buffer 59 of a processor: stores that are translated, and have not reached memory. They leave it in order, and
 * late: one that was let through before W was cleared may land long after. Only their own processor sees them before.
 */
export class StoreBuffer {
  readonly entries: number;
  readonly #state: State;
  /** of the word that counts the stores; they follow, the oldest first */
  readonly #offset: number;

  constructor(state: State, offset: number, entries: number) {
    this.#state = state;
    this.#offset = offset;
    this.entries = entries;
  }

  /** how many stores wait */
  get length(): number {
    return this.#state.words[this.#offset]!;
  }

  /** The store that waits longest. */
  oldest(): { block: number; word: number; value: number } {
    const { words } = this.#state;
    const at = this.#offset + 1;
    return { block: words[at]!, word: words[at + 1]!, value: words[at + 2]! };
  }

  /** Takes a store; its caller has seen to it that there is room. */
  push(block: number, word: number, value: number): void {
    const { words } = this.#state;
    const at = this.#offset + 1 + this.length * STORE_WORDS;
    words[at] = block;
    words[at + 1] = word;
    words[at + 2] = value;
    words[this.#offset]!++;
  }

  /** What the youngest store to a word has stored there, or -1. */
  find(block: number, word: number): number {
    const { words } = this.#state;
    for (let index = this.length - 1; index >= 0; index--) {
      const at = this.#offset + 1 + index * STORE_WORDS;
      if (words[at] === block && words[at + 1] === word) return words[at + 2]!;
    }
    return -1;
  }

  /** Lets the oldest store reach memory; returns its block. */
  drain(memory: Memory): number {
    const { words } = this.#state;
    const at = this.#offset + 1;
    const block = words[at]!;
    memory.write(block, words[at + 1]!, words[at + 2]!);
    const left = words[this.#offset]! - 1;
    words.copyWithin(at, at + STORE_WORDS, at + (left + 1) * STORE_WORDS);
    words.fill(0, at + left * STORE_WORDS, at + (left + 1) * STORE_WORDS);
    words[this.#offset] = left;
    return block;
  }
}
