import { type Content, Outcome } from '../../engine/machine.ts';
import { PAGE_IS_FILE, PAGE_IS_PRESENT, PAGE_IS_SWAPPED, PAGE_IS_WRITTEN } from '../../linux/abi.ts';
import { copyMemory, MappedMemory, type Memory } from '../../linux/memory.ts';
import { Pagemap } from '../../linux/pagemap.ts';
import { readMaps } from '../../linux/proc.ts';
import type { Mapping } from '../../linux/proc-maps.ts';
import type { ProcessMemory } from '../../linux/process-memory.ts';
import type { AddressSpace } from './address-space.ts';
import type { Attachment } from './attach.ts';
import { MappedFile } from './mapped-file.ts';
import { PAGE_BYTES } from './pages.ts';
import type { Protection } from './protection.ts';
import type { Region } from './regions.ts';

const POPULATED = PAGE_IS_PRESENT | PAGE_IS_SWAPPED;
/** no copy is larger: as many regions as pages of a huge page, and some */
const SCAN_CAPACITY = 1024;

/**
 * Copies pages of the target, and vouches for them.
 *
 * After T0 a page's content is that of T0 as long as its write-protection has stood since, and only we lift it. So a
 * page is looked at before it is read and again after, and between reading and the second look, its mapping: marked as
 * protected both times, in a mapping that is registered still, it was protected while it was read, whatever the
 * target did to its address space. What is not protected any more was destroyed, and is lost: it is never taken for
 * what stands there now.
 */
export class PageCopier implements Disposable {
  readonly #memory: ProcessMemory;
  readonly #space: AddressSpace;
  readonly #protection: Protection;
  readonly #staging: Memory;
  readonly #pagemap: Pagemap;
  readonly #ownPages: Pagemap;
  /** the pagemap entry of a marker, see `setMarker`; 0n where it can't be told from swap */
  readonly #marker: bigint;
  /** of each run of the last scan: first block, end, and 1 where its pages are in memory */
  readonly #before: Float64Array = new Float64Array(SCAN_CAPACITY * 3);
  /** of the region that is being copied: apart from the rest, or runs of two regions would be joined and not told apart */
  readonly #found: Outcome = new Outcome();
  readonly #scratch: MappedMemory;
  readonly #files = new Map<Region, MappedFile>();
  /** where this process has the vDSO: the same in all, and reading the target's would map it there */
  readonly #vdso: Mapping | undefined;
  /** inside the hold nothing can change, and everything readable is of T0 */
  held = false;

