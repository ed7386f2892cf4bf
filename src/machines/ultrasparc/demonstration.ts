import { Bus, Op } from './bus.ts';
import { Computer } from './computer.ts';
import { snapshotOf } from './computer-snapshot.ts';
import type { Observer } from './observer.ts';
import { Phase } from './processor.ts';
import type { Shape } from './shape.ts';
import { SAVED_W } from './tte.ts';
import type { Variants } from './variants.ts';

/** The steps of Figure 11. */
export type FigureStep = 'S1' | 'S2' | 'S3' | 'S4' | 'S5' | 'S6' | 'S7';

/** One moment of a demonstration. */
export interface Frame {
  readonly step: FigureStep;
  readonly what: string;
  readonly why: string;
  /** the block that it is about, or -1 */
  readonly block: number;
  /** the whole state of the machine */
  readonly words: Uint32Array;
}

/** A snapshot from start to end, to be looked at forward and backward. */
export interface Demonstration {
  readonly computer: Computer;
  readonly frames: readonly Frame[];
  readonly failure: string | undefined;
}

/** For who knows what a page is, and no more. */
const INTRODUCTION: readonly (readonly [what: string, why: string])[] = [
  [
    'Two processors and a device write to memory, all the time. A row is a block of it, with the first word that it holds.',
    'A copy of all of it takes a while. If it were simply copied meanwhile, its end would be younger than its beginning: a mixture of many moments, and no moment at all. And nobody wants to stop for so long.',
  ],
  [
    'So they write on, but each block is copied just before its first write.',
    'A page can be written while its bit W is set. Without it a write traps: whoever wants to write waits, the block is copied to the snapshot storage, W is set again, and the write goes on. [x] says that a block is copied, so that it is done once.',
  ],
  ['No snapshot runs yet: writes go to memory, and nobody waits.', 'Watch what changes from here on.'],
];

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
  #random: number;
  #step: FigureStep = 'S1';
  #serving = false;
  #demapped = 0;
  readonly #stored = new Set<number>();

  constructor(computer: Computer, seed: number) {
    this.#computer = computer;
    this.#random = seed | 0;
    this.#bus = new Bus(computer);
    computer.observer = this;
    const execute = this.#bus.execute.bind(this.#bus);
    this.#bus.execute = (op, a, b, c): number => {
      const result = execute(op, a, b, c);
      this.#access(op, a, b);
      return result;
    };
    this.#bus.between = (op): boolean => op !== Op.copyWord && this.#below(10) === 0 && this.#anybody();
  }

  run(): Demonstration {
    const snapshot = snapshotOf(this.#bus);
    for (const [what, why] of INTRODUCTION) this.#say(what, why, -1);
    for (let serving = true; snapshot.phase !== 'ended'; serving = !serving) {
      this.#serving = serving && snapshot.phase === 'copy';
      if (snapshot.phase === 'copy') this.#step = serving ? 'S5' : 'S6';
      if (snapshot.phase === 'disarm') this.#step = 'S7';
      snapshot.step();
      this.#anybody();
    }
    this.#step = 'S7';
    while (this.#anybody());
    this.#say(
      'Every copied indication is set: the snapshot is done.',
      'Its storage holds memory as it was at T0, all of it, though memory has changed since: compare the columns. Nobody ' +
        'waited longer than for the copy of one block, and the moment in which all stood still had the same length ' +
        'however large memory is.',
      -1,
    );
    return { computer: this.#computer, frames: this.#frames, failure: snapshot.failure?.message };
  }

  // What the snapshot program does --------------------------------------------------------------------------------

  #access(op: number, a: number, b: number): void {
    const { tables, processors } = this.#computer;
    switch (op) {
      case Op.active:
        if (a === 1)
          this.#say(
            'The snapshot program is started.',
            'By a user, or by an event. It runs beside the others, on a processor like they do.',
            -1,
          );
        break;
      case Op.stop:
        this.#step = 'S2';
        this.#say(
          `Processor ${a} is asked to stop.`,
          'All stand still at once for a moment: the only one in which nobody writes, and that is what makes T0 one instant.',
          -1,
        );
        break;
      case Op.slotClose:
        this.#say(
          `The register of slot ${a} is closed.`,
          'DMA passes the MMU by; only the bridge can suspend it.',
          -1,
        );
        break;
      case Op.sttWrite: {
        const block = tables.pageNumber(a);
        if ((b & SAVED_W) !== 0) {
          if (this.#step === 'S1') this.#step = 'S2';
          this.#say(
            `W is cleared for a page of block ${block}.`,
            'From now on a write to it traps, before anything of it lands. Every page of a block is meant, or the write takes the other way.',
            block,
          );
        } else {
          this.#say(
            `W is set again for a page of block ${block}.`,
            'Its content of T0 is safe: it may be written, and traps no more.',
            block,
          );
        }
        break;
      }
      case Op.demap:
        if (this.#step === 'S2' && this.#demapped++ === 0) {
          const why =
            'A TLB is a cache of its own: an old entry in it would still let writes through. So for each page.';
          this.#say('The TLB of each processor forgets the page.', why, tables.pageNumber(b));
        }
        break;
      case Op.instant:
        this.#step = 'S3';
        this.#say(
          'T0: this is the memory that the snapshot will show.',
          'Nobody can write, so it is one instant. What follows only has to see that no block is written before it is copied.',
          -1,
        );
        break;
      case Op.mapWrite:
        this.#say(
          'The copy map: a copied indication is set.',
          'Only after the copy is whole. The other way round, whoever looked in between would take half a copy for a whole one.',
          -1,
        );
        break;
      case Op.go:
        this.#step = 'S4';
        if (processors[a] !== undefined)
          this.#say(
            `Processor ${a} goes on.`,
            'It stood still for what could not wait, however large memory is. All else is copied while it runs.',
            -1,
          );
        break;
      default:
    }
  }

  stored(block: number): void {
    this.#stored.add(block);
    const because = this.#serving
      ? 'A processor waits to write it. Its content of T0 is saved first, then the write goes on.'
      : this.#step === 'S6'
        ? 'In the background, one after the other, what nobody wants to write. So it comes to an end.'
        : 'It can not wait: the snapshot program itself needs to write it, or a device writes it past all protection.';
    this.#say(`Block ${block} is copied to the snapshot storage.`, because, block);
  }

  /** Whether a block is in the snapshot already. */
  #kept(block: number): boolean {
    return this.#stored.has(block);
  }

  // What the others do ----------------------------------------------------------------------------------------------

  processorWrote(processor: number, block: number): void {
    this.#say(
      `A store of processor ${processor} reaches block ${block}.`,
      this.#kept(block)
        ? 'Memory changes, the snapshot does not: it has the block already.'
        : 'The page is writable: nothing is in its way.',
      block,
    );
  }
  deviceWrote(slot: number, block: number): void {
    this.#say(
      `Device ${slot} writes to block ${block} by DMA.`,
      'To a physical address: no MMU is asked.',
      block,
    );
  }
  destroyed(): void {}
  multipleMatch(): void {}
  programWrote(): void {}
  storageWrote(): void {}
  marked(): void {}
  instant(): void {}
  listed(block: number, as: string): void {
    this.#say(`Block ${block} is listed as ${as}.`, 'What can not be vouched for is never silent.', block);
  }

  /** One actor does something, whoever the seed picks. */
  #anybody(): boolean {
    const { actors } = this.#computer;
    const start = this.#below(actors);
    for (let turn = 0; turn < actors; turn++) {
      const actor = (start + turn) % actors;
      if (!this.#computer.canAct(actor)) continue;
      const processor = (actor & 1) === 0 ? this.#computer.processors[actor >> 1] : undefined;
      this.#computer.act(actor);
      if (processor?.phase === Phase.protection) {
        const what = `Processor ${processor.number} wants to write and may not: data_access_protection.`;
        this.#say(
          what,
          'W is cleared. The trap leads into the snapshot program, and the processor waits until the block is copied.',
          processor.waitsFor,
        );
      }
      return true;
    }
    return false;
  }

  #say(what: string, why: string, block: number): void {
    this.#frames.push({ step: this.#step, what, why, block, words: this.#computer.state.words.slice() });
  }

  #below(end: number): number {
    this.#random = (Math.imul(this.#random, 1_103_515_245) + 12_345) | 0;
    return ((this.#random >>> 16) & 0x7fff) % end;
  }
}
