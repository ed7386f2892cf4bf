import type { Leaf, LeafSupply } from '../../engine/copy-map.ts';
import { type Bus, Op } from './bus.ts';

/**
 * The copy map 140 in the machine's memory, wherever a variant puts it: the engine's bits are words of the machine,
 * and each of its looks at them an access over the bus.
 */
export function copyMapMemory(bus: Bus): LeafSupply {
  const { firstBlock, mapWords } = bus.computer.plan;
  const firstWord = Math.floor(firstBlock / 32);
  return (words, leafBlock) => {
    const offset = leafBlock / 32 - firstWord;
    return new Leaf32(bus, offset, Math.min(words, mapWords - offset)) as unknown as Leaf;
  };
}

/** The words of one leaf; those that no block of the machine has a bit in are not there. */
class Leaf32 {
  readonly #bus: Bus;
  readonly #offset: number;
  readonly #words: number;

  constructor(bus: Bus, offset: number, words: number) {
    this.#bus = bus;
    this.#offset = offset;
    this.#words = words;
  }

  read(index: number): number {
    const word = this.#offset + index;
    if (word < 0 || index >= this.#words) return 0;
    return this.#bus.access(Op.mapRead, word, 0, 0);
  }

  write(index: number, value: number): void {
    this.#bus.access(Op.mapWrite, this.#offset + index, value >>> 0, 0);
  }
}

/** So that `leaf[n]` is an access: the engine's map knows words by number and nothing else. */
const LEAF_WORDS = 1024;
for (let index = 0; index < LEAF_WORDS; index++) {
  Object.defineProperty(Leaf32.prototype, index, {
    get(this: Leaf32): number {
      return this.read(index);
    },
    set(this: Leaf32, value: number) {
      this.write(index, value);
    },
  });
}
