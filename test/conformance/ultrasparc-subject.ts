import type { Clock, Machine, TrapBatch } from '../../src/engine/machine.ts';
import type { Policy } from '../../src/engine/policy.ts';
import { Bus } from '../../src/machines/ultrasparc/bus.ts';
import { Computer } from '../../src/machines/ultrasparc/computer.ts';
import type { Instruction } from '../../src/machines/ultrasparc/instruction.ts';
import { UltrasparcMachine } from '../../src/machines/ultrasparc/machine.ts';
import type { Observer } from '../../src/machines/ultrasparc/observer.ts';
import type { Page, Shape } from '../../src/machines/ultrasparc/shape.ts';
import { SAVED_W } from '../../src/machines/ultrasparc/tte.ts';
import type { CheckedStorage } from './checked-storage.ts';
import { ForwardingMachine } from './forwarding-machine.ts';
import { Random } from './random.ts';
import { type Act, PLACES, type Subject, type SubjectKind, type SubjectOptions } from './subject.ts';

/** What a step of the loop costs at least. */
const STEP_NS = 1_000;
/** What a look at the clock costs. */
const LOOK_NS = 100;
const FIRST_BLOCK = 24;
const WORDS = 96;
const KERNEL_BLOCKS = 8;
const LARGE_AT = 16;
const LARGE_BLOCKS = 8;
/** applications, from behind the kernel and the copy map on; the last block is a DMA buffer */
const FIRST_APPLICATION = 9;
const BLOCKS = 64;
const BUFFER_BLOCK = BLOCKS - 1;
const WRITERS = 3;
const TRANSFERS = 4_000;

export const ultrasparc: SubjectKind = {
  name: 'ultrasparc',
  lacks: {
    appear: 'all memory of this computer is there from the start',
    stick: 'a processor stops at its next instruction',
    unstick: 'a processor stops at its next instruction',
  },
  unreached: { absent: 'what is destroyed before T0 is zeros then', zero: 'it copies zeros like all else' },
  schedules: 120,
  faultPoints: 120,
  create: (options) => Promise.resolve(new UltrasparcSubject(options)),
};

/** A store as it must reach memory. */
interface Issued {
  readonly block: number;
  readonly word: number;
  readonly value: number;
}

/** The reference machine, whose time passes while it waits for a trap. */
class Timed extends ForwardingMachine {
  readonly #computer: Computer;
  constructor(inner: Machine, computer: Computer) {
    super(inner);
    this.#computer = computer;
  }
  override takeTraps(traps: TrapBatch, timeoutNs: number): void {
    super.takeTraps(traps, timeoutNs);
    if (traps.length === 0) passTime(this.#computer, timeoutNs);
  }
}

/**
 * The document's computer, each processor a writer that is given its program an instruction at a time. Between two
 * steps every processor goes as far as it can; within a step, before any access of the snapshot program, some.
 */
export class UltrasparcSubject implements Subject {
  readonly machine: Machine;
  readonly storage: CheckedStorage;
  readonly clock: Clock;
  readonly writers: number = WRITERS;
  readonly knowsAll: boolean = true;
  readonly policy: Partial<Policy> = {
    holdNs: 1_000 * STEP_NS,
    stallLimitNs: 1_000 * STEP_NS,
  };
  readonly #computer: Computer;
  readonly #random: Random;
  readonly #pages: readonly Page[];
  readonly #issued: Issued[][] = [];
  readonly #wrong: string[] = [];
  readonly #landed: number[] = [];
  readonly #thrown = new Set<number>();
  readonly #destroyedSince = new Set<number>();
  /** first storage as its own programs make it */
  readonly #model: Uint32Array;
  #atT0: Uint32Array | undefined;
  #value = 0;
  /** transfers that the device was told to make */
  #transfers = 0;

