import fc from 'fast-check';
import { Snapshot } from '../../src/engine/snapshot.ts';
import { Bus } from '../../src/machines/ultrasparc/bus.ts';
import { Computer } from '../../src/machines/ultrasparc/computer.ts';
import { copyMapMemory } from '../../src/machines/ultrasparc/copy-map-memory.ts';
import type { Instruction, Program } from '../../src/machines/ultrasparc/instruction.ts';
import { UltrasparcMachine } from '../../src/machines/ultrasparc/machine.ts';
import { groundOf, type Page, planOf, type Shape } from '../../src/machines/ultrasparc/shape.ts';
import { storedContent, UltrasparcStorage } from '../../src/machines/ultrasparc/storage.ts';
import { describeVariants, legalCombinations } from '../../src/machines/ultrasparc/variants.ts';
import { describe, encodeActor, shorten } from './describe.ts';
import { POLICY } from './explorer.ts';
import { Judge } from './judge.ts';

/** A larger machine and one schedule of it, as fast-check makes and shrinks it. */
export interface Drawn {
  readonly applications: number;
  readonly large: boolean;
  readonly perProcess: boolean;
  /** picks one of the legal combinations */
  readonly variants: number;
  readonly programs: readonly (readonly {
    readonly kind: number;
    readonly page: number;
    readonly word: number;
  }[])[];
  readonly transfers: number;
  /** before each access of the snapshot program: how many steps of whom */
  readonly schedule: readonly number[];
}

const WORDS = 64;
const FIRST_APPLICATION = 4;
const KINDS: readonly Instruction['kind'][] = [
  'store',
  'load',
  'swap',
  'block-store',
  'fetch',
  'switch',
  'barrier',
];

/** Whatever can be drawn. */
export const drawn: fc.Arbitrary<Drawn> = fc.record({
  applications: fc.integer({ min: 2, max: 12 }),
  large: fc.boolean(),
  perProcess: fc.boolean(),
  variants: fc.nat({ max: 100_000 }),
  programs: fc.array(
    fc.array(fc.record({ kind: fc.nat({ max: 6 }), page: fc.nat({ max: 40 }), word: fc.nat({ max: 7 }) }), {
      maxLength: 12,
    }),
    { minLength: 1, maxLength: 4 },
  ),
  transfers: fc.nat({ max: 4 }),
  schedule: fc.array(fc.nat({ max: 63 }), { maxLength: 600 }),
});

/** The shape of a drawn machine: two contexts, each block with a page in both, the last application a DMA buffer. */
export function shapeOf(one: Drawn): Shape {
  const pages: Page[] = [{ va: 0x6_0000n, block: 2, global: true, privileged: true, locked: true }];
  const applications = one.large ? Math.max(10, one.applications) : one.applications;
  const largeAt = 8;
  for (let index = 0; index < applications; index++) {
    const block = FIRST_APPLICATION + index;
    pages.push({ va: 0x40_0000n * BigInt(index + 1), block, context: 1 });
    if (!one.large || block < largeAt)
      pages.push({ va: 0x40_0000n * BigInt(index + 40) + 0x2000n, block, context: 2 });
  }
  if (one.large) pages.push({ va: 0x8000_0000n, block: largeAt, context: 2, size: 1 });
  const blocks = Math.max(FIRST_APPLICATION + applications, one.large ? largeAt + 8 : 0);
  const words = pages.length + (one.large ? 8 : 0);
  const shape: Shape = {
    blocks,
    firstBlock: 24,
    wordsPerBlock: Math.max(WORDS, Math.ceil((words * 4 + 8 * 4 * 3) / 2)),
    kernelBlocks: 3,
    tlbEntries: 4,
    tsbEntries: 8,
    tsb: one.perProcess ? 'per-process' : 'shared',
    lineWords: 4,
    storeBufferEntries: 4,
    pages,
    programs: one.programs.map((program, index) => programOf(program, index, pages)),
    devices: [
      {
        transfers: Array.from({ length: one.transfers }, (_, word) => ({
          block: blocks - 1,
          word,
          value: 0xd0 + word,
        })),
      },
    ],
  };
  const legal = legalCombinations(groundOf(planOf({ ...shape, variants: { pages: 'split' } })));
  return { ...shape, variants: { ...legal[one.variants % legal.length]!, start: 'user' } };
}

function programOf(program: Drawn['programs'][number], index: number, pages: readonly Page[]): Program {
  let context = 1 + (index % 2);
  let value = 0x1000 * (index + 1);
  const instructions = program.map(({ kind, page, word }): Instruction => {
    const chosen = KINDS[kind]!;
    if (chosen === 'barrier') return { kind: chosen };
    if (chosen === 'switch') {
      context = 3 - context;
      return { kind: chosen, context };
    }
    const mine = pages.filter((one) => one.global === true || one.context === context);
    const { va, size = 0 } = mine[page % mine.length]!;
    const piece = size === 0 ? 0n : BigInt(page % 8) * 8192n;
    value += 16;
    return { kind: chosen, va: va + piece + BigInt(word * 4), value };
  });
  return { context: 1 + (index % 2), supervisor: true, instructions };
}

