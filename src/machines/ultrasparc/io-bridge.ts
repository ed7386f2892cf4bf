import type { Memory } from './memory.ts';
import type { Observer } from './observer.ts';
import type { State } from './state.ts';

/** One word that a device writes to memory. */
export interface Transfer {
  readonly block: number;
  readonly word: number;
  readonly value: number;
}

/** An I/O device 22: what it writes by DMA, in order. */
export interface Device {
  readonly transfers: readonly Transfer[];
}

// words of one slot
const OPEN = 0;
const NEXT = 1;
const IN_FLIGHT = 2;
export const SLOT_WORDS = 3;

/**
 * The I/O bridge 18: a slot for each device on the I/O bus 20, with the slot register that says "whether DMA
 * operations are allowed or not by the corresponding IO device".
 *
 * DMA goes to physical addresses: no MMU is asked. A transfer takes two steps, as on a bus: the bridge lets it in,
 * and it lands. One that was let in before its slot was closed still lands, so closing waits for it.
 */
export class IoBridge {
  readonly #state: State;
  readonly #offset: number;
  readonly #memory: Memory;
  readonly devices: readonly Device[];
  observer: Observer | undefined;

  constructor(state: State, offset: number, memory: Memory, devices: readonly Device[]) {
    this.#state = state;
    this.#offset = offset;
    this.#memory = memory;
    this.devices = devices;
    for (let slot = 0; slot < devices.length; slot++) this.setOpen(slot, 1);
  }

  isOpen(slot: number): number {
    return this.#state.words[this.#at(slot) + OPEN]!;
  }
  setOpen(slot: number, open: number): void {
    this.#state.words[this.#at(slot) + OPEN] = open;
  }
  inFlight(slot: number): boolean {
    return this.#state.words[this.#at(slot) + IN_FLIGHT] === 1;
  }
  /** how many transfers have been begun */
  begun(slot: number): number {
    return this.#state.words[this.#at(slot) + NEXT]!;
  }
  done(slot: number): boolean {
    return this.begun(slot) === this.devices[slot]!.transfers.length && !this.inFlight(slot);
  }

  /** Whether the device of a slot can go on: it waits while its slot is closed. */
  canStep(slot: number): boolean {
    if (this.inFlight(slot)) return true;
    return this.isOpen(slot) === 1 && this.begun(slot) < this.devices[slot]!.transfers.length;
  }

  /** Lets a transfer in, or lets one land. */
  step(slot: number): void {
    const words = this.#state.words;
    const at = this.#at(slot);
    if (words[at + IN_FLIGHT] === 0) {
      words[at + IN_FLIGHT] = 1;
      words[at + NEXT] = words[at + NEXT]! + 1;
      return;
    }
    const { block, word, value } = this.devices[slot]!.transfers[words[at + NEXT]! - 1]!;
    this.#memory.write(block, word, value);
    words[at + IN_FLIGHT] = 0;
    this.observer?.deviceWrote(slot, block);
  }

  #at(slot: number): number {
    return this.#offset + slot * SLOT_WORDS;
  }
}
