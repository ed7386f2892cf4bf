import type { RangeList } from '../../engine/range-list.ts';
import { UFFDIO_REGISTER_MODE_MISSING } from '../../linux/abi.ts';
import { ERRNO } from '../../linux/errno.ts';
import type { Userfaultfd } from '../../linux/userfaultfd.ts';
import { PAGE_BYTES, SPAN_PAGES } from './pages.ts';

/** Unregistering lets writers stand still for as long as it takes: 2 MiB are 60 us. */
const UNREGISTER_PAGES = SPAN_PAGES;

/** Write-protection of the target's pages: what is registered, what is protected, and how it is taken away again. */
export class Protection {
  readonly #userfaultfd: Userfaultfd;
  /** another userfaultfd of the same memory, with nothing registered */
  readonly #witness: Userfaultfd;
  /** blocks that must stay writable, see ThreadWords */
  readonly #exempt: ReadonlySet<number>;
  /** registered ranges of addresses, by start */
  readonly #registered = new Map<number, number>();
  #pieces: { start: number; end: number }[] | undefined;

  constructor(userfaultfd: Userfaultfd, witness: Userfaultfd, exempt: ReadonlySet<number>) {
    this.#userfaultfd = userfaultfd;
    this.#witness = witness;
    this.#exempt = exempt;
  }

  /** Registers a mapping; false where the kernel will not (it has changed, or is of a kind that can't be). */
  register(start: number, end: number): boolean {
    if (this.#registered.get(start) === end) return true;
    if (this.#userfaultfd.register(start, end - start) < 0) return false;
    this.#registered.set(start, end);
    return true;
  }

  /**
   * Whether a mapping that was registered has lost that. The mark of protection in a page table entry then says nothing:
   * it may stay, and writes do not trap.
   */
  isDropped(start: number, end: number): boolean {
    const result = this.#userfaultfd.contains(start, end - start);
    if (result === 0 || result === -ERRNO.EAGAIN) return false;
    if (this.#registered.get(start) === end) this.#registered.delete(start);
    return true;
  }

  /**
   * Whether blocks are in one mapping that is registered, so that a mark of protection has meant all the time that writes
   * trap. Registration is lost for good (after T0 nothing is registered), marks may outlive it: mremap(2) to the side of
   * another mapping joins the two, and takes it from both, but the marks only from what was moved (mm/mremap.c,
   * copy_vma_and_data; fs/userfaultfd.c, mremap_userfaultfd_prep).
   */
  stands(first: number, count: number): boolean {
    const result = this.#userfaultfd.contains(first * PAGE_BYTES, count * PAGE_BYTES);
    if (result !== -ERRNO.EAGAIN) return result === 0;
    // Somebody removes memory and waits for its event, and until it is read no userfaultfd says anything about itself.
    for (let block = first; block < first + count; block++) if (!this.#isForeign(block)) return false;
    return true;
  }

  /** Whether the witness is refused a block (EBUSY) because it is registered with the other. */
  #isForeign(block: number): boolean {
    const address = block * PAGE_BYTES;
    const result = this.#witness.register(address, PAGE_BYTES, UFFDIO_REGISTER_MODE_MISSING);
    if (result === 0) this.#witness.unregister(address, PAGE_BYTES);
    return result === -ERRNO.EBUSY;
  }

  /** Protects blocks, but those that must stay writable. Returns 0 or a negative errno. */
  protect(first: number, count: number): number {
    let from = first;
    let result = 0;
    for (const block of this.#exemptIn(first, count)) {
      if (block > from) result = Math.min(result, this.#write(from, block - from, true));
      from = block + 1;
    }
    if (first + count > from) result = Math.min(result, this.#write(from, first + count - from, true));
    return result;
  }

  /** Lifts protection and wakes who waits. */
  release(first: number, count: number): void {
    const result = this.#write(first, count, false);
    if (result === 0 || result === -ERRNO.ESRCH) return;
    // Somebody removes memory and waits for its event; meanwhile nothing can be released, but unregistered.
    if (result === -ERRNO.EAGAIN && this.#unregister(first, count) === 0) return;
    // -ENOENT: part of the range is not mapped any more, or not registered.
    for (let block = first; block < first + count; block++) {
      if (this.#write(block, 1, false) < 0) this.#unregister(block, 1);
    }
  }

  /** Unregisters the next piece; true when nothing is left. */
  unregisterNext(armed: RangeList): boolean {
    this.#pieces ??= this.#planPieces(armed);
    const piece = this.#pieces.pop();
    if (piece === undefined) return true;
    const result = this.#userfaultfd.unregister(piece.start, piece.end - piece.start);
    // What is unmapped is unregistered; at the limit of mappings a split fails, and closing does the rest.
    void result;
    return false;
  }

  /** From the end, so that they are popped in order of address: pieces with page tables are small, others whole. */
  #planPieces(armed: RangeList): { start: number; end: number }[] {
    const pieces: { start: number; end: number }[] = [];
    for (const [start, end] of [...this.#registered].sort((left, right) => left[0] - right[0])) {
      let from = start;
      for (let index = armed.indexOf(start / PAGE_BYTES); index < armed.length && from < end; index++) {
        const spanStart = Math.max(from, armed.firsts[index]! * PAGE_BYTES);
        const spanEnd = Math.min(end, (armed.firsts[index]! + armed.counts[index]!) * PAGE_BYTES);
        if (spanStart >= end) break;
        if (spanStart > from) pieces.push({ start: from, end: spanStart });
        for (let at = spanStart; at < spanEnd; at += UNREGISTER_PAGES * PAGE_BYTES) {
          pieces.push({ start: at, end: Math.min(spanEnd, at + UNREGISTER_PAGES * PAGE_BYTES) });
        }
        from = spanEnd;
      }
      if (from < end) pieces.push({ start: from, end });
    }
    return pieces.reverse();
  }

  #exemptIn(first: number, count: number): number[] {
    const inside: number[] = [];
    for (const block of this.#exempt) if (block >= first && block < first + count) inside.push(block);
    return inside.sort((left, right) => left - right);
  }

  #unregister(first: number, count: number): number {
    return this.#userfaultfd.unregister(first * PAGE_BYTES, count * PAGE_BYTES);
  }

  #write(first: number, count: number, on: boolean): number {
    return this.#userfaultfd.writeProtect(first * PAGE_BYTES, count * PAGE_BYTES, on);
  }
}