/** Something a processor or a device did that counts without a snapshot as well. */
interface Effect {
  readonly actor: number;
  readonly pc: number;
}

/** Runs a drawn machine under its schedule; what is wrong, and what happened. */
export function runDrawn(one: Drawn): { wrong: string | undefined; schedule: string[] } {
  const shape = shapeOf(one);
  // oxlint-disable-next-line typescript/unbound-method -- a static function without `this`
  const computer = new Computer(shape, { witnessWords: Judge.words });
  const judge = new Judge(computer, storedContent);
  const bus = new Bus(computer);
  const events: (number | readonly number[])[] = [];
  const effects: Effect[] = [];
  let wrong: string | undefined;
  const act = (actor: number): boolean => {
    if (!computer.canAct(actor)) return false;
    events.push(encodeActor(computer, actor));
    const processor = (actor & 1) === 0 ? computer.processors[actor >> 1] : undefined;
    const pc = processor?.pc;
    computer.act(actor);
    if (processor === undefined || processor.pc !== pc) effects.push({ actor, pc: pc ?? 0 });
    wrong ??= judge.take();
    return true;
  };
  let turn = 0;
  bus.between = (op, a, b, c): boolean => {
    wrong ??= judge.take();
    const choice = one.schedule[turn++] ?? 0;
    let acted = false;
    for (let step = choice >> 4; step > 0; step--) acted = act((choice & 15) % computer.actors) || acted;
    for (let actor = 0; !acted && bus.blocked(op, a) && actor < computer.actors; actor++) acted = act(actor);
    events.push([op, a, b, c]);
    return acted;
  };
  const machine = new UltrasparcMachine(bus);
  const options = { leaves: copyMapMemory(bus) };
  const snapshot = new Snapshot(machine, new UltrasparcStorage(bus), POLICY, machine.clock, options);
  for (let steps = 0; snapshot.step() !== 'ended'; steps++) {
    // Steps serve and act in turns.
    if (steps % 2 === 0) judge.afterServing();
    judge.noteWaiting();
    judge.atRest();
    if (steps > 5_000) wrong ??= 'the snapshot does not end';
    if (steps > 5_000) break;
    // A hold waits for processors to come to their next instruction: each goes on now and then.
    if (steps % 8 === 7) for (let actor = 0; actor < computer.actors; actor++) act(actor);
  }
  if (snapshot.failure !== undefined) wrong ??= snapshot.failure.message;
  for (let going = true; going; ) {
    going = false;
    for (let actor = 0; actor < computer.actors; actor++) going = act(actor) || going;
  }
  judge.atEnd();
  if (snapshot.failure === undefined) judge.atLists(snapshot.unreliable, snapshot.lost);
  wrong ??= judge.take() ?? differsFromPlain(shape, computer, effects);
  return { wrong, schedule: shorten(events.map((event) => describe(computer, event))) };
}

/** The same effects in the same order on a machine that is not captured: memory and registers have to be equal. */
function differsFromPlain(shape: Shape, captured: Computer, effects: readonly Effect[]): string | undefined {
  const plain = new Computer({ ...shape, variants: { ...shape.variants, storage: 'separate' } });
  for (const { actor, pc } of effects) {
    const processor = (actor & 1) === 0 ? plain.processors[actor >> 1] : undefined;
    if (processor === undefined) plain.act(actor);
    else while (processor.pc === pc && processor.canStep()) processor.step();
  }
  const { plan } = captured;
  for (let block = plan.firstBlock + plan.tableBlocks; block < plan.firstBlock + plan.blocks; block++) {
    if (block === plan.mapBlock) continue;
    for (let word = 0; word < plan.wordsPerBlock; word++) {
      const [is, was] = [captured.memory.read(block, word), plain.memory.read(block, word)];
      if (is !== was) return `word ${word} of block ${block} is ${is}, and ${was} without a snapshot`;
    }
  }
  for (const [index, processor] of captured.processors.entries()) {
    for (let register = 0; register < 8; register++) {
      const was = plain.processors[index]!.register(register);
      if (processor.register(register) !== was)
        return `processor ${index} loaded another value than without a snapshot`;
    }
  }
  return undefined;
}

/** Runs random machines; undefined if all is right, else the shortest schedule that is not, and how to see it again. */
export function exploreRandomly(runs: number, seed: number): string | undefined {
  const result = fc.check(
    fc.property(drawn, (one) => runDrawn(one).wrong === undefined),
    { seed, numRuns: runs, endOnFailure: false },
  );
  if (!result.failed) return undefined;
  const shortest = result.counterexample![0];
  const { wrong, schedule } = runDrawn(shortest);
  const machine = `${shapeOf(shortest).blocks} blocks, ${describeVariants({ ...planOf(shapeOf(shortest)).variants })}`;
  return [
    `${wrong}`,
    machine,
    ...schedule.map((event) => `    ${event}`),
    `again: npm run explore -- --seed ${seed} --runs ${runs}`,
  ].join('\n');
}
