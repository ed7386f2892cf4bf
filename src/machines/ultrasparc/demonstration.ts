import type { Snapshot } from '../../engine/snapshot.ts';
import { Bus, Op } from './bus.ts';
import { Computer } from './computer.ts';
import { snapshotOf } from './computer-snapshot.ts';
import type { Said } from './demonstration-words.ts';
import * as words from './demonstration-words.ts';
import type { Observer } from './observer.ts';
import type { Shape } from './shape.ts';
import { storedContent } from './storage.ts';
import { SAVED_W, sizeOf } from './tte.ts';
import type { Variants } from './variants.ts';

/** The steps of Figure 11. */
export type FigureStep = 'S1' | 'S2' | 'S3' | 'S4' | 'S5' | 'S6' | 'S7';

/** One moment of a demonstration. */
export interface Frame {
  readonly step: FigureStep;
  readonly what: string;
  readonly why: string;
  /** the same reason was given before, in the same words */
  readonly again: boolean;
  /** the block that it is about, or -1 */
  readonly block: number;
  /** the whole state of the machine */
  readonly words: Uint32Array;
}

/** A snapshot from start to end, to be looked at forward and backward. */
export interface Demonstration {
  readonly computer: Computer;
  readonly frames: readonly Frame[];
  /** not a part of the snapshot: the block of a copy map that is not copied, excluded DMA buffers */
  readonly leftOut: readonly number[];
  /** listed by the snapshot as unreliable */
  readonly listed: readonly number[];
  /** neither, and yet not as they were at T0: what a choice that can go wrong leads to */
  readonly wrong: readonly number[];
  readonly failure: string | undefined;
}

const PAGE = 0x2000n;
const LARGE_AT = 8;

/** Two processors that write to shared memory, a device that does DMA, and a large page where variants ask for one. */
function shapeOf(variants: Partial<Variants>): Shape {
  const large = variants.pages !== undefined;
  const blocks = large ? LARGE_AT + 8 : 10;
  const va = (block: number): bigint => BigInt(block) * PAGE;
  const pages = [1, 4, 5, 6, 7].map((block) => ({ va: va(block), block, context: 1 }));
  const shared = { va: 0x10_0000n, block: 5, context: 2 };
  const own = [6, 7].map((block) => ({ va: va(block), block, context: 2 }));
  const largePage = { va: 0x80_0000n, block: LARGE_AT, context: 2, size: 1 as const };
  const first = [4, 5, 7, 4, 6].map((block, n) => ({
    kind: 'store' as const,
    va: va(block),
    value: 0xa0 + n,
  }));
  const stores = [shared.va + 4n, va(7) + 4n, large ? largePage.va : va(6) + 4n, shared.va + 8n];
  const second = stores.map((at, n) => ({ kind: 'store' as const, va: at, value: 0xb0 + n }));
  const event = variants.start === 'event' ? [{ kind: 'event' as const }] : [];
  return {
    blocks,
    wordsPerBlock: 128,
    kernelBlocks: 2,
    programBlocks: 1,
    tlbEntries: 4,
    tsbEntries: 16,
    lineWords: 4,
    pages: [...pages, shared, ...own, ...(large ? [largePage] : [])],
    programs: [
      { context: 1, instructions: [...event, ...first] },
      { context: 2, instructions: second },
    ],
    devices: [{ transfers: [0, 1, 2].map((word) => ({ block: blocks - 1, word, value: 0xd0 + word })) }],
    variants,
  };
}

/** Takes a snapshot of the demonstration machine under a schedule that the seed decides, and keeps every moment. */
export function demonstrate(variants: Partial<Variants>, seed: number): Demonstration {
  const computer = new Computer(shapeOf(variants));
  return new Narrator(computer, seed).run();
}

