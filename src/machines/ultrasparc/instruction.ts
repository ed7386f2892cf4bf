import { CP, CV, E, NFO, P } from './tte.ts';

export type InstructionKind =
  /** reads a word */
  | 'load'
  /** a load that never faults ("selected specific loads"): speculative */
  | 'load-no-fault'
  /** writes a word, through the store buffer */
  | 'store'
  /** exchanges a register and a word of memory, in one go (SWAP) */
  | 'swap'
  /** writes `line` words from an address on: a block store */
  | 'block-store'
  /** waits until the store buffer is empty (MEMBAR) */
  | 'barrier'
  /** fetches an instruction, through the iTLB */
  | 'fetch'
  /** sets the context register: another process runs */
  | 'switch'
  /** throws a block's content away, after it was told: what madvise(DONTNEED) is on Linux */
  | 'remove'
  /** throws a block's content away without a word: what munmap is on Linux */
  | 'destroy'
  /** a system event that starts the snapshot */
  | 'event';

/** One instruction of a processor's program. */
export interface Instruction {
  readonly kind: InstructionKind;
  readonly va?: bigint;
  readonly value?: number;
  /** of a switch */
  readonly context?: number;
  /** made inside the operating system: a processor that waits here for a trap can't be held until it was served */
  readonly inKernel?: boolean;
}

/** What a processor runs. */
export interface Program {
  readonly context?: number;
  /** PSTATE.PRIV */
  readonly supervisor?: boolean;
  readonly instructions: readonly Instruction[];
  /** starts over at its end */
  readonly loop?: boolean;
}

/** The traps that end an instruction, under the Manual's names. */
export const EXCEPTIONS: readonly string[] = [
  'none',
  'data_access_exception',
  'instruction_access_exception',
  'data_access_protection',
  'data_access_MMU_miss',
  'instruction_access_MMU_miss',
];
export const DATA_ACCESS_EXCEPTION = 1;
export const INSTRUCTION_ACCESS_EXCEPTION = 2;
export const DATA_ACCESS_PROTECTION = 3;
export const DATA_ACCESS_MISS = 4;
export const INSTRUCTION_ACCESS_MISS = 5;

/** The trap that refuses an access. */
export function exceptionOf(kind: InstructionKind): number {
  return kind === 'fetch' ? INSTRUCTION_ACCESS_EXCEPTION : DATA_ACCESS_EXCEPTION;
}

/** The FT field (Manual, table 6-13) of what an access may not do to a page, else 0. */
export function faultTypeOf(
  kind: InstructionKind,
  dataHigh: number,
  dataLow: number,
  supervisor: boolean,
): number {
  if ((dataLow & P) !== 0 && !supervisor) return 0x01;
  if (kind === 'load-no-fault') return (dataLow & E) !== 0 ? 0x02 : 0;
  if (kind === 'swap' && (dataLow & (CP | CV)) === 0) return 0x04;
  return (dataHigh & NFO) !== 0 ? 0x10 : 0;
}

/** What IE does to a word. */
export function swapBytes(value: number): number {
  return ((value >>> 24) | ((value >>> 8) & 0xff00) | ((value << 8) & 0xff_0000) | (value << 24)) >>> 0;
}
