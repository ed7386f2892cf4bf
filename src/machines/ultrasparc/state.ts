/**
 * The whole state of the machine, memory and registers alike, is one array of 32-bit words. So a state can be
 * kept, compared and given back by copying one array: the explorer lives on that, and so does going backward in
 * `livecore explain`. The parts (memory, TLBs, processors ...) are views of it: an offset each.
 */
export class State {
  words: Uint32Array;

  constructor(sizeWords: number) {
    this.words = new Uint32Array(sizeWords);
  }
}

/** Gives out consecutive places in the state while the machine is put together. */
export class Layout {
  #next = 0;
  readonly sections: { readonly name: string; readonly offset: number; readonly words: number }[] = [];

  /** Reserves `words` words; returns their offset. */
  take(name: string, words: number): number {
    const offset = this.#next;
    this.sections.push({ name, offset, words });
    this.#next += words;
    return offset;
  }

  get words(): number {
    return this.#next;
  }
}
