import type { Random } from './random.ts';
import { type Act, PLACES, type SubjectKind } from './subject.ts';

type Kind = Act['kind'];

/** How often each kind of act comes, beside each other. Memory comes and goes more rarely than it is written. */
const WEIGHTS: Readonly<Record<Kind, number>> = {
  store: 24,
  kernelStore: 8,
  remove: 3,
  destroy: 1,
  appear: 1,
  past: 2,
  stick: 1,
  unstick: 3,
};

/** A program that does something of the given kinds before each step, at random. */
export class RandomProgram {
  readonly #random: Random;
  readonly #kinds: Kind[] = [];
  readonly #busy: number;

  /** @param busy about how many acts there are between two steps */
  constructor(random: Random, kinds: readonly Kind[], busy: number) {
    this.#random = random;
    this.#busy = busy;
    for (const kind of kinds) this.#kinds.push(...new Array<Kind>(WEIGHTS[kind]).fill(kind));
  }

  next(): Act[] {
    const acts: Act[] = [];
    for (let count = this.#random.below(2 * this.#busy + 1); count > 0; count--) acts.push(this.#act());
    return acts;
  }

  #act(): Act {
    const random = this.#random;
    const kind = random.pick(this.#kinds);
    // Half of all goes to a few hot places, as it does in real programs.
    const place = random.oneIn(2) ? random.below(PLACES) : random.below(4) * (PLACES / 8);
    const writer = random.below(16);
    const blocks = 1 + random.below(6);
    return { kind, place, writer, blocks } as Act;
  }
}

/** Of these kinds, those that a machine can do. */
export function able(kind: SubjectKind, wanted: readonly Kind[]): Kind[] {
  return wanted.filter((each) => kind.lacks[each] === undefined);
}