class Narrator implements Observer {
  readonly #computer: Computer;
  readonly #frames: Frame[] = [];
  readonly #bus: Bus;
  readonly #snapshot: Snapshot;
  readonly #leftOut: readonly number[];
  readonly #reasons = new Set<string>();
  /** entries of the table whose W was cleared, and their blocks */
  readonly #protected = new Map<number, number>();
  readonly #stored = new Set<number>();
  readonly #listed = new Set<number>();
  #random: number;
  #step: FigureStep = 'S1';
  #serving = false;
  #demapped = false;
  /** memory at T0 */
  #instant: Uint32Array | undefined;

  constructor(computer: Computer, seed: number) {
    this.#computer = computer;
    this.#random = seed | 0;
    const { variants, mapBlock, dmaBlocks } = computer.plan;
    this.#leftOut = [
      ...(variants.map === 'apart' ? [mapBlock] : []),
      ...(variants.dma === 'exclude' ? dmaBlocks : []),
    ];
    this.#bus = new Bus(computer);
    computer.observer = this;
    const execute = this.#bus.execute.bind(this.#bus);
    this.#bus.execute = (op, a, b, c): number => {
      const result = execute(op, a, b, c);
      this.#access(op, a, b);
      return result;
    };
    this.#bus.between = (op): boolean => op !== Op.copyWord && this.#below(10) === 0 && this.#anybody();
    this.#snapshot = snapshotOf(this.#bus);
  }

  run(): Demonstration {
    const snapshot = this.#snapshot;
    for (const said of words.INTRODUCTION) this.#say(said);
    for (let serving = true; snapshot.phase !== 'ended'; serving = !serving) {
      this.#serving = serving && snapshot.phase === 'copy';
      if (snapshot.phase === 'disarm') this.#step = 'S7';
      snapshot.step();
      this.#anybody();
    }
    this.#step = 'S7';
    while (this.#anybody());
    const lucky = this.#computer.plan.variants.dma === 'risk';
    const [leftOut, wrong] = [this.#leftOut, this.#wrong()];
    this.#say(words.closing({ leftOut, listed: [...this.#listed], wrong, lucky }));
    return {
      computer: this.#computer,
      frames: this.#frames,
      leftOut: this.#leftOut,
      listed: [...this.#listed],
      wrong,
      failure: snapshot.failure?.message,
    };
  }

  /** Blocks that the snapshot shows as reliable and that differ from T0. */
  #wrong(): number[] {
    const { plan, memory } = this.#computer;
    const wrong: number[] = [];
    for (let block = plan.firstBlock; block < plan.firstBlock + plan.blocks; block++) {
      if (this.#leftOut.includes(block) || this.#listed.has(block)) continue;
      const at = memory.at(block, 0);
      const kept = storedContent(this.#computer, block);
      const same = kept?.every((word, index) => word === this.#instant?.[at + index]) ?? false;
      if (!same) wrong.push(block);
    }
    return wrong;
  }

  // What the snapshot program does --------------------------------------------------------------------------------

  #access(op: number, a: number, b: number): void {
    const { tables, processors, state, plan } = this.#computer;
    switch (op) {
      case Op.active:
        if (a === 1) this.#say(words.started(plan.variants.arming === 'hold'));
        return;
      case Op.stop:
        this.#step = 'S2';
        this.#say(words.stopped(a));
        return;
      case Op.slotClose:
        this.#say(words.slotClosed(a));
        return;
      case Op.sttWrite:
        this.#wroteEntry(a, (b & SAVED_W) !== 0);
        return;
      case Op.sttSplit:
        this.#step = 'S2';
        this.#say(words.split(this.#mapped(a)), tables.pageNumber(a));
        return;
      case Op.sttJoin:
        this.#say(words.joined(this.#mapped(a)), tables.pageNumber(a));
        return;
      case Op.demap:
        if (this.#protected.size > 0 && this.#instant === undefined && !this.#demapped) {
          this.#say(words.DEMAPPED, tables.pageNumber(b));
          this.#demapped = true;
        }
        return;
      case Op.instant:
        this.#step = 'S3';
        this.#instant = state.words.slice();
        this.#say(words.INSTANT);
        return;
      case Op.go:
        this.#step = 'S4';
        if (processors[a] !== undefined) this.#say(words.goesOn(a, plan.variants.arming === 'hold'));
        return;
      default:
    }
  }

  /** The blocks that an entry of the table maps, in words. */
  #mapped(entry: number): string {
    const { tables } = this.#computer;
    return words.mapped(tables.pageNumber(entry), 8 ** sizeOf(tables.dataHigh(entry)));
  }

  #wroteEntry(entry: number, cleared: boolean): void {
    const { tables } = this.#computer;
    const [block, blocks] = [tables.pageNumber(entry), this.#mapped(entry)];
    if (!cleared) {
      const served = this.#step === 'S5';
      this.#say(
        this.#instant === undefined ? words.letGoEarly(blocks) : words.writableAgain(blocks, served),
        block,
      );
      return;
    }
    if (this.#step === 'S1') this.#step = 'S2';
    const another = [...this.#protected.values()].includes(block);
    const large = sizeOf(tables.dataHigh(entry)) > 0;
    const said = this.#protected.has(entry)
      ? words.protectedAgain(blocks)
      : words.protectedPage(blocks, another, large);
    this.#protected.set(entry, block);
    this.#say(said, block);
  }

  stored(block: number): void {
    this.#stored.add(block);
    if (this.#snapshot.phase !== 'copy') {
      const { plan } = this.#computer;
      this.#say(words.copiedInHold(block, plan.contents[block - plan.firstBlock]!), block);
    } else {
      this.#step = this.#serving ? 'S5' : 'S6';
      this.#say(this.#serving ? words.copiedForWriter(block) : words.copiedInSweep(block), block);
    }
  }

  marked(firstBlock: number, before: number, after: number): void {
    const bits = Array.from({ length: 32 }, (_, bit) => bit).filter(
      (bit) => ((after & ~before) >>> bit) & 1 && this.#stored.has(firstBlock + bit),
    );
    const blocks = bits.map((bit) => firstBlock + bit);
    if (blocks.length > 0) this.#say(words.marked(blocks), blocks.length === 1 ? blocks[0] : -1);
  }

  listed(block: number, as: 'unreliable' | 'lost'): void {
    this.#listed.add(block);
    this.#say(words.listed(block, as), block);
  }

  // What the others do ----------------------------------------------------------------------------------------------

  processorWrote(processor: number, block: number): void {
    const { stopped } = this.#computer.processors[processor]!;
    this.#say(words.written(processor, block, this.#stored.has(block), stopped), block);
  }
  deviceWrote(slot: number, block: number): void {
    this.#say(words.writtenByDevice(slot, block, this.#stored.has(block)), block);
  }
  destroyed(): void {}
  multipleMatch(): void {}
  programWrote(): void {}
  storageWrote(): void {}
  instant(): void {}

  /** One actor does something, whoever the seed picks. */
  #anybody(): boolean {
    const { actors } = this.#computer;
    const start = this.#below(actors);
    for (let turn = 0; turn < actors; turn++) {
      const actor = (start + turn) % actors;
      if (!this.#computer.canAct(actor)) continue;
      const processor = (actor & 1) === 0 ? this.#computer.processors[actor >> 1] : undefined;
      const before = processor?.waitsFor;
      this.#computer.act(actor);
      if (processor !== undefined && processor.waitsFor >= 0 && before === -1) {
        if (this.#snapshot.phase === 'copy') this.#step = 'S5';
        this.#say(
          words.trapped(processor.number, processor.waitsFor, this.#instant !== undefined),
          processor.waitsFor,
        );
      }
      return true;
    }
    return false;
  }

  #say([what, why]: Said, block = -1): void {
    const again = this.#reasons.has(why);
    this.#reasons.add(why);
    const { state } = this.#computer;
    this.#frames.push({ step: this.#step, what, why, again, block, words: state.words.slice() });
  }

  #below(end: number): number {
    this.#random = (Math.imul(this.#random, 1_103_515_245) + 12_345) | 0;
    return ((this.#random >>> 16) & 0x7fff) % end;
  }
}
