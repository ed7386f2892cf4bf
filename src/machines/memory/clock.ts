import type { Clock } from '../../engine/machine.ts';

/** What a look at the clock costs: so a loop that waits for a time does not wait for ever. */
const LOOK_NS = 20;

/** Time that passes only when somebody lets it, or looks. */
export class VirtualClock implements Clock {
  #nowNs = 0;

  now(): number {
    this.#nowNs += LOOK_NS;
    return this.#nowNs;
  }

  pass(ns: number): void {
    this.#nowNs += ns;
  }
}
