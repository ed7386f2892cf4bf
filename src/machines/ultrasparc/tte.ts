import type { PageSize } from './address.ts';

/**
 * The Translation Table Entry of Figure 8, in its two 64-bit words, each as two halves of 32 bits. Bit positions:
 * UltraSPARC I & II User's Manual, section 6.2, Figure 6-3.
 *
 * ```
 * tag   63 G  62:61 -  60:48 Context  47:42 -  41:0 VA-tag<63:22>
 * data  63 V  62:61 Size  60 NFO  59 IE  58:50 Soft2  49:41 Diag  40:13 PA<40:13>  12:7 Soft
 *       6 L  5 CP  4 CV  3 E  2 P  1 W  0 G
 * ```
 */
export interface Tte {
  /** may be shared by all contexts; stands in both words */
  readonly global: boolean;
  /** 13 bits */
  readonly context: number;
  /** VA<63:22>: 42 bits */
  readonly vaTag: bigint;
  readonly valid: boolean;
  readonly size: PageSize;
  readonly noFaultOnly: boolean;
  readonly invertEndianness: boolean;
  /** 9 bits, the operating system's */
  readonly soft2: number;
  /** 9 bits; Diag<0> is the TLB's Used bit */
  readonly diag: number;
  /** PA<40:13>: 28 bits */
  readonly pageNumber: number;
  /** 6 bits, the operating system's; here Soft<0> keeps W while a snapshot has it cleared, Soft<1> is a lock */
  readonly soft: number;
  readonly locked: boolean;
  readonly cacheablePhysical: boolean;
  readonly cacheableVirtual: boolean;
  readonly sideEffect: boolean;
  readonly privileged: boolean;
  readonly writable: boolean;
}

/** The four halves of a packed entry. */
export type PackedTte = readonly [tagHigh: number, tagLow: number, dataHigh: number, dataLow: number];

// data word, upper half
export const V: number = 0x8000_0000;
export const SIZE_SHIFT = 29;
export const NFO: number = 1 << 28;
export const IE: number = 1 << 27;
const SOFT2_SHIFT = 18;
const DIAG_SHIFT = 9;
/** Diag<0> */
export const USED: number = 1 << DIAG_SHIFT;
// data word, lower half
const SOFT_SHIFT = 7;
/** Soft<0>: the page was writable before the snapshot program cleared W, and will be again */
export const SAVED_W: number = 1 << SOFT_SHIFT;
/** Soft<1>: the entry is being taken apart or put together; the miss handler waits for it */
export const BUSY: number = 2 << SOFT_SHIFT;
export const L: number = 1 << 6;
export const CP: number = 1 << 5;
export const CV: number = 1 << 4;
export const E: number = 1 << 3;
export const P: number = 1 << 2;
export const W: number = 1 << 1;
export const G = 1;

/** PA<40:13> of a data word. */
export function pageNumberOf(dataHigh: number, dataLow: number): number {
  return (dataHigh & 0x1ff) * 0x8_0000 + (dataLow >>> 13);
}

/** The Size field of the upper half of a data word. */
export function sizeOf(dataHigh: number): PageSize {
  return ((dataHigh >>> SIZE_SHIFT) & 3) as PageSize;
}

/** Packs an entry into its two words. */
export function pack(tte: Tte): PackedTte {
  const bit = (set: boolean, mask: number): number => (set ? mask : 0);
  const tagHigh = bit(tte.global, V) | ((tte.context & 0x1fff) << 16) | Number((tte.vaTag >> 32n) & 0x3ffn);
  const dataHigh =
    bit(tte.valid, V) |
    (tte.size << SIZE_SHIFT) |
    bit(tte.noFaultOnly, NFO) |
    bit(tte.invertEndianness, IE) |
    ((tte.soft2 & 0x1ff) << SOFT2_SHIFT) |
    ((tte.diag & 0x1ff) << DIAG_SHIFT) |
    Math.floor(tte.pageNumber / 0x8_0000);
  const dataLow =
    ((tte.pageNumber & 0x7_ffff) << 13) |
    ((tte.soft & 0x3f) << SOFT_SHIFT) |
    bit(tte.locked, L) |
    bit(tte.cacheablePhysical, CP) |
    bit(tte.cacheableVirtual, CV) |
    bit(tte.sideEffect, E) |
    bit(tte.privileged, P) |
    bit(tte.writable, W) |
    bit(tte.global, G);
  return [tagHigh >>> 0, Number(tte.vaTag & 0xffff_ffffn), dataHigh >>> 0, dataLow >>> 0];
}

/** Reads an entry out of its two words. */
export function unpack([tagHigh, tagLow, dataHigh, dataLow]: PackedTte): Tte {
  return {
    global: (tagHigh & V) !== 0,
    context: (tagHigh >>> 16) & 0x1fff,
    vaTag: (BigInt(tagHigh & 0x3ff) << 32n) | BigInt(tagLow),
    valid: (dataHigh & V) !== 0,
    size: sizeOf(dataHigh),
    noFaultOnly: (dataHigh & NFO) !== 0,
    invertEndianness: (dataHigh & IE) !== 0,
    soft2: (dataHigh >>> SOFT2_SHIFT) & 0x1ff,
    diag: (dataHigh >>> DIAG_SHIFT) & 0x1ff,
    pageNumber: pageNumberOf(dataHigh, dataLow),
    soft: (dataLow >>> SOFT_SHIFT) & 0x3f,
    locked: (dataLow & L) !== 0,
    cacheablePhysical: (dataLow & CP) !== 0,
    cacheableVirtual: (dataLow & CV) !== 0,
    sideEffect: (dataLow & E) !== 0,
    privileged: (dataLow & P) !== 0,
    writable: (dataLow & W) !== 0,
  };
}
