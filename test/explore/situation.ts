/** A state of the machine at a position of the engine, and how it came about. */
export interface Situation {
  words: Uint32Array;
  readonly id: number;
  readonly from: Situation | undefined;
  /** what led here from there: a step of an actor, as a number (describe.ts), or an access */
  readonly what: number | readonly number[];
  /** steps of processors and devices so far */
  readonly events: number;
}

/** What happened from the start to here, in order. */
export function pathOf(situation: Situation): (number | readonly number[])[] {
  const path: (number | readonly number[])[] = [];
  for (let at = situation; at.from !== undefined; at = at.from) path.push(at.what);
  return path.reverse();
}

/** Numbers that stand for states, 53 bits wide: two states with the same one are taken for one. */
export class Hasher {
  readonly #places: Int32Array;

  /** @param places the words that can differ between two states at one position of the engine */
  constructor(places: readonly number[]) {
    this.#places = Int32Array.from(places);
  }

  hash(words: Uint32Array): number {
    const places = this.#places;
    let a = 0x811c_9dc5;
    let b = 0x9e37_79b9;
    for (let index = 0; index < places.length; index++) {
      const word = words[places[index]!]!;
      a = Math.imul(a ^ word, 0x85eb_ca6b);
      a ^= a >>> 15;
      b = Math.imul((b << 5) ^ (b >>> 27) ^ word, 0xc2b2_ae35);
    }
    return (a >>> 0) * 0x20_0000 + ((b ^ (b >>> 15)) & 0x1f_ffff);
  }
}

/** Arrays that are used again: making one costs more than filling it. */
export class Pool {
  readonly #free: Uint32Array[] = [];

  copyOf(words: Uint32Array): Uint32Array {
    const copy = this.#free.pop();
    if (copy === undefined) return words.slice();
    copy.set(words);
    return copy;
  }
  giveBack(words: Uint32Array): void {
    if (this.#free.length < 1 << 16) this.#free.push(words);
  }
}
