import { Bus, Op } from '../../src/machines/ultrasparc/bus.ts';
import { Computer } from '../../src/machines/ultrasparc/computer.ts';
import { snapshotOf } from '../../src/machines/ultrasparc/computer-snapshot.ts';
import type { Shape } from '../../src/machines/ultrasparc/shape.ts';
import { SAVED_W } from '../../src/machines/ultrasparc/tte.ts';

/** What happened in a snapshot of the reference machine, in order, in words that a test can name. */
export interface Recorded {
  readonly computer: Computer;
  readonly events: readonly string[];
  readonly failure: string | undefined;
  /** content of first storage at T0, a block each */
  readonly atT0: ReadonlyMap<number, readonly number[]>;
  readonly unreliable: readonly number[];
}

export interface RecordOptions {
  /** before the snapshot begins */
  readonly first?: (computer: Computer) => void;
  /** after an access of the snapshot program in which the event happened; may let processors and devices act */
  readonly on?: (event: string, computer: Computer) => void;
}

const MOST_STEPS = 2_000;

/**
 * Takes a snapshot and writes down each access of the snapshot program that means something, and each write that
 * reaches memory. Nobody acts but by `on`, unless the snapshot program waits for them, and at the end.
 */
export function record(shape: Shape, { first, on }: RecordOptions = {}): Recorded {
  const computer = new Computer(shape);
  const events: string[] = [];
  const atT0 = new Map<number, number[]>();
  first?.(computer);
  const say = (event: string): void => void events.push(event);
  computer.observer = {
    processorWrote: (processor, block) => say(`P${processor} wrote ${block}`),
    deviceWrote: (slot, block) => say(`device ${slot} wrote ${block}`),
    destroyed: (processor, block) => say(`P${processor} destroyed ${block}`),
    multipleMatch: (processor) => say(`P${processor} has a multiple match`),
    programWrote: () => {},
    storageWrote: () => {},
    stored: (block) => say(`stored ${block}`),
    marked: (firstBlock, before, after) => {
      for (let bit = 0; bit < 32; bit++) {
        if ((((before ^ after) >>> bit) & 1) === 1) say(`marked ${firstBlock + bit}`);
      }
    },
    instant: () => {
      const { firstBlock, blocks } = computer.plan;
      for (let block = firstBlock; block < firstBlock + blocks; block++)
        atT0.set(block, contentOf(computer, block));
      say('T0');
    },
    listed: (block, as) => say(`listed ${block} ${as}`),
  };
  // What a test says from within a step would be taken for a failure of the machine.
  let objection: unknown;
  const tell = (event: string): void => {
    try {
      on?.(event, computer);
    } catch (error) {
      objection ??= error;
    }
  };
  const bus = new Bus(computer);
  const execute = bus.execute.bind(bus);
  bus.execute = (op, a, b, c): number => {
    const before = events.length;
    const result = execute(op, a, b, c);
    const event = eventOf(computer, op, a, b, result);
    if (event !== undefined) say(event);
    for (let index = before, end = events.length; index < end; index++) tell(events[index]!);
    return result;
  };
  const snapshot = snapshotOf(bus, { chunkBlocks: 1 });
  for (let steps = 0; steps < MOST_STEPS; steps++) {
    const step = snapshot.step();
    if (step === 'ended') break;
    // Who is to be held comes to a place where it can be.
    if (step === 'holding') for (let actor = 0; actor < computer.actors; actor++) tryAct(computer, actor);
  }
  for (let acted = true; acted; ) {
    acted = false;
    for (let actor = 0; actor < computer.actors; actor++) acted = tryAct(computer, actor) || acted;
  }
  if (objection !== undefined) throw objection;
  const failure = snapshot.phase === 'ended' ? snapshot.failure?.message : 'the snapshot does not end';
  const unreliable = [...snapshot.unreliable].flatMap(({ first: from, count }) =>
    Array.from({ length: count }, (_, index) => from + index),
  );
  return { computer, events, failure, atT0, unreliable };
}

/** The words of a block as they stand. */
export function contentOf({ memory }: Computer, block: number): number[] {
  return Array.from({ length: memory.wordsPerBlock }, (_, word) => memory.read(block, word));
}

/** Lets a processor run on until it can't: done, stopped, or waiting for a trap. */
export function runOn(computer: Computer, processor: number): void {
  while (tryAct(computer, 2 * processor) || tryAct(computer, 2 * processor + 1));
}

/** One step of an actor, if it can make one. */
export function tryAct(computer: Computer, actor: number): boolean {
  if (!computer.canAct(actor)) return false;
  computer.act(actor);
  return true;
}

function eventOf(computer: Computer, op: number, a: number, b: number, result: number): string | undefined {
  switch (op) {
    case Op.active:
      return a === 1 ? 'begin' : 'end';
    case Op.awaitEvent:
      return 'event awaited';
    case Op.stop:
      return `stop P${a}`;
    case Op.go:
      return `go P${a}`;
    case Op.slotClose:
      return `close ${a}`;
    case Op.slotOpen:
      return `open ${a}`;
    case Op.sttWrite:
      return `W ${(b & SAVED_W) === 0 ? 'set' : 'cleared'} of page ${a}`;
    case Op.takeTrap:
      return result === 0 ? undefined : `trap ${Math.abs(result | 0) - 1}`;
    case Op.wake:
      return `wake ${a} ${b}`;
    case Op.copyWord:
      return b === computer.plan.wordsPerBlock - 1 ? `copied ${a}` : undefined;
    case Op.mapRead:
      return 'map read';
    default:
      return undefined;
  }
}
