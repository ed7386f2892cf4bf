import type { RangeSink } from '../../engine/machine.ts';
import { RangeList } from '../../engine/range-list.ts';
import { UFFDIO_REGISTER_MODE_MISSING } from '../../linux/abi.ts';
import { ERRNO } from '../../linux/errno.ts';
import type { MappingQuery } from '../../linux/mapping-query.ts';
import type { Mapping } from '../../linux/proc-maps.ts';
import type { Userfaultfd } from '../../linux/userfaultfd.ts';
import type { Attachment } from './attach.ts';
import { PAGE_BYTES, type Pages, SPAN_PAGES } from './pages.ts';
import type { Witness } from './witness.ts';

/** looked through at once for what is protected still: 40 us */
const LOOK_PAGES = 16_384;

/** Write-protection of the target's pages: what is registered, what is protected, and how it is taken away again. */
export class Protection {
  readonly #userfaultfd: Userfaultfd;
  readonly #witness: Witness;
  readonly #mappings: MappingQuery;
  readonly #pages: Pages;
  /** blocks that must stay writable, see ThreadWords */
  readonly #exempt: ReadonlySet<number>;
  /** what was registered, in blocks */
  readonly #registered: RangeList = new RangeList();
  /** how far that has been unregistered, in addresses */
  #withdrawn = 0;
  /** whether the last release was refused */
  refused = false;
  /** how far what was armed has been looked through, and the pieces found there that are protected still */
  #looked = 0;
  readonly #leftFirsts: number[] = [];
  readonly #leftCounts: number[] = [];
  /** in pieces that end with a span, so that huge pages are released whole */
  readonly #left: RangeSink = {
    add: (first, count) => {
      for (let from = first; from < first + count; ) {
        const stop = Math.min(first + count, from - (from % SPAN_PAGES) + SPAN_PAGES);
        this.#leftFirsts.push(from);
        this.#leftCounts.push(stop - from);
        from = stop;
      }
    },
  };

  constructor(attached: Attachment, exempt: ReadonlySet<number>) {
    this.#userfaultfd = attached.userfaultfd;
    this.#witness = attached.witness;
    this.#mappings = attached.mappings;
    this.#pages = attached.pages;
    this.#exempt = exempt;
  }

  /**
   * Registers a mapping as a whole.
   *
   * @returns `changed` where the mapping is not what it was taken for: registering a part of one splits it, and a split
   * one can't be moved as a whole (mremap(2): EFAULT); `refused` where the kernel will not
   */
  register(start: number, end: number): 'registered' | 'changed' | 'refused' {
    if (!this.#isWhole(start, end)) return 'changed';
    const follows = this.#begins(end);
    const precedes = this.#ends(start);
    if (this.#userfaultfd.register(start, end - start) < 0) return 'refused';
    // It may have been joined to another in this moment: then the border is ours, and goes with the registration.
    const joined = (!follows && this.#begins(end)) || (!precedes && this.#ends(start));
    if (joined || !this.#forgetMarks(start, end)) {
      this.#userfaultfd.unregister(start, end - start);
      return 'changed';
    }
    this.#registered.add(start / PAGE_BYTES, (end - start) / PAGE_BYTES);
    return 'registered';
  }

  /**
   * Marks that have outlived an earlier registration say nothing: while a mapping is not registered, a write to a marked page
   * goes through, and leaves the page writable and marked (mm/memory.c, wp_page_reuse). Registered again, its mark
   * would be believed, and no write would trap. False when they could not be taken away.
   */
  #forgetMarks(start: number, end: number): boolean {
    let forgotten = true;
    this.#pages.protected(start, end, {
      add: (first, count) => {
        forgotten &&= this.#write(first, count, false) === 0;
      },
    });
    return forgotten;
  }

  /** Whether a range is one mapping. Taken for one where the kernel can't tell (before 6.11). */
  #isWhole(start: number, end: number): boolean {
    const result = this.#mappings.find(start);
    if (result < 0) return result === -ERRNO.ENOTTY;
    return this.#mappings.start === start && this.#mappings.end === end;
  }

  /** Whether a mapping begins at an address. */
  #begins(address: number): boolean {
    return this.#mappings.find(address) === 0 && this.#mappings.start === address;
  }

  #ends(address: number): boolean {
    return this.#mappings.find(address - PAGE_BYTES) === 0 && this.#mappings.end === address;
  }

  /**
   * Whether a mapping that holds pages is not registered, any more or yet. The marks of protection in its page table then
   * say nothing: they may have stayed, and writes do not trap.
   */
  isDropped(start: number, end: number): boolean {
    const result = this.#userfaultfd.contains(start, end - start);
    return result !== 0 && result !== -ERRNO.EAGAIN;
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
    for (let block = first; block < first + count; block++) if (!this.#witness.sees(block)) return false;
    return true;
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

  /** The same, whatever is not registered in between: the kernel ends at the first such page, and leaves out the rest. */
  protectStanding(first: number, count: number): number {
    const result = this.protect(first, count);
    if (result !== -ERRNO.ENOENT || count === 1) return result;
    const half = count >>> 1;
    return Math.min(this.protectStanding(first, half), this.protectStanding(first + half, count - half));
  }

  /**
   * Lifts protection and wakes who waits. False where nothing can be lifted, because somebody removes memory and waits
   * for the event to be read. Unregistering would lift it all the same, block by block, but a mapping that is split for a
   * moment can't be moved as a whole (see `register`), and that moment has come for targets that move memory often.
   */
  release(first: number, count: number): boolean {
    const result = this.#write(first, count, false);
    this.refused = result === -ERRNO.EAGAIN;
    if (this.refused) return false;
    if (result === 0 || result === -ERRNO.ESRCH) return true;
    if (count > 1) {
      const half = count >>> 1;
      return this.release(first, half) && this.release(first + half, count - half);
    }
    // -ENOENT: it is not mapped any more, or not registered. Who waits there goes on by being woken.
    this.#userfaultfd.wake(first * PAGE_BYTES, PAGE_BYTES);
    return true;
  }

  /**
   * Takes away the next piece of what is left; true when nothing is.
   *
   * What was armed is first looked through for pages that are protected still (there are some when the snapshot was given
   * up), which are released in pieces. Then each mapping is registered for missing pages instead of written ones, and
   * that is taken back: unregistering walks the page tables only for the latter, 25 ms a GiB in which nobody can fault,
   * and in pieces it splits the mapping.
   */
  disarmNext(armed: RangeList, pages: Pages, mappings: () => readonly Mapping[]): boolean {
    const last = this.#leftFirsts.length - 1;
    if (last >= 0) {
      if (this.release(this.#leftFirsts[last]!, this.#leftCounts[last]!)) {
        this.#leftFirsts.pop();
        this.#leftCounts.pop();
      }
      return false;
    }
    if (this.#lookAt(armed, pages)) return false;
    return !this.#withdrawNext(mappings);
  }

  /**
   * Unregisters the next mapping, as it is now: the target may have split, joined or unmapped it, and it may have been
   * joined to one that was unregistered before. What the target changes in this moment the close of the userfaultfd
   * takes. False when there is none left.
   */
  #withdrawNext(mappings: () => readonly Mapping[]): boolean {
    const index = this.#registered.indexOf(this.#withdrawn / PAGE_BYTES);
    if (index === this.#registered.length) return false;
    const from = Math.max(this.#withdrawn, this.#registered.firsts[index]! * PAGE_BYTES);
    const result = this.#mappings.findFrom(from);
    if (result === -ERRNO.ENOTTY) return this.#withdrawOld(mappings());
    if (result < 0) return false;
    const { start, end } = this.#mappings;
    this.#withdrawn = end;
    if (this.#isRegistered(start, end)) this.#withdraw(start, end);
    return true;
  }

  /** Where the kernel can't be asked for one mapping (before 6.11): all that there are, in one go. */
  #withdrawOld(mappings: readonly Mapping[]): false {
    for (const { start, end, inode } of mappings)
      if (inode === 0 && this.#isRegistered(start, end)) this.#withdraw(start, end);
    this.#withdrawn = Number.MAX_SAFE_INTEGER;
    return false;
  }

  #withdraw(start: number, end: number): void {
    this.#userfaultfd.register(start, end - start, UFFDIO_REGISTER_MODE_MISSING);
    this.#userfaultfd.unregister(start, end - start);
  }

  /** Whether any part of a mapping was. */
  #isRegistered(start: number, end: number): boolean {
    const index = this.#registered.indexOf(start / PAGE_BYTES);
    return index < this.#registered.length && this.#registered.firsts[index]! * PAGE_BYTES < end;
  }

  /** Looks through the next part of what was armed; false at its end. */
  #lookAt(armed: RangeList, pages: Pages): boolean {
    const index = armed.indexOf(this.#looked);
    if (index === armed.length) return false;
    const first = Math.max(this.#looked, armed.firsts[index]!);
    const end = Math.min(first + LOOK_PAGES, armed.firsts[index]! + armed.counts[index]!);
    pages.protected(first * PAGE_BYTES, end * PAGE_BYTES, this.#left);
    this.#looked = end;
    return true;
  }

  #exemptIn(first: number, count: number): number[] {
    const inside: number[] = [];
    for (const block of this.#exempt) if (block >= first && block < first + count) inside.push(block);
    return inside.sort((left, right) => left - right);
  }

  #write(first: number, count: number, on: boolean): number {
    return this.#userfaultfd.writeProtect(first * PAGE_BYTES, count * PAGE_BYTES, on);
  }
}
