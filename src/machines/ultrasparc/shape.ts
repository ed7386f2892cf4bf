import { LivecoreError } from '../../errors.ts';
import { BLOCK_BYTES, blocksOf, high, isLegal, low, PAGE_NUMBER_BITS, type PageSize } from './address.ts';
import type { Program } from './instruction.ts';
import type { Device } from './io-bridge.ts';
import type { Content130 } from './memory.ts';
import { tablesWords } from './translation-tables.ts';
import { DEFAULT_VARIANTS, refusal, type VariantGround, type Variants } from './variants.ts';

/** One page of virtual memory: what the operating system writes into its translation table. */
export interface Page {
  readonly va: bigint;
  /** number of the first block that it maps, counted from the start of main memory */
  readonly block: number;
  readonly context?: number;
  readonly size?: PageSize;
  /** default: true */
  readonly writable?: boolean;
  readonly privileged?: boolean;
  readonly global?: boolean;
  readonly locked?: boolean;
  readonly noFaultOnly?: boolean;
  readonly invertEndianness?: boolean;
  readonly sideEffect?: boolean;
  /** default: true */
  readonly cacheable?: boolean;
}

/** A computer to be built. */
export interface Shape {
  /** blocks of the first storage, from 4 */
  readonly blocks: number;
  /** the physical page number of the first one; default 0 */
  readonly firstBlock?: number;
  /** words of each block that exist, up to 2048 (8 KiB, the default) */
  readonly wordsPerBlock?: number;
  /** blocks of the kernel, its translation tables first; default: as many as the tables need */
  readonly kernelBlocks?: number;
  /** blocks of the rest of the operating system; default 0 */
  readonly osBlocks?: number;
  /** blocks of the snapshot program itself; default 0: it counts with the kernel */
  readonly programBlocks?: number;
  readonly pages: readonly Page[];
  readonly programs: readonly Program[];
  readonly devices?: readonly Device[];
  /** default: true */
  readonly slotRegisters?: boolean;
  /** entries of each TLB; default 64 */
  readonly tlbEntries?: number;
  /** entries of a TSB, a power of two; default 512, the Manual's smallest */
  readonly tsbEntries?: number;
  /** default: shared by all processes */
  readonly tsb?: 'shared' | 'per-process';
  /** default: 8, or as many as a block store takes */
  readonly storeBufferEntries?: number;
  /** words of a block store; default 16 */
  readonly lineWords?: number;
  /** blocks that the snapshot storage has room for; default: as many as the first storage */
  readonly storageBlocks?: number;
  readonly variants?: Partial<Variants>;
}

/** A shape with everything decided and checked. */
export interface Plan {
  readonly shape: Shape;
  readonly variants: Variants;
  readonly blocks: number;
  readonly firstBlock: number;
  readonly wordsPerBlock: number;
  readonly kernelBlocks: number;
  readonly tableBlocks: number;
  readonly mapBlock: number;
  readonly mapWords: number;
  readonly storageBlocks: number;
  readonly sttEntries: number;
  readonly tsbEntries: number;
  readonly tsbContexts: readonly number[];
  readonly tlbEntries: number;
  readonly storeBufferEntries: number;
  readonly lineWords: number;
  /** blocks that devices write, physical numbers */
  readonly dmaBlocks: readonly number[];
  /** what each block of main memory holds */
  readonly contents: readonly Content130[];
}