  constructor({ seed, storage, liveArming = true }: SubjectOptions) {
    this.#random = new Random(seed);
    const shape = shapeOf(this.#random, liveArming);
    this.#pages = shape.pages;
    this.#computer = new Computer(shape);
    for (let writer = 0; writer < WRITERS; writer++) {
      this.#issued.push([]);
      this.#landed.push(0);
    }
    this.#fill();
    this.#model = this.#content();
    this.#computer.observer = this.#observer();
    const bus = new Bus(this.#computer);
    bus.between = (): boolean => this.#random.oneIn(16) && this.#actOnce();
    const machine = new UltrasparcMachine(bus);
    this.machine = new Timed(machine, this.#computer);
    this.clock = {
      now: () => {
        passTime(this.#computer, LOOK_NS);
        return machine.clock.now();
      },
    };
    this.storage = storage(machine.blockBytes);
    // So that the machine knows that programs remove memory: the first has, before anything began.
    this.#goOn();
  }

  act(act: Act): void {
    switch (act.kind) {
      case 'store':
      case 'kernelStore':
        this.#store(act.writer % WRITERS, act.place, act.kind === 'kernelStore');
        break;
      case 'remove':
        this.#throwAway('remove', act.writer % WRITERS, act.place, act.blocks);
        break;
      case 'destroy':
        this.#throwAway('destroy', 0, act.place, act.blocks);
        break;
      case 'past':
        this.#transfers++;
        break;
      default:
        throw new Error(`not on this machine: ${act.kind}`);
    }
    this.#goOn();
  }

  pass(ns: number): void {
    passTime(this.#computer, Math.max(ns, STEP_NS));
    this.#goOn();
  }

  held(): void {
    // The observer has it to the access.
  }

  expected(): readonly { readonly first: number; readonly count: number }[] {
    return this.#atT0 === undefined ? [] : [{ first: FIRST_BLOCK, count: BLOCKS }];
  }

  wrongAtT0(block: number, content: Uint8Array): string | undefined {
    if (this.#atT0 === undefined) return 'there was no T0';
    const words = new Uint32Array(content.slice().buffer);
    for (let word = 0; word < WORDS; word++) {
      const was = this.#atT0[(block - FIRST_BLOCK) * WORDS + word]!;
      if (words[word] !== was) return `word ${word} is ${words[word]}, was ${was}`;
    }
    return undefined;
  }

  excuse(block: number, listed: 'lost' | 'absent' | 'unreliable'): string | undefined {
    if (listed === 'lost' && this.#destroyedSince.has(block)) return 'destroyed after T0';
    if (listed === 'unreliable' && block === FIRST_BLOCK + BUFFER_BLOCK) return 'devices write there';
    return undefined;
  }

  settle(): Promise<readonly string[]> {
    this.#goOn();
    const wrong = [...this.#wrong];
    const { tables, plan, processors, memory } = this.#computer;
    for (let entry = 0; entry < plan.sttEntries; entry++)
      if ((tables.dataLow(entry) & SAVED_W) !== 0) wrong.push(`entry ${entry} of the table is protected`);
    for (const { number, stopped, waitsFor, done } of processors) {
      if (stopped) wrong.push(`processor ${number} is stopped`);
      if (waitsFor >= 0) wrong.push(`processor ${number} waits for block ${waitsFor}`);
      if (!done) wrong.push(`processor ${number} has more to do`);
      if (this.#landed[number] !== this.#issued[number]!.length)
        wrong.push(`processor ${number}: ${this.#landed[number]} of ${this.#issued[number]!.length} stores`);
    }
    for (let block = FIRST_BLOCK + plan.tableBlocks; block < FIRST_BLOCK + BLOCKS; block++) {
      if (this.#thrown.has(block) || block === FIRST_BLOCK + BUFFER_BLOCK) continue;
      for (let word = 0; word < WORDS; word++)
        if (memory.read(block, word) !== this.#model[(block - FIRST_BLOCK) * WORDS + word])
          wrong.push(`word ${word} of block ${block} has changed`);
    }
    return Promise.resolve(wrong);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #observer(): Observer {
    return {
      processorWrote: (processor, block, order) => this.#wrote(processor, block, order),
      deviceWrote: () => {},
      destroyed: (processor, block) => {
        this.#thrown.add(block);
        const { pc, program } = this.#computer.processors[processor]!;
        if (program.instructions[pc]!.kind === 'destroy' && this.#atT0 !== undefined)
          this.#destroyedSince.add(block);
      },
      multipleMatch: (processor) => void this.#wrong.push(`a TLB of processor ${processor} has two entries`),
      programWrote: () => {},
      storageWrote: () => {},
      stored: () => {},
      marked: () => {},
      instant: () => {
        this.#atT0 = this.#content();
      },
      listed: () => {},
    };
  }

  #wrote(processor: number, block: number, order: number): void {
    const expected = this.#issued[processor]![order];
    this.#landed[processor] = order + 1;
    if (expected === undefined || expected.block !== block) {
      this.#wrong.push(`store ${order} of processor ${processor} went to block ${block}`);
      return;
    }
    const { word, value } = expected;
    if (this.#computer.memory.read(block, word) !== value)
      this.#wrong.push(`store ${order} of processor ${processor} made another value`);
    this.#model[(block - FIRST_BLOCK) * WORDS + word] = value;
  }

  #store(writer: number, place: number, inKernel: boolean): void {
    const page = this.#pageAt(writer, place);
    // Each writer has its own words in every block.
    const word = (this.#value % Math.floor(WORDS / WRITERS)) * WRITERS + writer;
    const piece = page.size === undefined ? 0 : this.#value % LARGE_BLOCKS;
    const value = ++this.#value;
    this.#issued[writer]!.push({ block: FIRST_BLOCK + page.block + piece, word, value });
    this.#append(writer, { kind: 'store', va: addressOf(page, piece, word), value, inKernel });
  }

  #throwAway(kind: 'remove' | 'destroy', writer: number, place: number, blocks: number): void {
    const page = this.#pageAt(writer, place);
    const count = Math.min(blocks, page.size === undefined ? 1 : LARGE_BLOCKS);
    for (let piece = 0; piece < count; piece++) this.#append(writer, { kind, va: addressOf(page, piece, 0) });
  }

  #append(writer: number, instruction: Instruction): void {
    this.#computer.processors[writer]!.append(instruction);
  }

  #pageAt(writer: number, place: number): Page {
    const mine = this.#pages.filter(({ context }) => context === contextOf(writer));
    return mine[Math.floor((place / PLACES) * mine.length)]!;
  }

  /** Everybody goes as far as they can; the device makes the transfers that it was told to. */
  #goOn(): void {
    while (this.#actOnce());
  }

  #actOnce(): boolean {
    const { actors } = this.#computer;
    const from = this.#random.below(actors);
    for (let index = 0; index < actors; index++) {
      const actor = (from + index) % actors;
      if (!this.#computer.canAct(actor) || (this.#isDevice(actor) && !this.#mayTransfer())) continue;
      this.#computer.act(actor);
      return true;
    }
    return false;
  }

  #isDevice(actor: number): boolean {
    return actor >= 2 * WRITERS;
  }
  #mayTransfer(): boolean {
    const { bridge } = this.#computer;
    return bridge.inFlight(0) || bridge.begun(0) < this.#transfers;
  }

  #fill(): void {
    const { memory } = this.#computer;
    for (let block = FIRST_APPLICATION; block < BLOCKS; block++) {
      if (this.#random.oneIn(4)) continue;
      for (let word = 0; word < WORDS; word++)
        memory.write(FIRST_BLOCK + block, word, 1 + this.#random.below(2 ** 31));
    }
  }

  #content(): Uint32Array {
    const { memory, state } = this.#computer;
    const from = memory.at(FIRST_BLOCK, 0);
    return state.words.slice(from, from + BLOCKS * WORDS);
  }
}

function passTime(computer: Computer, ns: number): void {
  const { state, places } = computer;
  state.words[places.clock] = state.words[places.clock]! + ns;
}

function contextOf(writer: number): number {
  return 1 + (writer % 2);
}

function addressOf(page: Page, piece: number, word: number): bigint {
  return page.va + BigInt(piece) * 8192n + BigInt(word * 4);
}

/** Two contexts; every application has a page in both, but for the large page, which one of them has 8 KiB of. */
function shapeOf(random: Random, liveArming: boolean): Shape {
  const pages: Page[] = [];
  for (let block = FIRST_APPLICATION; block < BUFFER_BLOCK; block++) {
    const large = block >= LARGE_AT && block < LARGE_AT + LARGE_BLOCKS;
    if (!large) pages.push({ va: 0x40_0000n * BigInt(block), block, context: 1 });
    if (!large || block === LARGE_AT + 1)
      pages.push({ va: 0x40_0000n * BigInt(block + 40) + 0x2000n, block, context: 2 });
  }
  pages.push({ va: 0x8000_0000n, block: LARGE_AT, context: 1, size: 1 });
  const first = pages[0]!;
  return {
    blocks: BLOCKS,
    firstBlock: FIRST_BLOCK,
    wordsPerBlock: WORDS,
    kernelBlocks: KERNEL_BLOCKS,
    tlbEntries: 4,
    tsbEntries: 8,
    tsb: random.oneIn(2) ? 'per-process' : 'shared',
    lineWords: 4,
    storeBufferEntries: 4,
    pages,
    programs: Array.from({ length: WRITERS }, (_, writer) => ({
      context: contextOf(writer),
      supervisor: true,
      instructions: writer === 0 ? [{ kind: 'remove', va: first.va }] : [],
    })),
    devices: [
      {
        transfers: Array.from({ length: TRANSFERS }, (_, index) => ({
          block: BUFFER_BLOCK,
          word: index % WORDS,
          value: 0xd000 + index,
        })),
      },
    ],
    variants: {
      map: 'separate',
      dma: 'mark',
      arming: liveArming ? 'live' : 'hold',
      kernel: random.oneIn(2) ? 'initial' : 'protected',
      pages: random.oneIn(2) ? 'whole' : 'split',
    },
  };
}