  constructor(attached: Attachment, protection: Protection) {
    using building = new DisposableStack();
    const { pid, memory, space, staging, marker } = attached;
    this.#memory = memory;
    this.#space = space;
    this.#protection = protection;
    this.#staging = staging;
    this.#marker = marker;
    this.#scratch = building.use(new MappedMemory(PAGE_BYTES, { populate: true }));
    this.#pagemap = building.use(new Pagemap(pid, { capacity: SCAN_CAPACITY }));
    this.#pagemap.scan(0, 0, {
      all: PAGE_IS_WRITTEN,
      inverted: PAGE_IS_WRITTEN,
      any: POPULATED,
      returned: POPULATED,
    });
    this.#ownPages = building.use(new Pagemap(pid, { capacity: SCAN_CAPACITY }));
    this.#ownPages.scan(0, 0, { all: PAGE_IS_FILE, inverted: PAGE_IS_FILE, any: POPULATED, returned: 0 });
    this.#vdso = readMaps('self').find(({ name }) => name === '[vdso]');
    building.move();
  }

  /** As Machine.copy, to `offset` of the staging memory. */
  copy(first: number, count: number, offset: number, outcome: Outcome): void {
    const to = this.#staging.address + offset;
    if (this.held) this.#copyHeld(first, count, to, outcome);
    else if (count === 1 && this.#space.regionAt(first * PAGE_BYTES)?.handling === 'protected')
      outcome.add(first, 1, this.#copyOne(first, to));
    else this.#copyByRegion(first, count, to, outcome);
  }

  /** Reads a page as in the hold, to nowhere. */
  rehearse(block: number): void {
    this.#found.clear();
    this.#copyHeld(block, 1, this.#scratch.address, this.#found);
  }

  /** Opens the files that are mapped, before T0, so that nothing is opened while writers may wait. */
  openFiles(pid: number): void {
    for (const region of this.#space.regions) {
      const { mapping, handling } = region;
      if (handling === 'protected' || handling === 'excluded' || this.#files.has(region)) continue;
      const file = new MappedFile(pid, mapping);
      if (file.opened) this.#files.set(region, file);
    }
  }

  [Symbol.dispose](): void {
    for (const file of this.#files.values()) file[Symbol.dispose]();
    this.#files.clear();
    this.#scratch[Symbol.dispose]();
    this.#pagemap[Symbol.dispose]();
    this.#ownPages[Symbol.dispose]();
  }

  #copyHeld(first: number, count: number, to: number, outcome: Outcome): void {
    let done = 0;
    while (done < count) {
      const bytes = this.#memory.read(
        (first + done) * PAGE_BYTES,
        to + done * PAGE_BYTES,
        (count - done) * PAGE_BYTES,
      );
      const whole = bytes < 0 ? 0 : Math.floor(bytes / PAGE_BYTES);
      outcome.add(first + done, whole, 'content');
      done += whole;
      if (done < count) outcome.add(first + done++, 1, this.#missing(first + done - 1));
    }
  }

  /** Runs of blocks are mostly of one region; where they are not, they are copied region by region. */
  #copyByRegion(first: number, count: number, to: number, outcome: Outcome): void {
    const end = first + count;
    for (let block = first; block < end; ) {
      const region = this.#space.regionAt(block * PAGE_BYTES);
      const stop = region === undefined ? block + 1 : Math.min(end, region.mapping.end / PAGE_BYTES);
      const at = to + (block - first) * PAGE_BYTES;
      if (region === undefined) outcome.add(block, 1, 'absent');
      else if (region.handling === 'protected') this.#copyProtected(block, stop - block, at, outcome);
      else if (region.handling === 'shared') this.#copyShared(region, block, stop - block, at, outcome);
      else this.#copyFile(region, block, stop - block, at, outcome);
      block = stop;
    }
  }

  #copyOne(block: number, to: number): Content {
    const address = block * PAGE_BYTES;
    const pagemap = this.#pagemap;
    if (pagemap.readEntries(address, 1) !== 1 || !pagemap.isProtected(0)) return 'lost';
    const content = !pagemap.isPresent(0) && this.#isMarker(0) ? 'zero' : 'content';
    if (content === 'content' && this.#memory.read(address, to, PAGE_BYTES) !== PAGE_BYTES) return 'lost';
    return this.#standsProtected(block) ? content : 'lost';
  }

  #copyProtected(first: number, count: number, to: number, outcome: Outcome): void {
    const runs = this.#scan(first, count);
    const before = this.#before;
    const found = this.#found;
    found.clear();
    let block = first;
    for (let run = 0; run < runs; run++) {
      const runFirst = before[run * 3]!;
      const runEnd = before[run * 3 + 1]!;
      found.add(block, runFirst - block, 'lost');
      const at = to + (runFirst - first) * PAGE_BYTES;
      if (before[run * 3 + 2] === 1) this.#read(runFirst, runEnd - runFirst, at, found);
      else this.#copySwapped(runFirst, runEnd - runFirst, at, found);
      block = runEnd;
    }
    found.add(block, first + count - block, 'lost');
    const vouched =
      runs === 0 || (this.#protection.stands(first, count) && this.#unchanged(first, count, runs));
    for (let run = 0; run < found.length; run++) {
      const { firsts, counts, contents } = found;
      if (vouched) outcome.add(firsts[run]!, counts[run]!, contents[run]!);
      else this.#addEach(firsts[run]!, counts[run]!, contents[run]!, outcome);
    }
  }

  /** As it is now. The mapping first: a mark that is seen after it was of that mapping. */
  #standsProtected(block: number): boolean {
    const pagemap = this.#pagemap;
    if (!this.#protection.stands(block, 1)) return false;
    return pagemap.readEntries(block * PAGE_BYTES, 1) === 1 && pagemap.isProtected(0);
  }

  /** Scans for what is populated and protected; the runs, as blocks, are in `#before`. */
  #scan(first: number, count: number): number {
    const pagemap = this.#pagemap;
    pagemap.rescan(first * PAGE_BYTES, (first + count) * PAGE_BYTES);
    const runs = Math.max(0, pagemap.nextRegions());
    for (let run = 0; run < runs; run++) {
      this.#before[run * 3] = pagemap.regionStart(run) / PAGE_BYTES;
      this.#before[run * 3 + 1] = pagemap.regionEnd(run) / PAGE_BYTES;
      this.#before[run * 3 + 2] = (pagemap.regionCategories(run) & PAGE_IS_PRESENT) === 0 ? 0 : 1;
    }
    return runs;
  }

  /** Whether everything that was protected before the reading still is. */
  #unchanged(first: number, count: number, runs: number): boolean {
    const pagemap = this.#pagemap;
    pagemap.rescan(first * PAGE_BYTES, (first + count) * PAGE_BYTES);
    if (Math.max(0, pagemap.nextRegions()) !== runs) return false;
    for (let run = 0; run < runs; run++) {
      if (pagemap.regionStart(run) / PAGE_BYTES !== this.#before[run * 3]) return false;
      if (pagemap.regionEnd(run) / PAGE_BYTES !== this.#before[run * 3 + 1]) return false;
    }
    return true;
  }

  /** Something changed while we read, or is not one mapping any more: looks at each block that was taken for content. */
  #addEach(first: number, count: number, content: Content, outcome: Outcome): void {
    for (let block = first; block < first + count; block++) {
      const kept = content !== 'lost' && this.#standsProtected(block);
      outcome.add(block, 1, kept ? content : 'lost');
    }
  }

  #read(first: number, count: number, to: number, outcome: Outcome): void {
    const bytes = this.#memory.read(first * PAGE_BYTES, to, count * PAGE_BYTES);
    const whole = bytes < 0 ? 0 : Math.floor(bytes / PAGE_BYTES);
    outcome.add(first, whole, 'content');
    outcome.add(first + whole, count - whole, 'lost');
  }

  /**
   * Pages that are not in memory: in swap, or never there with only a marker of the protection in their place. A
   * marker's content is zeros; reading it would give the target a page.
   */
  #copySwapped(first: number, count: number, to: number, outcome: Outcome): void {
    const read = this.#pagemap.readEntries(first * PAGE_BYTES, count);
    for (let index = 0; index < count; index++) {
      if (index < read && this.#isMarker(index)) {
        outcome.add(first + index, 1, 'zero');
        continue;
      }
      const bytes = this.#memory.read((first + index) * PAGE_BYTES, to + index * PAGE_BYTES, PAGE_BYTES);
      outcome.add(first + index, 1, bytes === PAGE_BYTES ? 'content' : 'lost');
    }
  }

  #isMarker(index: number): boolean {
    // bits 55 and 56, soft-dirty and exclusive, say nothing about markers
    return this.#marker !== 0n && (this.#pagemap.entry(index) & ~(3n << 55n)) === this.#marker;
  }

  /** The file's own content, from the file: reading it through the target would map it there. */
  #copyFile(region: Region, first: number, count: number, to: number, outcome: Outcome): void {
    if (this.#copyFromFile(region, first, count, to)) {
      outcome.add(first, count, 'content');
      return;
    }
    const found = this.#found;
    found.clear();
    this.#read(first, count, to, found);
    // Without the file at hand: what has become the process' own since T0 is not what the file had.
    this.#ownPages.rescan(first * PAGE_BYTES, (first + count) * PAGE_BYTES);
    const changed = this.#ownPages.nextRegions() !== 0;
    for (let run = 0; run < found.length; run++)
      outcome.add(found.firsts[run]!, found.counts[run]!, changed ? 'lost' : found.contents[run]!);
  }

  #copyShared(region: Region, first: number, count: number, to: number, outcome: Outcome): void {
    if (this.#copyFromFile(region, first, count, to)) {
      outcome.add(first, count, 'unreliable');
      return;
    }
    const bytes = this.#memory.read(first * PAGE_BYTES, to, count * PAGE_BYTES);
    const whole = bytes < 0 ? 0 : Math.floor(bytes / PAGE_BYTES);
    outcome.add(first, whole, 'unreliable');
    outcome.add(first + whole, count - whole, 'lost');
  }

  #copyFromFile(region: Region, first: number, count: number, to: number): boolean {
    const length = count * PAGE_BYTES;
    const address = first * PAGE_BYTES;
    if (region.mapping.name === '[vdso]') return this.#copyVdso(region.mapping, address, to, length);
    const file = this.#files.get(region);
    if (file === undefined) return false;
    const done = file.read(address, to, length);
    // The last page of a file is zeros past its end (mmap(2)); whole pages past the end can't be read at all.
    const whole = Math.ceil(done / PAGE_BYTES) * PAGE_BYTES;
    if (whole > done)
      this.#staging.bytes.fill(0, to - this.#staging.address + done, to - this.#staging.address + whole);
    return whole === length;
  }

  #copyVdso(mapping: Mapping, address: number, to: number, length: number): boolean {
    const own = this.#vdso;
    if (own === undefined || own.end - own.start !== mapping.end - mapping.start) return false;
    copyMemory(to, own.start + (address - mapping.start), length);
    return true;
  }

  #missing(block: number): Content {
    return this.#space.regionAt(block * PAGE_BYTES) === undefined ? 'absent' : 'lost';
  }
}