/** Decides what a shape leaves open, and refuses what can't be built. */
export function planOf(shape: Shape): Plan {
  const variants: Variants = { ...DEFAULT_VARIANTS, ...shape.variants };
  const {
    blocks,
    firstBlock = 0,
    wordsPerBlock = BLOCK_BYTES / 4,
    tlbEntries = 64,
    tsbEntries = 512,
  } = shape;
  demand(blocks >= 4, `a machine has 4 blocks at least, not ${blocks}`, 'give it more blocks');
  const { lineWords = 16, storeBufferEntries = Math.max(8, lineWords) } = shape;
  const counts = { blocks, wordsPerBlock, tlbEntries, tsbEntries, lineWords, storeBufferEntries };
  for (const [name, count] of Object.entries(counts))
    demand(Number.isInteger(count) && count >= 1, `${name} is ${count}`, 'give it a whole number from 1 on');
  demand(
    Number.isInteger(firstBlock) && firstBlock >= 0,
    `main memory begins at block ${firstBlock}`,
    'let it begin at a whole number from 0 on',
  );
  demand(
    wordsPerBlock <= BLOCK_BYTES / 4,
    `a block has at most ${BLOCK_BYTES / 4} words, not ${wordsPerBlock}`,
    'give its blocks fewer words',
  );
  demand(
    (tsbEntries & (tsbEntries - 1)) === 0,
    `a TSB has a power of two of entries, not ${tsbEntries}`,
    'give it 512',
  );
  const large = shape.pages.filter((page) => (page.size ?? 0) > 0);
  const spare = variants.pages === 'split' ? large.reduce((sum, page) => sum + blocksOf(page.size!), 0) : 0;
  const sttEntries = shape.pages.length + spare;
  const contexts = [...new Set(shape.pages.map((page) => page.context ?? 0))];
  const tsbContexts = shape.tsb === 'per-process' ? contexts : [];
  const tables = tablesWords(sttEntries, tsbEntries, Math.max(1, tsbContexts.length));
  const tableBlocks = Math.ceil(tables / wordsPerBlock);
  const kernelBlocks = Math.max(shape.kernelBlocks ?? tableBlocks, tableBlocks);
  const mapBlock = firstBlock + kernelBlocks + (shape.osBlocks ?? 0) + (shape.programBlocks ?? 0);
  demand(
    mapBlock - firstBlock < blocks,
    `the machine is too small for its kernel: ${kernelBlocks} blocks of kernel (tables: ${tableBlocks}) and the copy map do not fit into ${blocks}`,
    `give it ${mapBlock - firstBlock + 1} blocks or more, or more words in each`,
  );
  const storageBlocks = shape.storageBlocks ?? blocks;
  demand(
    storageBlocks >= blocks,
    `the snapshot storage is too small for the image: ${storageBlocks} blocks for ${blocks}`,
    `give it ${blocks} blocks`,
  );
  const dmaBlocks = dmaBlocksOf(shape, firstBlock, wordsPerBlock);
  const plan: Plan = {
    shape,
    variants,
    blocks,
    firstBlock,
    wordsPerBlock,
    kernelBlocks,
    tableBlocks,
    mapBlock,
    mapWords: Math.ceil(((firstBlock % 32) + blocks) / 32),
    storageBlocks,
    sttEntries,
    tsbEntries,
    tsbContexts,
    tlbEntries,
    storeBufferEntries,
    lineWords,
    dmaBlocks,
    contents: contentsOf(shape, variants, { firstBlock, kernelBlocks, mapBlock, storageBlocks, dmaBlocks }),
  };
  demand(
    plan.mapWords <= wordsPerBlock,
    'the copy map does not fit into its block',
    'give it fewer blocks, or more words in each',
  );
  checkPages(plan);
  checkPrograms(plan);
  const why = refusal(variants, groundOf(plan));
  if (why !== undefined)
    throw new LivecoreError('USAGE', `no such machine: ${why.reason}`, { cure: why.cure });
  return plan;
}

/** What decides which variants can be right. */
export function groundOf(plan: Plan): VariantGround {
  const kernel = Array.from({ length: plan.kernelBlocks }, (_, index) => plan.firstBlock + index);
  return {
    slotRegisters: plan.shape.slotRegisters ?? true,
    dmaBlocks: plan.dmaBlocks,
    ownBlocks: [...kernel, plan.mapBlock],
    mapBlock: plan.mapBlock,
    largePages: plan.shape.pages
      .filter((page) => (page.size ?? 0) > 0)
      .map((page) => ({ first: plan.firstBlock + page.block, count: blocksOf(page.size!) })),
  };
}

function demand(holds: boolean, what: string, cure: string, address?: bigint): void {
  if (holds) return;
  const about = address === undefined ? {} : { address };
  throw new LivecoreError('USAGE', `no such machine: ${what}`, { ...about, cure });
}

function dmaBlocksOf(shape: Shape, firstBlock: number, wordsPerBlock: number): number[] {
  const transfers = (shape.devices ?? []).flatMap((device) => device.transfers);
  for (const { block, word } of transfers) {
    demand(
      Number.isInteger(block) && block >= 0 && block < shape.blocks,
      `DMA to block ${block}, which is not there`,
      `name one from 0 to ${shape.blocks - 1}`,
    );
    demand(
      Number.isInteger(word) && word >= 0 && word < wordsPerBlock,
      `DMA to word ${word} of block ${block}, which is not there`,
      `a block has ${wordsPerBlock}`,
    );
  }
  return [...new Set(transfers.map(({ block }) => block + firstBlock))].sort((a, b) => a - b);
}

function contentsOf(
  shape: Shape,
  variants: Variants,
  at: {
    firstBlock: number;
    kernelBlocks: number;
    mapBlock: number;
    storageBlocks: number;
    dmaBlocks: number[];
  },
): Content130[] {
  const contents: Content130[] = [];
  for (let index = 0; index < shape.blocks; index++) {
    const block = at.firstBlock + index;
    if (index < at.kernelBlocks) contents.push('kernel');
    else if (index < at.kernelBlocks + (shape.osBlocks ?? 0)) contents.push('operating system');
    else if (block < at.mapBlock) contents.push('snapshot program');
    else if (block === at.mapBlock) contents.push('copy map');
    else contents.push(at.dmaBlocks.includes(block) ? 'DMA buffer' : 'application');
  }
  if (variants.storage === 'partition')
    for (let n = 0; n < at.storageBlocks; n++) contents.push('snapshot storage');
  return contents;
}

