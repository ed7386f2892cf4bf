import { BLOCK_BYTES, pageMask } from './address.ts';
import type { State } from './state.ts';
import { BUSY, G, pageNumberOf, sizeOf, V } from './tte.ts';

/** VA<63:32>; VA<31:13> with the context below it (as in the Manual's Tag Access register); the data word's halves */
export const STT_ENTRY_WORDS = 4;
/** a TTE: tag and data */
export const TSB_ENTRY_WORDS = 4;

/** Where the tables stand, in words of the state: in blocks of the kernel. */
export interface TablesPlace {
  readonly sttOffset: number;
  readonly sttEntries: number;
  readonly tsbOffset: number;
  /** entries of one TSB, a power of two */
  readonly tsbEntries: number;
  /** one TSB for each of these contexts; empty: one shared by all */
  readonly tsbContexts: readonly number[];
}

/**
 * The Software Translation Table 70, "which is kept in memory", and the Translation Storage Buffer 72, "which acts
 * like a direct-mapped cache" between it and the TLBs, "shared by all processes" or "process specific".
 *
 * Both lie in blocks of the kernel, so they are part of what a snapshot copies. The operating system's table may
 * have any form; here it is a list, one entry a page.
 */
export class TranslationTables {
  readonly #state: State;
  readonly place: TablesPlace;

  constructor(state: State, place: TablesPlace) {
    this.#state = state;
    this.place = place;
  }

  /** The offset in the state of an entry of the STT. */
  entry(index: number): number {
    return this.place.sttOffset + index * STT_ENTRY_WORDS;
  }

  /** Writes an entry of the STT: when the machine is put together, and when a large page is split. */
  setEntry(
    index: number,
    va: readonly [high: number, low: number],
    context: number,
    data: readonly [number, number],
  ): void {
    const words = this.#state.words;
    const at = this.entry(index);
    words[at] = va[0];
    words[at + 1] = ((va[1] & ~(BLOCK_BYTES - 1)) | context) >>> 0;
    words[at + 2] = data[0];
    words[at + 3] = data[1];
  }

  contextOf(index: number): number {
    return this.#state.words[this.entry(index) + 1]! & (BLOCK_BYTES - 1);
  }
  vaHigh(index: number): number {
    return this.#state.words[this.entry(index)]!;
  }
  vaLow(index: number): number {
    return (this.#state.words[this.entry(index) + 1]! & ~(BLOCK_BYTES - 1)) >>> 0;
  }
  dataHigh(index: number): number {
    return this.#state.words[this.entry(index) + 2]!;
  }
  dataLow(index: number): number {
    return this.#state.words[this.entry(index) + 3]!;
  }
  pageNumber(index: number): number {
    return pageNumberOf(this.dataHigh(index), this.dataLow(index));
  }

  /** The entry of the STT that translates an address, or -1; valid, or locked while it is changed. */
  find(vaHigh: number, vaLow: number, context: number): number {
    for (let index = 0; index < this.place.sttEntries; index++) {
      const dataHigh = this.dataHigh(index);
      if ((dataHigh & V) === 0 && (this.dataLow(index) & BUSY) === 0) continue;
      if (this.vaHigh(index) !== vaHigh) continue;
      if ((vaLow & pageMask(sizeOf(dataHigh))) >>> 0 !== this.vaLow(index)) continue;
      if (this.contextOf(index) === context || (this.dataLow(index) & G) !== 0) return index;
    }
    return -1;
  }

  /**
   * The TSB's entry for an address, as an offset in the state, or -1. Tried at both pointers that the hardware
   * offers to the handler, for 8 KiB and for 64 KiB pages (Manual, section 6.9.7).
   */
  probe(vaHigh: number, vaLow: number, context: number): number {
    for (let size = 0; size <= 1; size++) {
      const at = this.tsbPlace(vaLow, context, size);
      if (at >= 0 && this.#hits(at, vaHigh, vaLow, context, size)) return at;
    }
    return -1;
  }

  /** Writes a TTE over what the TSB has in its place; larger pages than 64 KiB come from the STT each time. */
  fill(vaHigh: number, vaLow: number, context: number, dataHigh: number, dataLow: number): void {
    const at = this.tsbPlace(vaLow, context, sizeOf(dataHigh));
    if (at < 0) return;
    const words = this.#state.words;
    words[at] = (((dataLow & G) !== 0 ? V : 0) | (context << 16) | (vaHigh >>> 22)) >>> 0;
    words[at + 1] = ((vaHigh << 10) | (vaLow >>> 22)) >>> 0;
    words[at + 2] = dataHigh;
    words[at + 3] = dataLow;
  }

  /** Whether somebody holds the lock of the entry that translates an address. */
  isBusy(vaHigh: number, vaLow: number, context: number): boolean {
    const index = this.find(vaHigh, vaLow, context);
    return index >= 0 && (this.dataLow(index) & BUSY) !== 0;
  }

  /** Takes an entry of the STT out of the TSB of a context. */
  clearTsb(index: number, context: number): void {
    const [vaHigh, vaLow, size] = [this.vaHigh(index), this.vaLow(index), sizeOf(this.dataHigh(index))];
    const at = this.tsbPlace(vaLow, context, size);
    if (at >= 0 && this.#hits(at, vaHigh, vaLow, context, size))
      this.#state.words.fill(0, at, at + TSB_ENTRY_WORDS);
  }

  /** The direct-mapped place of an address, as an offset; -1 where there is none. */
  tsbPlace(vaLow: number, context: number, size: number): number {
    const { tsbOffset, tsbEntries, tsbContexts } = this.place;
    if (size > 1) return -1;
    const index = (vaLow >>> (13 + 3 * size)) & (tsbEntries - 1);
    const table = tsbContexts.length === 0 ? 0 : tsbContexts.indexOf(context);
    return table < 0 ? -1 : tsbOffset + (table * tsbEntries + index) * TSB_ENTRY_WORDS;
  }

  /** Calls back with the offset of each valid entry of the TSBs. */
  forEachTsbEntry(visit: (at: number) => void): void {
    const { tsbOffset, tsbEntries, tsbContexts } = this.place;
    const entries = tsbEntries * Math.max(1, tsbContexts.length);
    for (let index = 0; index < entries; index++) {
      const at = tsbOffset + index * TSB_ENTRY_WORDS;
      if ((this.#state.words[at + 2]! & V) !== 0) visit(at);
    }
  }

  /** "If the Global bit is set, the Context field of the TTE is ignored during hit detection." */
  #hits(at: number, vaHigh: number, vaLow: number, context: number, size: number): boolean {
    const words = this.#state.words;
    const dataHigh = words[at + 2]!;
    if ((dataHigh & V) === 0 || sizeOf(dataHigh) !== size) return false;
    const tagHigh = words[at]!;
    if ((tagHigh & 0x3ff) !== vaHigh >>> 22) return false;
    if (words[at + 1] !== ((vaHigh << 10) | (vaLow >>> 22)) >>> 0) return false;
    return (tagHigh & V) !== 0 || ((tagHigh >>> 16) & 0x1fff) === context;
  }
}

/** How many words of the kernel's blocks the tables take. */
export function tablesWords(sttEntries: number, tsbEntries: number, tsbs: number): number {
  return sttEntries * STT_ENTRY_WORDS + tsbEntries * tsbs * TSB_ENTRY_WORDS;
}
