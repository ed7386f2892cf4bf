/**
 * Virtual and physical addresses, as the document's Figures 5 and 6 have them. A virtual address is 64 bits wide
 * and is kept in two 32-bit halves, because this is the simulation's hottest path; a physical address is 41 bits
 * wide, of which the upper 28 are the number of an 8 KiB block.
 */

/** "pages of a given size (e.g., 8KB)" */
export const BLOCK_BYTES = 8192;
export const BLOCK_SHIFT = 13;
/** PA<40:13> */
export const PAGE_NUMBER_BITS = 28;

/** The Size field of a TTE: 8 KiB, 64 KiB, 512 KiB, 4 MiB. */
export type PageSize = 0 | 1 | 2 | 3;

/** How many 8 KiB blocks a page of each size is. */
export function blocksOf(size: PageSize): number {
  return 1 << (3 * size);
}

/** The bits of VA<31:0> that number the page; those below them are its offset. */
export function pageMask(size: number): number {
  return (-1 << (BLOCK_SHIFT + 3 * size)) >>> 0;
}

/**
 * Whether an address lies in one of the two halves: from 0000 0800 0000 0000 to FFFF F7FF FFFF FFFF, inclusive,
 * all are "out of range". So VA<63:43> must be all zeros or all ones. (The document's sentence says VA<63:44>,
 * which would allow 0000 0800 0000 0000; its range and the Manual's Figure 6-2 do not.)
 */
export function isLegal(vaHigh: number): boolean {
  const top = vaHigh >>> 11;
  return top === 0 || top === 0x1f_ffff;
}

/** VA<63:32> */
export function high(va: bigint): number {
  return Number((va >> 32n) & 0xffff_ffffn);
}

/** VA<31:0> */
export function low(va: bigint): number {
  return Number(va & 0xffff_ffffn);
}
