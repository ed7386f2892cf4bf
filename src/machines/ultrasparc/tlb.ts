import { pageMask } from './address.ts';
import type { State } from './state.ts';
import { G, L, sizeOf, USED, V, W } from './tte.ts';

/** VA<63:32>, VA<31:0> of the page, context, and the two halves of the data word */
export const TLB_ENTRY_WORDS = 5;

/**
 * A translation look-aside buffer: the iTLB 46 or the dTLB 48, 64 entries in the document, fully associative,
 * an independent cache of the software's tables. A stale entry is real here: until it is demapped, it translates
 * as when it was loaded.
 */
export class Tlb {
  readonly #state: State;
  readonly #offset: number;
  readonly #end: number;
  /** "The W-bit in the I-MMU is read as zero and ignored when written." */
  readonly #dataMask: number;
  /** where the last hit was, as an offset; only a guess, checked before it is used */
  #guess: number;

  constructor(state: State, offset: number, entries: number, side: 'instruction' | 'data') {
    this.#state = state;
    this.#offset = offset;
    this.#end = offset + entries * TLB_ENTRY_WORDS;
    this.#dataMask = side === 'instruction' ? ~W : ~0;
    this.#guess = offset;
  }

  /** The offset in the state of the entry that translates an address, or -1: a TLB miss. Marks it used. */
  lookup(vaHigh: number, vaLow: number, context: number): number {
    const words = this.#state.words;
    let at = this.#guess;
    if (!matches(words, at, vaHigh, vaLow, context)) {
      at = this.find(vaHigh, vaLow, context);
      if (at < 0) return -1;
      this.#guess = at;
    }
    words[at + 3] = words[at + 3]! | USED;
    return at;
  }

  /** As lookup, without a trace. */
  find(vaHigh: number, vaLow: number, context: number): number {
    const words = this.#state.words;
    for (let at = this.#offset; at < this.#end; at += TLB_ENTRY_WORDS) {
      if (matches(words, at, vaHigh, vaLow, context)) return at;
    }
    return -1;
  }

  /**
   * A write to the Data-In register: the automatic replacement of the Manual, section 6.11.2. The first invalid
   * entry; else the first that is neither used nor locked; else all Used bits are reset and it is tried again.
   * Where all are locked the Manual says that the last is replaced and that software must see to it that this
   * never is so: the machine's construction does.
   */
  load(vaHigh: number, vaLow: number, context: number, dataHigh: number, dataLow: number): void {
    const words = this.#state.words;
    let at = this.#victim();
    if (at < 0) {
      for (let entry = this.#offset; entry < this.#end; entry += TLB_ENTRY_WORDS) {
        words[entry + 3] = words[entry + 3]! & ~USED;
      }
      at = this.#victim();
    }
    if (at < 0) at = this.#end - TLB_ENTRY_WORDS;
    words[at] = vaHigh;
    words[at + 1] = vaLow & pageMask(sizeOf(dataHigh));
    words[at + 2] = context;
    words[at + 3] = (dataHigh & ~USED) >>> 0;
    words[at + 4] = (dataLow & this.#dataMask) >>> 0;
  }

  /** Demap page: removes what translates the address, locked or not. An operation of its own processor. */
  demap(vaHigh: number, vaLow: number, context: number): void {
    const words = this.#state.words;
    for (let at = this.#offset; at < this.#end; at += TLB_ENTRY_WORDS) {
      if (matches(words, at, vaHigh, vaLow, context)) words.fill(0, at, at + TLB_ENTRY_WORDS);
    }
  }

  /** Whether an entry translates a part of a page: loading one for all of it would make a multiple match. */
  overlaps(vaHigh: number, vaLow: number, size: number, context: number): boolean {
    let found = false;
    this.forEach((at) => {
      const words = this.#state.words;
      if (words[at] !== vaHigh || (words[at + 2] !== context && (words[at + 4]! & G) === 0)) return;
      const mask = pageMask(Math.max(size, sizeOf(words[at + 3]!)));
      if ((words[at + 1]! & mask) === (vaLow & mask)) found = true;
    });
    return found;
  }

  /** Calls back with the offset of each valid entry. */
  forEach(visit: (at: number) => void): void {
    for (let at = this.#offset; at < this.#end; at += TLB_ENTRY_WORDS) {
      if ((this.#state.words[at + 3]! & V) !== 0) visit(at);
    }
  }

  #victim(): number {
    const words = this.#state.words;
    for (let at = this.#offset; at < this.#end; at += TLB_ENTRY_WORDS) {
      if ((words[at + 3]! & V) === 0) return at;
    }
    for (let at = this.#offset; at < this.#end; at += TLB_ENTRY_WORDS) {
      if ((words[at + 3]! & USED) === 0 && (words[at + 4]! & L) === 0) return at;
    }
    return -1;
  }
}

function matches(words: Uint32Array, at: number, vaHigh: number, vaLow: number, context: number): boolean {
  const dataHigh = words[at + 3]!;
  if ((dataHigh & V) === 0 || words[at] !== vaHigh) return false;
  if ((vaLow & pageMask(sizeOf(dataHigh))) >>> 0 !== words[at + 1]) return false;
  return words[at + 2] === context || (words[at + 4]! & G) !== 0;
}
