/**
 * Where each byte of memory stands in a core file. The file is: one page with the ELF header, the memory that has
 * content, and the tail (headers.ts). So the place of a block is known at T0, before anything else is.
 */
import { hex } from '../../bytes/hex.ts';
import { LivecoreError } from '../../errors.ts';
import { PAGE_BYTES } from './elf.ts';

/** One mapping of the process at T0. */
export interface CoreSegment {
  /** first address, a multiple of 4096 */
  readonly start: bigint;
  /** address past the end, a multiple of 4096 */
  readonly end: bigint;
  /** PF_R | PF_W | PF_X */
  readonly flags: number;
  /** the file holds its content; if not, debuggers take it from the file that is mapped there, if any is */
  readonly stored: boolean;
}

/**
 * Lays out a core file.
 *
 * @param segments ordered by address, not overlapping
 * @example
 * const layout = layoutCore(segments);
 * file.write(block, layout.fileOffset(address)); // any order, any length up to layout.contiguousBytes(address)
 * const tail = coreTail(layout, content, missing);
 * file.write(tail.bytes, layout.tailOffset);
 * file.write(coreHead(layout, tail), 0);
 */
export function layoutCore(segments: readonly CoreSegment[]): CoreLayout {
  return new CoreLayout(segments);
}

/**
 * The map from address to file offset. Addresses are numbers here, exact for every page of x86-64. What follows
 * each other in memory follows each other in the file, also across segments. Its methods allocate nothing.
 */
export class CoreLayout {
  readonly segments: readonly CoreSegment[];
  /** where the tail begins: a multiple of 4096; up to here the file is head and memory */
  readonly tailOffset: number;
  // runs of touching stored segments
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  readonly #offsets: Float64Array;
  #last = 0;

  constructor(segments: readonly CoreSegment[]) {
    this.segments = segments;
    const starts: number[] = [];
    const ends: number[] = [];
    const offsets: number[] = [];
    let offset = PAGE_BYTES;
    let before = 0;
    for (const segment of segments) {
      // numbers from here on: a writer may be waiting, and bigints take twice the time
      const start = Number(segment.start);
      const end = Number(segment.end);
      if (start % PAGE_BYTES !== 0 || end % PAGE_BYTES !== 0 || start < before || end <= start)
        throw misplaced(segment);
      before = end;
      if (!segment.stored) continue;
      const last = ends.length - 1;
      if (last >= 0 && ends[last] === start) ends[last] = end;
      else {
        starts.push(start);
        ends.push(end);
        offsets.push(offset);
      }
      offset += end - start;
    }
    this.tailOffset = offset;
    this.#starts = Float64Array.from(starts);
    this.#ends = Float64Array.from(ends);
    this.#offsets = Float64Array.from(offsets);
  }

  /** The file offset of a byte of memory, or -1 where no segment stores it. */
  fileOffset(address: number): number {
    const run = this.#find(address);
    return run < 0 ? -1 : this.#offsets[run]! + (address - this.#starts[run]!);
  }

  /** How many bytes from `address` on stand in one piece of the file; 0 where no segment stores it. */
  contiguousBytes(address: number): number {
    const run = this.#find(address);
    return run < 0 ? 0 : this.#ends[run]! - address;
  }

  /** The file offset of the first byte that is stored at `address` or after it; `tailOffset` where there is none. */
  fileOffsetFrom(address: number): number {
    const run = this.#search(address);
    if (run === this.#starts.length) return this.tailOffset;
    return this.#offsets[run]! + Math.max(0, address - this.#starts[run]!);
  }

  /** The run of stored segments that holds an address, or -1. The sweep asks for the same one again and again. */
  #find(address: number): number {
    const last = this.#last;
    if (address >= this.#starts[last]! && address < this.#ends[last]!) return last;
    const run = this.#search(address);
    if (run === this.#starts.length || this.#starts[run]! > address) return -1;
    this.#last = run;
    return run;
  }

  /** The first run that ends after an address; as many as there are runs where none does. */
  #search(address: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ends[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function misplaced({ start, end }: CoreSegment): LivecoreError {
  const range = `${hex(start)}-${hex(end)}`;
  return new LivecoreError(
    'INVARIANT',
    `laying out a core: segment ${range} is empty, unaligned or out of order`,
    {
      address: start,
    },
  );
}
