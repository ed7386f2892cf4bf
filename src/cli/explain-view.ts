/** What of the reference machine is shown in a moment of a demonstration, read from its state; the picture and --json are made of it. */
import type { Demonstration } from '../machines/ultrasparc/demonstration.ts';
import type { Processor } from '../machines/ultrasparc/processor.ts';
import { storedContent } from '../machines/ultrasparc/storage.ts';
import { pageNumberOf, SAVED_W, sizeOf, V, W } from '../machines/ultrasparc/tte.ts';

const SHOWN_WORDS = 2;

export interface BlockView {
  readonly block: number;
  readonly holds: string;
  /** words of it: its first ones, or where memory and snapshot begin to differ */
  readonly memory: readonly string[];
  /** what the translation table says of writing: W is set; cleared by the snapshot; never was set; no page shows it */
  readonly write: 'W' | 'traps' | 'never' | 'no page';
  /** its bit in the copy map */
  readonly copied: boolean;
  /** not a part of the snapshot */
  readonly leftOut: boolean;
  /** the same words in the snapshot storage, once something of it is there */
  readonly snapshot: readonly string[] | undefined;
  /** it is being copied: the end of it is not in the snapshot storage yet */
  readonly partly: boolean;
  /** memory differs from the snapshot */
  readonly changed: boolean;
}

export interface ProcessorView {
  readonly number: number;
  readonly stopped: boolean;
  /** the block that it waits for */
  readonly waitsFor: number | undefined;
  /** the instruction that comes, in words */
  readonly next: string;
  /** stores in its store buffer */
  readonly buffered: number;
  readonly tlb: readonly { readonly blocks: string; readonly writable: boolean }[];
}

export interface SlotView {
  readonly slot: number;
  readonly open: boolean;
  /** DMA transfers that have begun */
  readonly begun: number;
}

/** All blocks, as the machine's state stands. */
export function blockViewsOf(shown: Demonstration): BlockView[] {
  const { plan, memory, places, state } = shown.computer;
  const mapStart = plan.firstBlock - (plan.firstBlock % 32);
  // Before the first snapshot the copy map's memory holds anything.
  const used = state.words[places.active] === 1 || state.words[places.instant] === 1;
  return Array.from({ length: plan.blocks }, (_, index) => {
    const block = plan.firstBlock + index;
    const bit = block - mapStart;
    const current = state.words.subarray(memory.at(block, 0), memory.at(block, 0) + plan.wordsPerBlock);
    const kept = keptContent(shown, block);
    const differs = kept?.findIndex((word, at) => word !== current[at]) ?? -1;
    const copied = used && (state.words[places.map + (bit >>> 5)]! & (1 << (bit & 31))) !== 0;
    const partly = !copied && differs >= 0 && isUntouched(shown, block, differs);
    const from = partly ? 0 : Math.max(0, Math.min(differs, plan.wordsPerBlock - SHOWN_WORDS));
    return {
      block,
      holds: plan.contents[index]!,
      memory: wordsFrom(current, from),
      write: mayWrite(shown, block),
      copied,
      leftOut: shown.leftOut.includes(block),
      snapshot: kept === undefined ? undefined : wordsFrom(kept, from),
      partly,
      changed: copied && differs >= 0,
    };
  });
}

export function processorsOf({ computer }: Demonstration): ProcessorView[] {
  return computer.processors.map((one) => {
    const tlb: { blocks: string; writable: boolean }[] = [];
    one.dataTlb.forEach((at) => {
      const [dataHigh, dataLow] = [computer.state.words[at + 3]!, computer.state.words[at + 4]!];
      const first = pageNumberOf(dataHigh, dataLow);
      const last = first + 8 ** sizeOf(dataHigh) - 1;
      tlb.push({ blocks: first === last ? `${first}` : `${first}-${last}`, writable: (dataLow & W) !== 0 });
    });
    return {
      number: one.number,
      stopped: one.stopped,
      waitsFor: one.waitsFor < 0 ? undefined : one.waitsFor,
      next: nextOf(computer, one),
      buffered: one.buffered,
      tlb,
    };
  });
}

export function slotsOf({ computer: { bridge } }: Demonstration): SlotView[] {
  return [...bridge.devices.keys()].map((slot) => ({
    slot,
    open: bridge.isOpen(slot) === 1,
    begun: bridge.begun(slot),
  }));
}

function nextOf({ tables }: Demonstration['computer'], one: Processor): string {
  const instruction = one.program.instructions[one.pc];
  if (instruction === undefined) return 'done';
  const { kind, va } = instruction;
  if (va === undefined) return kind;
  const low = Number(BigInt.asUintN(32, va));
  const entry = tables.find(Number(va >> 32n), low, one.context);
  if (entry < 0) return `${kind} ${va.toString(16)}`;
  const inPage = 8 ** sizeOf(tables.dataHigh(entry)) - 1;
  return `${kind}: block ${(tables.pageNumber(entry) & ~inPage) + ((low >>> 13) & inPage)}`;
}

/** What the snapshot storage has of a block, where it is not what was there before. */
function keptContent(shown: Demonstration, block: number): Uint32Array | undefined {
  return isUntouched(shown, block, 0) ? undefined : storedContent(shown.computer, block);
}

/** Whether the place of a block in the snapshot storage holds, from a word on, what was there before. */
function isUntouched({ computer }: Demonstration, block: number, from: number): boolean {
  const { plan, places } = computer;
  const kept = storedContent(computer, block);
  // A record of a log counts once it is whole.
  if (kept === undefined || plan.variants.storage === 'log') return kept === undefined;
  const at = places.storage + (block - plan.firstBlock) * plan.wordsPerBlock;
  return kept.every((word, index) => index < from || word === computer.contentBefore(at + index));
}

/** What the translation table says of writing to a block. */
function mayWrite({ computer }: Demonstration, block: number): BlockView['write'] {
  const { tables, plan } = computer;
  let found: BlockView['write'] = 'no page';
  for (let entry = 0; entry < plan.sttEntries; entry++) {
    const count = 8 ** sizeOf(tables.dataHigh(entry));
    const first = tables.pageNumber(entry);
    if ((tables.dataHigh(entry) & V) === 0 || block < first || block >= first + count) continue;
    const dataLow = tables.dataLow(entry);
    if ((dataLow & SAVED_W) !== 0) return 'traps';
    found = (dataLow & W) !== 0 ? 'W' : 'never';
  }
  return found;
}

function wordsFrom(content: Uint32Array, from: number): string[] {
  return [...content.subarray(from, from + SHOWN_WORDS)].map((word) => word.toString(16).padStart(8, '0'));
}
