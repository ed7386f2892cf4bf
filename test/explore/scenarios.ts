import type { Shape } from '../../src/machines/ultrasparc/shape.ts';

// Blocks: 0 and 1 the kernel's tables, 2 kernel, 3 copy map, 4 application, 5 DMA buffer. Main memory starts at block
// 30, so that the copy map's bits lie in two words.
const APPLICATION = 0x2000n;
const ALIAS = 0x80_0000n;
const KERNEL = 0x6000n;
const READ_ONLY = 0x4000n;

/**
 * The small machine: 6 blocks, 2 processors with 3 accesses each, 1 DMA transfer, an alias (block 4 in two contexts),
 * 1 context switch.
 */
export const SMALL: Shape = {
  blocks: 6,
  firstBlock: 30,
  wordsPerBlock: 16,
  kernelBlocks: 3,
  tlbEntries: 3,
  tsbEntries: 4,
  lineWords: 2,
  storeBufferEntries: 2,
  pages: [
    { va: APPLICATION, block: 4, context: 1 },
    { va: ALIAS, block: 4, context: 2 },
    { va: KERNEL, block: 2, global: true, privileged: true, locked: true },
    { va: READ_ONLY, block: 4, context: 1, writable: false },
  ],
  programs: [
    {
      context: 1,
      instructions: [
        { kind: 'store', va: APPLICATION, value: 0xa1 },
        { kind: 'load', va: APPLICATION + 4n },
        { kind: 'swap', va: APPLICATION, value: 0xa2 },
      ],
    },
    {
      context: 2,
      supervisor: true,
      instructions: [
        { kind: 'store', va: ALIAS + 4n, value: 0xb1 },
        { kind: 'store', va: KERNEL, value: 0xb2 },
        { kind: 'switch', context: 1 },
        { kind: 'load', va: APPLICATION },
      ],
    },
  ],
  devices: [{ transfers: [{ block: 5, word: 0, value: 0xd1 }] }],
};

const LARGE_PAGE = 0x1_0000n;
const PIECE = 0x2000n;

/**
 * The machine with a large page: 11 blocks, 8 of them one 64 KiB page, of which one has an alias of 8 KiB and one is
 * a DMA buffer. Blocks: 29 and 30 tables, 31 copy map, 32 to 39 the large page.
 */
export const LARGE: Shape = {
  blocks: 11,
  firstBlock: 29,
  wordsPerBlock: 36,
  tlbEntries: 3,
  tsbEntries: 8,
  lineWords: 2,
  storeBufferEntries: 2,
  pages: [
    { va: LARGE_PAGE, block: 3, context: 1, size: 1 },
    { va: ALIAS, block: 4, context: 2 },
  ],
  programs: [
    {
      context: 1,
      instructions: [
        { kind: 'store', va: LARGE_PAGE, value: 0xa1 },
        { kind: 'store', va: LARGE_PAGE + PIECE, value: 0xa2 },
        { kind: 'load', va: LARGE_PAGE + 2n * PIECE },
      ],
    },
    {
      context: 2,
      instructions: [
        { kind: 'block-store', va: ALIAS + 8n, value: 0xb1 },
        { kind: 'switch', context: 1 },
        { kind: 'load', va: LARGE_PAGE + PIECE },
        { kind: 'fetch', va: LARGE_PAGE },
      ],
    },
  ],
  devices: [{ transfers: [{ block: 10, word: 0, value: 0xd1 }] }],
};

/** What Linux does oddly, on the small machine: memory goes away, told and untold, and a store made in the kernel. */
export const ODD: Shape = {
  ...SMALL,
  programs: [
    {
      context: 1,
      instructions: [
        { kind: 'store', va: APPLICATION, value: 0xa1, inKernel: true },
        { kind: 'remove', va: APPLICATION },
      ],
    },
    {
      context: 2,
      supervisor: true,
      instructions: [
        { kind: 'store', va: KERNEL, value: 0xb2 },
        { kind: 'destroy', va: KERNEL },
      ],
    },
  ],
};

/** Memory that is destroyed untold through one page, and removed and written through another. */
export const ODD_ALIAS: Shape = {
  ...SMALL,
  programs: [
    {
      context: 1,
      instructions: [
        { kind: 'store', va: APPLICATION, value: 0xa1 },
        { kind: 'remove', va: APPLICATION },
      ],
    },
    { context: 2, instructions: [{ kind: 'destroy', va: ALIAS }] },
  ],
};

/** Each process has its own TSB, and a page that both use may stand in both. */
export const OWN_TSBS: Shape = { ...SMALL, kernelBlocks: 3, tsb: 'per-process', wordsPerBlock: 24 };

/** One processor that uses two pieces of a large page. */
export const ONE_LARGE: Shape = {
  ...LARGE,
  programs: [{ context: 1, instructions: LARGE.programs[0]!.instructions.slice(0, 2) }],
};

/** Instructions that are fetched from two pieces of a large page, and a process that switches into its context to load. */
export const FETCHES: Shape = {
  ...LARGE,
  programs: [
    {
      context: 1,
      instructions: [
        { kind: 'fetch', va: LARGE_PAGE },
        { kind: 'fetch', va: LARGE_PAGE + PIECE },
      ],
    },
    {
      context: 2,
      instructions: [
        { kind: 'switch', context: 1 },
        { kind: 'load', va: LARGE_PAGE + 2n * PIECE },
      ],
    },
  ],
};

/** One processor finds in the TSB what the other has put there. */
export const SHARED_TSB: Shape = {
  ...SMALL,
  programs: [
    { context: 1, instructions: [{ kind: 'store', va: APPLICATION, value: 0xa1 }] },
    { context: 1, instructions: [{ kind: 'load', va: APPLICATION + 4n }] },
  ],
};

/** The same machine with no more than some instructions of each program. */
export function shorter(shape: Shape, most: number): Shape {
  const programs = shape.programs.map((program) => ({
    ...program,
    instructions: program.instructions.slice(0, most),
  }));
  return { ...shape, programs };
}

/** Where a scheduled event starts the snapshot, a program causes it. */
export function withEvent(shape: Shape): Shape {
  const [first, ...others] = shape.programs;
  return {
    ...shape,
    programs: [{ ...first!, instructions: [{ kind: 'event' }, ...first!.instructions] }, ...others],
  };
}
