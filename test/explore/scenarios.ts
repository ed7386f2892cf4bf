import type { Shape } from '../../src/machines/ultrasparc/shape.ts';

// Blocks: 0 and 1 the kernel's tables, 2 kernel, 3 copy map, 4 application, 5 DMA buffer. Main memory starts at block
// 30, so that the copy map's bits lie in two words.
const APPLICATION = 0x2000n;
const ALIAS = 0x80_0000n;
const KERNEL = 0x6000n;

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
