/**
 * Is told what happens to memory, at the moment that it happens. The machine runs the same with and without one:
 * the explorer's judge listens here, and so does the narrator of `livecore explain`.
 */
export interface Observer {
  /** A store of a processor reached memory; `order` numbers the stores of its program, from 0. */
  processorWrote(processor: number, block: number, order: number): void;
  /** The instruction `pc` of a processor's program read this word of memory, or of a store of its own to it. */
  processorRead?(processor: number, pc: number, block: number, word: number): void;
  /** A DMA transfer reached memory. */
  deviceWrote(slot: number, block: number): void;
  /** A processor threw a block's content away. */
  destroyed(processor: number, block: number): void;
  /** A TLB was given an entry for an address that it still translates: undefined on the real chip. */
  multipleMatch(processor: number): void;
  /** The snapshot program wrote a word of the first storage: a table of the kernel's, or the copy map. */
  programWrote(block: number): void;
  /** The snapshot program wrote the word `at` of the state, which is one of the snapshot storage. */
  storageWrote(at: number): void;
  /** The content of a block is in the snapshot storage as a whole, as the storage says. */
  stored(block: number): void;
  /** A word of the copy map changed; bit 0 of it stands for `firstBlock`. */
  marked(firstBlock: number, before: number, after: number): void;
  /** End of S2: T0. */
  instant(): void;
  /** The snapshot program found that nobody can be let go at the moment. */
  refused?(): void;
  /** The snapshot program looked whether a processor waits. */
  asked?(processor: number): void;
  /** The snapshot program listed a block as unreliable, or as lost. */
  listed(block: number, as: 'unreliable' | 'lost'): void;
}
