import { PAGE_IS_FILE, PAGE_IS_PRESENT, PAGE_IS_SWAPPED } from '../../linux/abi.ts';
import { check } from '../../linux/failure.ts';
import type { Pagemap } from '../../linux/pagemap.ts';
import { ProcFile } from '../../linux/proc-file.ts';
import { type Mapping, parseMaps } from '../../linux/proc-maps.ts';
import { classify, type Region, type Rules } from './regions.ts';

const MAPS_BYTES = 256 * 1024;

/**
 * The mappings of the target, as regions, read again and again. The text of /proc/PID/maps is compared before it is
 * parsed: inside the hold it is mostly what it was, and then nothing else has to be done.
 */
export class AddressSpace implements Disposable {
  readonly #pid: number;
  readonly #rules: Rules;
  #text: ProcFile;
  #other: ProcFile;
  #regions: readonly Region[] = [];
  #known = new Map<string, Region>();

  constructor(pid: number, pagemap: Pagemap, rules: Omit<Rules, 'modified'>) {
    using building = new DisposableStack();
    this.#pid = pid;
    this.#rules = { ...rules, modified: (mapping) => mapping.write || hasOwnPages(pagemap, mapping) };
    this.#text = building.use(new ProcFile(`/proc/${pid}/maps`, { capacityBytes: MAPS_BYTES }));
    this.#other = building.use(new ProcFile(`/proc/${pid}/maps`, { capacityBytes: MAPS_BYTES }));
    building.move();
  }

  /** All regions as of the last refresh, ordered by address. */
  get regions(): readonly Region[] {
    return this.#regions;
  }

  /** Reads the mappings anew; false when nothing has changed. A region that has not changed stays the same object. */
  refresh(): boolean {
    check(this.#other.read(), `read the mappings of ${this.#pid}`, 'pread', { pid: this.#pid });
    if (this.#regions.length > 0 && this.#other.equals(this.#text)) return false;
    [this.#text, this.#other] = [this.#other, this.#text];
    const before = this.#known;
    const known = new Map<string, Region>();
    this.#regions = ordered(parseMaps(this.#text.bytes, this.#text.length)).map((mapping) => {
      const key = keyOf(mapping);
      const region = before.get(key) ?? classify(mapping, this.#rules);
      known.set(key, region);
      return region;
    });
    this.#known = known;
    return true;
  }

  /** The region that holds an address, if any. */
  regionAt(address: number): Region | undefined {
    let low = 0;
    let high = this.#regions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#regions[middle]!.mapping.end <= address) low = middle + 1;
      else high = middle;
    }
    const region = this.#regions[low];
    return region !== undefined && region.mapping.start <= address ? region : undefined;
  }

  [Symbol.dispose](): void {
    this.#text[Symbol.dispose]();
    this.#other[Symbol.dispose]();
  }
}

/**
 * The kernel gives a long list in pieces (proc_pid_maps(5)), and between two of them a process that runs may have put
 * another mapping where one was told of already. The first one counts; what is true is seen in the hold.
 */
function ordered(mappings: readonly Mapping[]): Mapping[] {
  let end = 0;
  return mappings.filter((mapping) => {
    if (mapping.start < end) return false;
    end = mapping.end;
    return true;
  });
}

function keyOf(mapping: Mapping): string {
  const { start, end, read, write, execute, shared, offset, inode, name } = mapping;
  return `${start} ${end} ${read}${write}${execute}${shared} ${offset} ${inode} ${name}`;
}

/** Whether a private mapping of a file holds pages that the process wrote ("own copy": bit 61 of pagemap clear). */
function hasOwnPages(pagemap: Pagemap, mapping: Mapping): boolean {
  pagemap.scan(mapping.start, mapping.end, {
    all: PAGE_IS_FILE,
    inverted: PAGE_IS_FILE,
    any: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
    returned: PAGE_IS_PRESENT,
  });
  return pagemap.nextRegions() > 0;
}
