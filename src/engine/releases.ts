import type { Machine } from './machine.ts';
import { RangeList } from './range-list.ts';

/** Lets go what has been copied: at once, or where the machine can't at the moment, as soon as it can. */
export class Releases {
  readonly #machine: Machine;
  #owed: RangeList = new RangeList();

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** how many blocks are still to be let go */
  get owed(): number {
    return this.#owed.blocks;
  }

  release(first: number, count: number): void {
    if (!this.#machine.release(first, count)) this.#owed.add(first, count);
  }

  /** Tries again what is owed, until the machine refuses. */
  retry(): void {
    if (this.#owed.length === 0) return;
    const owed = this.#owed;
    this.#owed = new RangeList();
    let refused = false;
    for (const { first, count } of owed) {
      refused ||= !this.#machine.release(first, count);
      if (refused) this.#owed.add(first, count);
    }
  }
}
