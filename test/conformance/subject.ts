/**
 * What the conformance suite needs of a machine under test: besides the machine itself, a program that uses its
 * memory and can be told what to do between any two steps of a snapshot, and that knows what it has done.
 *
 * It can be memory in this process, a simulated computer, or a real process that is commanded over a pipe.
 */

import type { Clock, Machine } from '../../src/engine/machine.ts';
import type { Policy } from '../../src/engine/policy.ts';
import type { CheckedStorage } from './checked-storage.ts';

/** Places are told as a share of the memory, in 1/65536, so that an act means something on every machine. */
export const PLACES = 65_536;

/** Something that the program does. */
export type Act =
  /** a writer stores a word of its own: no two writers ever share a word, but they share blocks */
  | { readonly kind: 'store'; readonly writer: number; readonly place: number }
  /** the same, made by a system call on the writer's behalf: it can't be stopped while it waits there */
  | { readonly kind: 'kernelStore'; readonly writer: number; readonly place: number }
  /** a writer empties some blocks, as madvise(DONTNEED) does: the machine tells it before it is done */
  | { readonly kind: 'remove'; readonly writer: number; readonly place: number; readonly blocks: number }
  /** some blocks go away, as by munmap: the machine can't tell it before it is done */
  | { readonly kind: 'destroy'; readonly place: number; readonly blocks: number }
  /** memory appears that was not there before */
  | { readonly kind: 'appear'; readonly blocks: number }
  /** something past the protection writes, as a device does */
  | { readonly kind: 'past'; readonly place: number }
  /** a writer falls asleep where nothing can stop it; or it wakes */
  | { readonly kind: 'stick' | 'unstick'; readonly writer: number };

/**
 * What a machine may lack; a test that needs it says so and is skipped with the machine's reason. `lockstep`: its program
 * does what it is told before the next step, and nothing else.
 */
export type Ability = Act['kind'] | 'liveArming' | 'heldArming' | 'lockstep' | 'granules';

export interface SubjectOptions {
  /** seeds everything that the subject itself chooses */
  readonly seed: number;
  /** makes the storage of this snapshot, in memory that the machine can copy to */
  readonly storage: (blockBytes: number, supply?: (bytes: number) => Uint8Array) => CheckedStorage;
  readonly writers?: number;
  /** `false`: the machine can't be armed live, all is protected inside the hold */
  readonly liveArming?: boolean;
}

/** One machine with its program, fresh. Disposing it ends whatever runs for it. */
export interface Subject extends AsyncDisposable {
  readonly machine: Machine;
  readonly storage: CheckedStorage;
  readonly clock: Clock;
  readonly writers: number;
  /** what fits its clock: a hold that takes dozens of looks is too long, a stall is some hundreds of steps */
  readonly policy: Partial<Policy>;

  /** Has the program do something. It may take effect later: a writer does one thing after the other. */
  act(act: Act): void | Promise<void>;
  /** Lets time pass, at least `ns` by the subject's clock; writers that can go on do. */
  pass(ns: number): void | Promise<void>;
  /** Said right after the step in which T0 was. What was under way in that step may be in the snapshot or not. */
  held(): void;

  /** The ranges that the snapshot has to account for, by what there was at T0. */
  expected(): readonly { readonly first: number; readonly count: number }[];
  /** Whether these ranges are all that it may hold. */
  readonly knowsAll: boolean;
  /** What is wrong with a block of the snapshot, undefined if nothing is, or nothing is known of it. */
  wrongAtT0(block: number, content: Uint8Array): string | undefined;
  /** Why a block may be missing from the snapshot or be in doubt, going by what the program did; undefined: it may not. */
  excuse(block: number, listed: 'lost' | 'absent' | 'unreliable'): string | undefined;

  /**
   * Lets the program finish all it was told, and looks at what it finds then. Empty if all is as if there had been
   * no snapshot: every store made once and in order, nobody waits, nobody is stopped, nothing is protected.
   */
  settle(): Promise<readonly string[]>;
}

/** A machine that the suite can run over. */
export interface SubjectKind {
  readonly name: string;
  /** what it can't do, and why */
  readonly lacks: Partial<Record<Ability, string>>;
  /** outcomes that it never has, and why */
  readonly unreached?: Partial<Record<'absent' | 'zero', string>>;
  /** how many random schedules are worth their time here */
  readonly schedules: number;
  /** of all the steps and calls at which something could go wrong, how many are tried; all if there are fewer */
  readonly faultPoints: number;
  create(options: SubjectOptions): Promise<Subject>;
}
