const EMPTY = -1;

/** What was seen under a number (situation.ts, Hasher): a Map of doubles takes three times as long. */
export class Seen<Item> {
  #keys: Float64Array = new Float64Array(16).fill(EMPTY);
  #items: (Item | undefined)[] = new Array<Item | undefined>(16);
  #size = 0;

  get(key: number): Item | undefined {
    return this.#items[this.#at(this.#keys, key)];
  }

  set(key: number, item: Item): void {
    if (4 * this.#size >= 3 * this.#keys.length) this.#grow();
    const at = this.#at(this.#keys, key);
    if (this.#keys[at] === EMPTY) this.#size++;
    this.#keys[at] = key;
    this.#items[at] = item;
  }

  /** Where the key is, or would be. The low bits of the numbers are mixed already. */
  #at(keys: Float64Array, key: number): number {
    const mask = keys.length - 1;
    let at = key & mask;
    for (let other = keys[at]!; other !== key && other !== EMPTY; other = keys[at]!) at = (at + 1) & mask;
    return at;
  }

  #grow(): void {
    const keys = new Float64Array(this.#keys.length * 2).fill(EMPTY);
    const items = new Array<Item | undefined>(keys.length);
    for (const [from, key] of this.#keys.entries()) {
      if (key === EMPTY) continue;
      const at = this.#at(keys, key);
      keys[at] = key;
      items[at] = this.#items[from];
    }
    this.#keys = keys;
    this.#items = items;
  }
}
