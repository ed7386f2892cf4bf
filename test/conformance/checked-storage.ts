import { MemoryStorage, type MemoryStorageOptions } from '../../src/engine/memory-storage.ts';

/**
 * Storage in memory that also sees to it that the engine keeps to what it opened, and stores nothing twice. It can be
 * slow, and it can be made to fail.
 */
export class CheckedStorage extends MemoryStorage {
  readonly faults: string[] = [];
  /** whether this pump moves anything */
  moves: () => boolean = () => true;
  /** called at each call, to throw there */
  onCall: () => void = () => {};
  /** how often somebody urgent was told that there is no room */
  refused = 0;
  readonly #bytes: number;
  /** where room is open, and how many blocks it was opened for */
  readonly #open = new Map<number, number>();

  constructor(blockBytes: number, slots: number, options: MemoryStorageOptions = {}) {
    super(blockBytes, slots, options);
    this.#bytes = blockBytes;
  }

  override pump(): void {
    this.onCall();
    if (this.moves()) super.pump();
  }

  override open(count: number, urgent: boolean): number {
    this.onCall();
    if (count < 1 || count > this.largestOpen) this.faults.push(`room for ${count} blocks is opened`);
    const offset = super.open(count, urgent);
    if (offset >= 0) this.#open.set(offset, count);
    else if (urgent) this.refused++;
    return offset;
  }

  override store(first: number, count: number, offset: number): void {
    this.onCall();
    const within = [...this.#open].some(
      ([start, blocks]) => offset >= start && offset + count * this.#bytes <= start + blocks * this.#bytes,
    );
    if (!within) this.faults.push(`${count} blocks are stored outside of what is open`);
    this.#expectNew(first, count);
    super.store(first, count, offset);
  }

  override storeZero(first: number, count: number): void {
    this.onCall();
    this.#expectNew(first, count);
    super.storeZero(first, count);
  }

  override close(offset: number): void {
    this.onCall();
    if (!this.#open.delete(offset)) this.faults.push(`room at ${offset} is closed, but not open`);
    super.close(offset);
  }

  #expectNew(first: number, count: number): void {
    for (let block = first; block < first + count; block++) {
      if (this.blocks.has(block)) this.faults.push(`block ${block} is stored twice`);
    }
  }
}