function checkPages(plan: Plan): void {
  let locked = 0;
  const seen = new Map<string, bigint>();
  for (const page of plan.shape.pages) {
    const { va, size = 0 } = page;
    const count = blocksOf(size);
    const name = `page ${va.toString(16)}`;
    checkAddress(name, va);
    demand(
      isLegal(high(va)),
      `${name}: the address is out of range, VA<63:43> is neither all zeros nor all ones`,
      'use 0 to 7ffffffffff, or fffff80000000000 and above',
      va,
    );
    demand(
      va % BigInt(count * BLOCK_BYTES) === 0n,
      `${name}: not aligned to its size`,
      `use a multiple of ${count * BLOCK_BYTES}`,
      va,
    );
    demand(
      (plan.firstBlock + page.block) % count === 0,
      `${name}: its physical address is not aligned to its size`,
      `let it begin at a multiple of ${count} blocks`,
      va,
    );
    demand(
      Number.isInteger(page.block) && page.block >= 0 && page.block + count <= plan.blocks,
      `${name}: no such block`,
      `there are ${plan.blocks}`,
      va,
    );
    demand(
      plan.firstBlock + page.block + count <= 2 ** PAGE_NUMBER_BITS,
      `${name}: beyond 41 bits of address`,
      'let main memory begin lower',
      va,
    );
    checkContext(name, page.context);
    const double = plan.shape.pages.find((other) => other !== page && translatesToo(other, page));
    demand(
      double === undefined,
      `${name}: another page has the same address in the same context`,
      'give one of them another address, or another context',
      va,
    );
    if (page.locked) locked++;
    for (let piece = 0; piece < (plan.variants.pages === 'split' ? count : 1); piece++) {
      checkTsbPlace(plan, page, va + BigInt(piece * BLOCK_BYTES), seen);
    }
  }
  demand(locked < plan.tlbEntries, 'locked pages leave no entry of a TLB free', 'lock fewer pages');
}

function checkAddress(name: string, va: bigint): void {
  demand(va >= 0n && va < 2n ** 64n, `${name}: an address has 64 bits`, 'use 0 to ffffffffffffffff', va);
}

function checkContext(name: string, context = 0): void {
  demand(
    Number.isInteger(context) && context >= 0 && context < 2 ** 13,
    `${name}: context ${context} is not one, a context has 13 bits`,
    'use 0 to 8191',
  );
}

/** Whether a page translates an address that another begins with. */
function translatesToo(page: Page, { va, context = 0, global = false }: Page): boolean {
  const inside = va >= page.va && va < page.va + BigInt(blocksOf(page.size ?? 0) * BLOCK_BYTES);
  return inside && (global || (page.global ?? false) || (page.context ?? 0) === context);
}

/** A TSB's tag has no VA<21:13>: with fewer than 512 entries two pages could be taken for one another. */
function checkTsbPlace(plan: Plan, page: Page, va: bigint, seen: Map<string, bigint>): void {
  const size = plan.variants.pages === 'split' ? 0 : (page.size ?? 0);
  if (size > 1) return;
  const index = (low(va) >>> (13 + 3 * size)) & (plan.tsbEntries - 1);
  const key = `${size} ${index} ${va >> 22n} ${page.context ?? 0}`;
  const other = seen.get(key);
  demand(
    other === undefined || other === va,
    `pages ${other?.toString(16)} and ${va.toString(16)} have one tag and one place in a TSB of ${plan.tsbEntries} entries`,
    'give it 512 entries, or move one of the pages',
    va,
  );
  seen.set(key, va);
}

function checkPrograms(plan: Plan): void {
  for (const [number, { instructions, context: first }] of plan.shape.programs.entries()) {
    checkContext(`program ${number}`, first);
    for (const { kind, va, context } of instructions) {
      if (kind === 'switch') checkContext(`program ${number}: switch`, context);
      if (kind === 'switch' || kind === 'barrier' || kind === 'event') continue;
      demand(va !== undefined, `a ${kind} needs an address`, 'give it a va');
      checkAddress(kind, va!);
      const word = (low(va!) % BLOCK_BYTES) / 4;
      const words = kind === 'block-store' ? plan.lineWords : 1;
      demand(
        words <= plan.storeBufferEntries,
        `a block store of ${words} words never fits into a store buffer of ${plan.storeBufferEntries}`,
        `give it ${words} entries`,
        va,
      );
      demand(
        Number.isInteger(word),
        `${kind} ${va!.toString(16)}: not aligned to a word`,
        'use a multiple of 4',
        va,
      );
      demand(
        word + words <= plan.wordsPerBlock,
        `${kind} ${va!.toString(16)}: past the words that a block has`,
        `a block has ${plan.wordsPerBlock}`,
        va,
      );
    }
  }
}
