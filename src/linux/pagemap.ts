/**
 * What is behind each page of a process: /proc/PID/pagemap, its entries (Documentation/admin-guide/mm/pagemap.rst) and
 * its scan (6.7), which skips empty page tables.
 */

import { O_CLOEXEC, O_RDONLY, PAGEMAP_SCAN } from './abi.ts';
import { ERRNO } from './errno.ts';
import { check } from './failure.ts';
import { closeFile, openFile, readFileAt } from './file.ts';
import { pageRegion, pmScanArg } from './layouts.ts';
import { MappedMemory, type Memory } from './memory.ts';
import { errno, libc } from './native.ts';

const PAGE_BYTES = 4096;
const ENTRY_BYTES = 8;
const REGION_BYTES = pageRegion.sizeBytes;
const ARGUMENT_BYTES = 128;

/** Pagemap of one process, with room for the answers of one question at a time. */
export class Pagemap implements Disposable {
  readonly fd: number;
  readonly capacity: number;
  readonly #memory: MappedMemory;
  readonly #argument: Memory;
  readonly #vector: Memory;
  #next = 0;
  #end = 0;
  #closed = false;

  /**
   * @param capacity how many regions of a scan, or (three times as many) entries, come back at once
   * @throws LivecoreError SYSTEM_CALL: EACCES without the right to trace, ENOENT when there is no such process
   */
  constructor(pid: number | 'self', { capacity = 4096 }: { capacity?: number } = {}) {
    const path = `/proc/${pid}/pagemap`;
    this.fd = check(openFile(path, O_RDONLY | O_CLOEXEC), `open ${path}`, 'openat', { path });
    this.capacity = capacity;
    const vectorBytes = Math.ceil((capacity * REGION_BYTES) / 8) * 8;
    this.#memory = new MappedMemory(ARGUMENT_BYTES + vectorBytes, { populate: true });
    this.#argument = this.#memory.slice(0, ARGUMENT_BYTES);
    this.#vector = this.#memory.slice(ARGUMENT_BYTES, vectorBytes);
  }

  /**
   * Begins a scan for pages from `start` to `end`; {@link nextRegions} gives the results.
   *
   * A page matches when all categories of `all` hold (of those also in `inverted`: do not hold), and of `any`, where it
   * is not 0, at least one. `returned` are the categories told of each region; neighbours that agree in them are one.
   */
  scan(
    start: number,
    end: number,
    {
      all = 0,
      any = 0,
      inverted = 0,
      returned,
    }: { all?: number; any?: number; inverted?: number; returned: number },
  ): void {
    const argument = this.#argument;
    argument.setWord(pmScanArg.at.size, pmScanArg.sizeBytes);
    argument.setWord(pmScanArg.at.flags, 0);
    argument.setWord(pmScanArg.at.vec, this.#vector.address);
    argument.setWord(pmScanArg.at.vec_len, this.capacity);
    argument.setWord(pmScanArg.at.max_pages, 0);
    argument.setWord(pmScanArg.at.category_inverted, inverted);
    argument.setWord(pmScanArg.at.category_mask, all);
    argument.setWord(pmScanArg.at.category_anyof_mask, any);
    argument.setWord(pmScanArg.at.return_mask, returned);
    this.rescan(start, end);
  }

  /** Begins the scan of another range for what {@link scan} was asked last; allocates nothing. */
  rescan(start: number, end: number): void {
    this.#next = start;
    this.#end = end;
  }

  /**
   * Fetches the next regions of the scan, in order of address.
   *
   * @returns how many, 0 at the end, or a negative errno (-ENOTTY before 6.7)
   */
  nextRegions(): number {
    const argument = this.#argument;
    while (this.#next < this.#end) {
      argument.setWord(pmScanArg.at.start, this.#next);
      argument.setWord(pmScanArg.at.end, this.#end);
      argument.setWord(pmScanArg.at.walk_end, 0);
      const count = libc.ioctl(this.fd, PAGEMAP_SCAN, argument.address);
      if (count < 0) {
        const error = errno();
        if (error !== ERRNO.EINTR) return -error;
        continue;
      }
      this.#next = argument.word(pmScanArg.at.walk_end);
      if (count > 0) return count;
    }
    return 0;
  }

  /** First address of region `index`. */
  regionStart(index: number): number {
    return this.#vector.word(index * REGION_BYTES);
  }

  /** Address after region `index`. */
  regionEnd(index: number): number {
    return this.#vector.word(index * REGION_BYTES + 8);
  }

  /** PAGE_IS_* of region `index`, of those that were to be returned. */
  regionCategories(index: number): number {
    return this.#vector.uint32[(index * REGION_BYTES + 16) >>> 2]!;
  }

  /**
   * Reads entries of `count` pages from `address`, at most three times the capacity.
   *
   * @returns how many were read or a negative errno
   */
  readEntries(address: number, count: number): number {
    const wanted = Math.min(count * ENTRY_BYTES, this.#vector.length);
    const length = readFileAt(this.fd, this.#vector.address, wanted, (address / PAGE_BYTES) * ENTRY_BYTES);
    return length < 0 ? length : length / ENTRY_BYTES;
  }

  /** Page is in memory (bit 63). */
  isPresent(index: number): boolean {
    return (this.#vector.uint32[index * 2 + 1]! & ENTRY_PRESENT) !== 0;
  }

  /** Page is in swap, or a marker or migration entry stands for it (bit 62). */
  isSwapped(index: number): boolean {
    return (this.#vector.uint32[index * 2 + 1]! & ENTRY_SWAP) !== 0;
  }

  /** Page belongs to a file or is shared anonymous memory (bit 61); clear: the process' own copy. */
  isFile(index: number): boolean {
    return (this.#vector.uint32[index * 2 + 1]! & ENTRY_FILE) !== 0;
  }

  /** Page is write-protected by a userfaultfd (bit 57). */
  isProtected(index: number): boolean {
    return (this.#vector.uint32[index * 2 + 1]! & ENTRY_UFFD_WP) !== 0;
  }

  /** Page is mapped by this process alone (bit 56). */
  isExclusive(index: number): boolean {
    return (this.#vector.uint32[index * 2 + 1]! & ENTRY_EXCLUSIVE) !== 0;
  }

  /** The whole entry; the page frame or swap type and offset in it are 0 without CAP_SYS_ADMIN. */
  entry(index: number): bigint {
    return this.#vector.bigUint64[index]!;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFile(this.fd);
    this.#memory[Symbol.dispose]();
  }
}

// bits 63, 62, 61, 57, 56 of an entry, in its upper half
const ENTRY_PRESENT = 0x80000000;
const ENTRY_SWAP = 0x40000000;
const ENTRY_FILE = 0x20000000;
const ENTRY_UFFD_WP = 0x02000000;
const ENTRY_EXCLUSIVE = 0x01000000;
