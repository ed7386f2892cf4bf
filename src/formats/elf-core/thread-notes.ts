/**
 * The notes of a thread. Layouts: struct elf_prstatus in <sys/procfs.h>, struct user_regs_struct in <sys/user.h>;
 * the other payloads are taken as the kernel gives them (PTRACE_GETREGSET, PTRACE_GETSIGINFO).
 */
import { getBigField, getField, type Struct, setField, struct } from '../../bytes/struct.ts';
import { NOTE_TYPE } from './elf.ts';
import type { Note } from './notes.ts';

/** One thread at T0. */
export interface CoreThread {
  readonly tid: number;
  /** of the process, as pid namespaces of the reader show it; 0 where unknown */
  readonly ppid: number;
  readonly processGroup: number;
  readonly session: number;
  /** the signal that the thread was stopped by; 0 for none */
  readonly signal: number;
  /** bit n-1 stands for signal n */
  readonly pendingSignals: bigint;
  readonly blockedSignals: bigint;
  readonly times: CpuTimes;
  /** struct user_regs_struct, 216 bytes */
  readonly registers: Uint8Array;
  /** struct user_fpregs_struct, 512 bytes */
  readonly fpRegisters?: Uint8Array;
  /** the XSAVE area, as long as PTRACE_GETREGSET gives it */
  readonly xstate?: Uint8Array;
  /** siginfo_t, 128 bytes */
  readonly siginfo?: Uint8Array;
}

/** CPU time in µs; the kernel gives the main thread that of the whole process. */
export interface CpuTimes {
  readonly userUs: number;
  readonly systemUs: number;
  readonly childrenUserUs: number;
  readonly childrenSystemUs: number;
}

/** Registers in the order of struct user_regs_struct, each 8 bytes. */
export const REGISTER_NAMES: readonly string[] = [
  ...['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi', 'rdi'],
  ...['orig_rax', 'rip', 'cs', 'eflags', 'rsp', 'ss', 'fs_base', 'gs_base', 'ds', 'es', 'fs', 'gs'],
];

export const REGISTERS_BYTES = 216;
export const FP_REGISTERS_BYTES = 512;
export const SIGINFO_BYTES = 128;

const prstatusFields = {
  'pr_info.si_signo': 'i32',
  'pr_info.si_code': 'i32',
  'pr_info.si_errno': 'i32',
  pr_cursig: 'i16',
  _pad1: 2,
  pr_sigpend: 'u64',
  pr_sighold: 'u64',
  pr_pid: 'i32',
  pr_ppid: 'i32',
  pr_pgrp: 'i32',
  pr_sid: 'i32',
  'pr_utime.tv_sec': 'i64',
  'pr_utime.tv_usec': 'i64',
  'pr_stime.tv_sec': 'i64',
  'pr_stime.tv_usec': 'i64',
  'pr_cutime.tv_sec': 'i64',
  'pr_cutime.tv_usec': 'i64',
  'pr_cstime.tv_sec': 'i64',
  'pr_cstime.tv_usec': 'i64',
  // struct user_regs_struct, REGISTERS_BYTES
  pr_reg: 216,
  pr_fpvalid: 'i32',
  _pad2: 4,
} as const;
export const PRSTATUS: Struct<typeof prstatusFields> = struct('struct elf_prstatus', 336, prstatusFields);

/** Where the area that XSAVE leaves to software begins in the FXSAVE area; the kernel keeps XCR0 there for XSAVE. */
const SOFTWARE_BYTES_AT = 464;

/**
 * NT_FPREGSET out of an XSAVE area, as PTRACE_GETFPREGS gives it: the first 512 bytes, without the software bytes.
 */
export function fpRegistersOf(xstate: Uint8Array): Uint8Array {
  return xstate.slice(0, FP_REGISTERS_BYTES).fill(0, SOFTWARE_BYTES_AT);
}

/** The notes of one thread: its status, and apart what follows it, because the process' own notes go between. */
export function threadNotes(thread: CoreThread): { status: Note; siginfo: Note[]; registers: Note[] } {
  const note = (owner: string, type: number, payload: Uint8Array | undefined): Note[] =>
    payload === undefined ? [] : [{ owner, type, payload }];
  return {
    status: { owner: 'CORE', type: NOTE_TYPE.PRSTATUS, payload: encodePrstatus(thread) },
    siginfo: note('CORE', NOTE_TYPE.SIGINFO, thread.siginfo),
    registers: [
      ...note('CORE', NOTE_TYPE.FPREGSET, thread.fpRegisters),
      ...note('LINUX', NOTE_TYPE.X86_XSTATE, thread.xstate),
    ],
  };
}

const TIMES = [
  ['pr_utime', 'userUs'],
  ['pr_stime', 'systemUs'],
  ['pr_cutime', 'childrenUserUs'],
  ['pr_cstime', 'childrenSystemUs'],
] as const;

export function encodePrstatus(thread: CoreThread): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(PRSTATUS.sizeBytes);
  const view = new DataView(bytes.buffer);
  const set = (field: Parameters<typeof setField<typeof PRSTATUS.kinds>>[3], value: number | bigint) =>
    setField(PRSTATUS, view, 0, field, value);
  set('pr_info.si_signo', thread.signal);
  set('pr_cursig', thread.signal);
  set('pr_sigpend', thread.pendingSignals);
  set('pr_sighold', thread.blockedSignals);
  set('pr_pid', thread.tid);
  set('pr_ppid', thread.ppid);
  set('pr_pgrp', thread.processGroup);
  set('pr_sid', thread.session);
  for (const [field, name] of TIMES) {
    set(`${field}.tv_sec`, Math.floor(thread.times[name] / 1_000_000));
    set(`${field}.tv_usec`, thread.times[name] % 1_000_000);
  }
  bytes.set(thread.registers.subarray(0, REGISTERS_BYTES), PRSTATUS.at.pr_reg);
  set('pr_fpvalid', thread.fpRegisters === undefined ? 0 : 1);
  return bytes;
}

/** @param bytes exactly a struct elf_prstatus */
export function decodePrstatus(bytes: Uint8Array): CoreThread {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const get = (field: Parameters<typeof getField<typeof PRSTATUS.kinds>>[3]) =>
    getField(PRSTATUS, view, 0, field);
  const timeUs = (field: (typeof TIMES)[number][0]) =>
    get(`${field}.tv_sec`) * 1_000_000 + get(`${field}.tv_usec`);
  return {
    tid: get('pr_pid'),
    ppid: get('pr_ppid'),
    processGroup: get('pr_pgrp'),
    session: get('pr_sid'),
    signal: get('pr_cursig'),
    pendingSignals: getBigField(PRSTATUS, view, 0, 'pr_sigpend'),
    blockedSignals: getBigField(PRSTATUS, view, 0, 'pr_sighold'),
    times: {
      userUs: timeUs('pr_utime'),
      systemUs: timeUs('pr_stime'),
      childrenUserUs: timeUs('pr_cutime'),
      childrenSystemUs: timeUs('pr_cstime'),
    },
    registers: bytes.subarray(PRSTATUS.at.pr_reg, PRSTATUS.at.pr_reg + REGISTERS_BYTES),
  };
}

/** The registers of a struct user_regs_struct by name. */
export function registersByName(registers: Uint8Array): Record<string, bigint> {
  const view = new DataView(registers.buffer, registers.byteOffset, registers.byteLength);
  return Object.fromEntries(REGISTER_NAMES.map((name, index) => [name, view.getBigUint64(index * 8, true)]));
}
