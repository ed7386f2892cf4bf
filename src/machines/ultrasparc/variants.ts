import { LivecoreError } from '../../errors.ts';

/** What the document leaves open, each choice under the name that the command line gives it. */
export interface Variants {
  /** S1: "a user input, a system event such as a scheduled task" */
  readonly start: 'user' | 'event';
  /** the copy map: in first storage and copied; in first storage, not copied; separate memory; inside the MMU */
  readonly map: 'copied' | 'apart' | 'separate' | 'mmu';
  /**
   * DMA: suspended by the slot registers; its blocks excluded; its blocks listed as potentially unreliable; copied
   * first and fast, and listed; `risk`: copied first and fast, and not listed, which goes wrong
   */
  readonly dma: 'suspend' | 'exclude' | 'mark' | 'fast' | 'risk';
  /** "The initial content of the snapshot storage 17 can be random or the content can be nul." */
  readonly content: 'random' | 'nul';
  /** a memory of its own; a partition of main memory; mass storage, as a log of (location, content) */
  readonly storage: 'separate' | 'partition' | 'log';
  /** large pages: trapped and copied whole, or split into entries of 8 KiB first */
  readonly pages: 'whole' | 'split';
  /** W cleared inside the hold, as the document has it, or live before it */
  readonly arming: 'hold' | 'live';
  /** the kernel: copied in S3, or protected like the rest (its translation tables are always copied in S3) */
  readonly kernel: 'initial' | 'protected';
}

export type VariantName = keyof Variants;

/** The document's own embodiment, where it prefers one. */
export const DEFAULT_VARIANTS: Variants = {
  start: 'user',
  map: 'apart',
  dma: 'suspend',
  content: 'nul',
  storage: 'separate',
  pages: 'whole',
  arming: 'hold',
  kernel: 'initial',
};

/** All choices, in the order in which they are listed and counted. */
export const CHOICES: { readonly [Name in VariantName]: readonly Variants[Name][] } = {
  start: ['user', 'event'],
  map: ['copied', 'apart', 'separate', 'mmu'],
  dma: ['suspend', 'exclude', 'mark', 'fast', 'risk'],
  content: ['random', 'nul'],
  storage: ['separate', 'partition', 'log'],
  pages: ['whole', 'split'],
  arming: ['hold', 'live'],
  kernel: ['initial', 'protected'],
};

/** What of a machine decides whether a choice can be right on it. */
export interface VariantGround {
  /** the I/O bridge has slot registers */
  readonly slotRegisters: boolean;
  /** blocks that devices write */
  readonly dmaBlocks: readonly number[];
  /** blocks that belong to the kernel or hold the copy map */
  readonly ownBlocks: readonly number[];
  /** the block that holds the copy map when it is in first storage */
  readonly mapBlock: number;
  /** ranges of blocks under one large page */
  readonly largePages: readonly { readonly first: number; readonly count: number }[];
}

/** Why a combination is refused, and what to do. */
export interface Refusal {
  readonly reason: string;
  readonly cure: string;
}

/** Why a combination cannot be right on a machine; undefined where it can. */
export function refusal(variants: Variants, ground: VariantGround): Refusal | undefined {
  const { dma, map, pages } = variants;
  if (dma === 'suspend' && ground.dmaBlocks.length > 0 && !ground.slotRegisters) {
    return {
      reason: 'dma=suspend needs slot registers, and this I/O bridge has none',
      cure: 'use dma=exclude, dma=mark or dma=fast',
    };
  }
  const shared = ground.dmaBlocks.find((block) => ground.ownBlocks.includes(block));
  if (shared !== undefined) {
    return {
      reason: `block ${shared} is a DMA buffer and the kernel's or the copy map's: neither may be written past the MMU`,
      cure: 'let devices write to another block',
    };
  }
  if (pages === 'split') return undefined;
  const apart = [
    ...(dma === 'exclude' ? ground.dmaBlocks : []),
    ...(map === 'apart' ? [ground.mapBlock] : []),
  ];
  for (const { first, count } of ground.largePages) {
    const inside = apart.find((block) => block >= first && block < first + count);
    if (inside === undefined) continue;
    return {
      reason: `block ${inside} is left out of the copy, but lies in a large page that is copied whole`,
      cure: 'use pages=split',
    };
  }
  return undefined;
}

/** Every combination that can be right on a machine; `risk`, which can't be, is not among them. */
export function legalCombinations(ground: VariantGround): Variants[] {
  let all: Partial<Variants>[] = [{}];
  for (const name of Object.keys(CHOICES) as VariantName[]) {
    all = all.flatMap((partial) => CHOICES[name].map((choice) => ({ ...partial, [name]: choice })));
  }
  return (all as Variants[]).filter((one) => one.dma !== 'risk' && refusal(one, ground) === undefined);
}

/** Reads `name=value`. */
export function parseVariant(text: string): Partial<Variants> {
  const [name = '', ...rest] = text.split('=');
  const choices: readonly string[] = Object.hasOwn(CHOICES, name) ? CHOICES[name as VariantName] : [];
  const value = rest.join('=');
  if (choices.includes(value)) return { [name]: value };
  if (choices.length > 0)
    throw new LivecoreError('USAGE', `no such choice: ${text}`, {
      cure: `${name} is one of ${choices.join(', ')}`,
    });
  const known = Object.entries(CHOICES).map(([key, values]) => `${key}=${values.join('|')}`);
  throw new LivecoreError('USAGE', `no such variant: ${text}`, { cure: `known are: ${known.join('  ')}` });
}

/** A combination in one line, only what differs from the document's preference. */
export function describeVariants(variants: Variants): string {
  const names = Object.keys(CHOICES) as VariantName[];
  const different = names.filter((name) => variants[name] !== DEFAULT_VARIANTS[name]);
  return different.length === 0
    ? 'as the document prefers'
    : different.map((name) => `${name}=${variants[name]}`).join(' ');
}
