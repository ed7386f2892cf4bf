import assert from 'node:assert/strict';
import { test } from 'node:test';
import { able, RandomProgram } from './acts.ts';
import { CheckedStorage } from './checked-storage.ts';
import { Random } from './random.ts';
import type { RunOptions } from './run.ts';
import type { Ability, Act, Subject, SubjectKind, SubjectOptions } from './subject.ts';

/** A program does not go on for ever: after so many steps it rests, and the snapshot must come to its end. */
const BUSY_STEPS = 400;

/** How one kind of machine is checked. */
export class Checks {
  readonly kind: SubjectKind;

  constructor(kind: SubjectKind) {
    this.kind = kind;
  }

  /** A test that needs some abilities; without them it is skipped with the machine's reason. */
  check(name: string, needs: readonly Ability[], body: () => Promise<void>): void {
    const reason = needs.map((each) => this.kind.lacks[each]).find((each) => each !== undefined);
    test(name, reason === undefined ? {} : { skip: reason }, body);
  }

  /**
   * The same for many seeds. What fails names its seed; LIVECORE_SEED repeats that one alone. The body returns how
   * often what it is about came about; if it never did, it has shown nothing.
   */
  checkSeeds(name: string, needs: readonly Ability[], body: (seed: number) => Promise<number>): void {
    const given = process.env['LIVECORE_SEED'];
    const seeds = given === undefined ? [...Array(this.kind.schedules).keys()] : [Number(given)];
    this.check(name, needs, async () => {
      let times = 0;
      for (const seed of seeds) times += await named(`LIVECORE_SEED=${seed}`, () => body(seed));
      assert.ok(times > 0, 'what this is about came about in no schedule');
    });
  }

  create(seed: number, options: Partial<SubjectOptions> = {}): Promise<Subject> {
    return this.kind.create({ seed, storage: roomFor(6), ...options });
  }

  /** Acts at random for a while, then rest. */
  busy(
    seed: number,
    kinds: readonly Act['kind'][],
    steps: number = BUSY_STEPS,
  ): NonNullable<RunOptions['acts']> {
    const random = new Random(~seed);
    const program = new RandomProgram(random, able(this.kind, kinds), 1 + random.below(3));
    return ({ index }) => (index < steps ? program.next() : []);
  }
}

/** Storage with so much room, of which traps alone get a third. */
export function roomFor(slots: number): SubjectOptions['storage'] {
  return (blockBytes, supply) =>
    new CheckedStorage(blockBytes, slots, {
      reserve: Math.floor(slots / 3),
      ...(supply === undefined ? {} : { supply }),
    });
}

/** Runs a part of a test; what fails in it names the part. */
export async function named<Result>(part: string, body: () => Promise<Result>): Promise<Result> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof Error) error.message = `${part}: ${error.message}`;
    throw error;
  }
}
