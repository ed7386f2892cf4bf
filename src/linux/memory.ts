/**
 * Memory outside the JavaScript heap, for what the kernel reads and writes.
 *
 * An address taken from a JavaScript buffer does not keep that buffer alive, and the collector may move or free it; a
 * mapping stays where it is until it is disposed of. Whoever uses an address or a view must hold the mapping.
 */

import { MAP_ANONYMOUS, MAP_POPULATE, MAP_PRIVATE, PROT_READ, PROT_WRITE } from './abi.ts';
import { check, failure } from './failure.ts';
import { errno, libc, viewMemory } from './native.ts';

const PAGE_BYTES = 4096;

/** A range of mapped memory by address and as typed arrays over the same bytes. */
export class Memory {
  readonly address: number;
  readonly length: number;
  readonly bytes: Uint8Array;
  readonly int32: Int32Array;
  readonly uint32: Uint32Array;
  readonly float64: Float64Array;
  readonly bigUint64: BigUint64Array;
  readonly view: DataView;
  readonly #buffer: ArrayBuffer;
  readonly #offset: number;

  /** @param offset position of the range in `buffer`, a multiple of 8, as is `length` */
  constructor(address: number, buffer: ArrayBuffer, offset: number, length: number) {
    this.address = address;
    this.length = length;
    this.#buffer = buffer;
    this.#offset = offset;
    this.bytes = new Uint8Array(buffer, offset, length);
    this.int32 = new Int32Array(buffer, offset, length >>> 2);
    this.uint32 = new Uint32Array(buffer, offset, length >>> 2);
    this.float64 = new Float64Array(buffer, offset, length >>> 3);
    this.bigUint64 = new BigUint64Array(buffer, offset, length >>> 3);
    this.view = new DataView(buffer, offset, length);
  }

  /** Part of this memory; valid as long as the whole is. Offset and length are multiples of 8. */
  slice(offset: number, length: number): Memory {
    if (offset % 8 !== 0 || offset + length > this.length) throw new RangeError(`slice ${offset}+${length}`);
    return new Memory(this.address + offset, this.#buffer, this.#offset + offset, length);
  }

  /** Reads 64 bits at a byte offset (multiple of 4) as a number, exact up to 2^53, without making a BigInt. */
  word(offset: number): number {
    const index = offset >>> 2;
    return this.uint32[index + 1]! * 4294967296 + this.uint32[index]!;
  }

  /** Writes a number from 0 to 2^53 as 64 bits at a byte offset (multiple of 4), without making a BigInt. */
  setWord(offset: number, value: number): void {
    const index = offset >>> 2;
    this.uint32[index] = value;
    this.uint32[index + 1] = value / 4294967296;
  }
}

/** Anonymous memory of our own, given back when disposed of. Its length is rounded up to whole pages. */
export class MappedMemory extends Memory implements Disposable {
  #mapped = true;

  /** @param populate touch every page now, so that none is faulted in later */
  constructor(lengthBytes: number, { populate = false }: { populate?: boolean } = {}) {
    const length = Math.ceil(lengthBytes / PAGE_BYTES) * PAGE_BYTES;
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | (populate ? MAP_POPULATE : 0);
    const address = libc.mmap(0, length, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (address === -1) throw failure(`map ${length} bytes`, 'mmap', -errno(), { length });
    super(address, viewMemory(address, length), 0, length);
  }

  /** Unmaps. No view of the memory may be touched afterwards: that is a crash, not an error. */
  [Symbol.dispose](): void {
    if (!this.#mapped) return;
    this.#mapped = false;
    check(libc.munmap(this.address, this.length) < 0 ? -errno() : 0, 'unmap', 'munmap');
  }
}

const ARENA_BYTES = 64 * 1024;
let arena: Memory | undefined;
let arenaUsed = 0;

/**
 * Memory for the argument structs of a wrapper, allocated once and kept for the life of the process. Pages are
 * populated and locked when this process locks its memory.
 */
export function scratch(lengthBytes: number): Memory {
  const length = Math.ceil(lengthBytes / 64) * 64;
  if (length > ARENA_BYTES / 4) return new MappedMemory(length, { populate: true });
  if (arena === undefined || arenaUsed + length > ARENA_BYTES) {
    arena = new MappedMemory(ARENA_BYTES, { populate: true });
    arenaUsed = 0;
  }
  const memory = arena.slice(arenaUsed, length);
  arenaUsed += length;
  return memory;
}

/** Whether two ranges of our memory hold the same bytes. */
export function equalMemory(left: number, right: number, length: number): boolean {
  return libc.memcmp(left, right, length) === 0;
}

/** Copies between ranges of our memory that do not overlap. */
export function copyMemory(to: number, from: number, length: number): void {
  libc.memcpy(to, from, length);
}

let zeroPage = 0;

/** Whether `length` bytes of our memory are all zero. Stops at the first that is not. */
export function isZero(address: number, length: number): boolean {
  if (zeroPage === 0) zeroPage = scratch(PAGE_BYTES).address;
  if (length <= PAGE_BYTES) return libc.memcmp(address, zeroPage, length) === 0;
  // what equals itself one page on and begins with a zero page is zero throughout
  if (libc.memcmp(address, zeroPage, PAGE_BYTES) !== 0) return false;
  return libc.memcmp(address, address + PAGE_BYTES, length - PAGE_BYTES) === 0;
}
