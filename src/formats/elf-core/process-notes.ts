/** The notes of a process as a whole, and all notes of a core in the order in which the kernel writes them. */

import type { Cursor } from '../../bytes/cursor.ts';
import { hex } from '../../bytes/hex.ts';
import { type AddressRange, subtractRanges } from '../../bytes/ranges.ts';
import { getBigField, getField, type Struct, setField, struct } from '../../bytes/struct.ts';
import { NOTE_TYPE, PAGE_BYTES } from './elf.ts';
import { type LivecoreNote, livecoreNote } from './livecore-note.ts';
import { decodeText, encodeText, type Note, type Text } from './notes.ts';
import { MAPPINGS_LIMIT } from './program-headers.ts';
import { type CoreThread, threadNotes } from './thread-notes.ts';

/** A process at T0, without its memory. */
export interface CoreProcess {
  readonly info?: ProcessInfo;
  /** the first one is the one that debuggers show first */
  readonly threads: readonly CoreThread[];
  /** /proc/PID/auxv */
  readonly auxv?: Uint8Array;
  /** the mappings of files, ordered by address */
  readonly files?: readonly FileMapping[];
  readonly livecore?: LivecoreNote;
}

/** What struct elf_prpsinfo says of a process. */
export interface ProcessInfo {
  /** as /proc/PID/stat has it: R, S, D, T, Z ... */
  readonly state: string;
  readonly nice: number;
  /** PF_... of the kernel's sched.h, field 9 of /proc/PID/stat */
  readonly flags: bigint;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  readonly ppid: number;
  readonly processGroup: number;
  readonly session: number;
  /** comm of the main thread, at most 15 bytes */
  readonly name: Text;
  /** /proc/PID/cmdline as it is; the first 79 bytes are kept */
  readonly args: Text;
}

/** The same as a core tells it. */
export interface DecodedProcessInfo extends ProcessInfo {
  readonly name: string;
  /** the arguments, joined by blanks, at most 79 bytes */
  readonly args: string;
}

/** A range of memory that shows a file. */
export interface FileMapping extends AddressRange {
  /** position in the file, a multiple of 4096 */
  readonly fileOffset: bigint;
  /** as /proc/PID/maps has it, unescaped, ` (deleted)` included */
  readonly path: Text;
}

/** The same as a core tells it. */
export interface DecodedFileMapping extends FileMapping {
  readonly path: string;
}

const prpsinfoFields = {
  pr_state: 'i8',
  pr_sname: 'u8',
  pr_zomb: 'i8',
  pr_nice: 'i8',
  _pad: 4,
  pr_flag: 'u64',
  pr_uid: 'u32',
  pr_gid: 'u32',
  pr_pid: 'i32',
  pr_ppid: 'i32',
  pr_pgrp: 'i32',
  pr_sid: 'i32',
  pr_fname: 16,
  pr_psargs: 80,
} as const;
export const PRPSINFO: Struct<typeof prpsinfoFields> = struct('struct elf_prpsinfo', 136, prpsinfoFields);

const fileNoteHeadFields = { count: 'u64', page_size: 'u64' } as const;
/** Head of NT_FILE; after it come `count` entries, then as many names, each ending in NUL. */
export const FILE_NOTE_HEAD: Struct<typeof fileNoteHeadFields> = struct(
  'NT_FILE head',
  16,
  fileNoteHeadFields,
);
const fileNoteEntryFields = { start: 'u64', end: 'u64', file_ofs: 'u64' } as const;
/** `file_ofs` counts pages. */
export const FILE_NOTE_ENTRY: Struct<typeof fileNoteEntryFields> = struct(
  'NT_FILE entry',
  24,
  fileNoteEntryFields,
);

/**
 * All notes of a core. The order is that of fill_note_info in the kernel's fs/binfmt_elf.c: the first thread's
 * status, what concerns the process, the first thread's registers, then thread by thread. Ours is the last.
 *
 * @param missing ordered and disjoint: these ranges show no file either, since debuggers would read it instead
 */
export function coreNotes(process: CoreProcess, missing: readonly AddressRange[] = []): Note[] {
  const [first, ...others] = process.threads.map(threadNotes);
  const notes: Note[] = [];
  if (first !== undefined) notes.push(first.status);
  if (process.info !== undefined) {
    notes.push({ owner: 'CORE', type: NOTE_TYPE.PRPSINFO, payload: encodePrpsinfo(process.info) });
  }
  if (first !== undefined) notes.push(...first.siginfo);
  if (process.auxv !== undefined) notes.push({ owner: 'CORE', type: NOTE_TYPE.AUXV, payload: process.auxv });
  if (process.files !== undefined) {
    notes.push({
      owner: 'CORE',
      type: NOTE_TYPE.FILE,
      payload: encodeFiles(withoutMissing(process.files, missing)),
    });
  }
  if (first !== undefined) notes.push(...first.registers);
  for (const thread of others) notes.push(thread.status, ...thread.registers, ...thread.siginfo);
  if (process.livecore !== undefined) notes.push(livecoreNote(process.livecore));
  return notes;
}

function withoutMissing(files: readonly FileMapping[], missing: readonly AddressRange[]): FileMapping[] {
  if (missing.length === 0) return [...files];
  return files.flatMap((file) =>
    subtractRanges(file, missing).map((part) => ({
      ...part,
      fileOffset: file.fileOffset + (part.start - file.start),
      path: file.path,
    })),
  );
}

const STATES = 'RSDTZW';

export function encodePrpsinfo(info: ProcessInfo): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(PRPSINFO.sizeBytes);
  const view = new DataView(bytes.buffer);
  const set = (field: Parameters<typeof setField<typeof PRPSINFO.kinds>>[3], value: number | bigint) =>
    setField(PRPSINFO, view, 0, field, value);
  set('pr_state', Math.max(0, STATES.indexOf(info.state)));
  set('pr_sname', info.state.charCodeAt(0));
  set('pr_zomb', info.state === 'Z' ? 1 : 0);
  set('pr_nice', info.nice);
  set('pr_flag', info.flags);
  set('pr_uid', info.uid);
  set('pr_gid', info.gid);
  set('pr_pid', info.pid);
  set('pr_ppid', info.ppid);
  set('pr_pgrp', info.processGroup);
  set('pr_sid', info.session);
  bytes.set(encodeText(info.name).subarray(0, PRPSINFO.size.pr_fname - 1), PRPSINFO.at.pr_fname);
  const args = encodeText(info.args).subarray(0, PRPSINFO.size.pr_psargs - 1);
  // fill_psinfo joins the arguments by blanks, the last one included
  bytes.set(
    args.map((byte) => (byte === 0 ? 0x20 : byte)),
    PRPSINFO.at.pr_psargs,
  );
  return bytes;
}

/** @param bytes exactly a struct elf_prpsinfo */
export function decodePrpsinfo(bytes: Uint8Array): DecodedProcessInfo {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const get = (field: Parameters<typeof getField<typeof PRPSINFO.kinds>>[3]) =>
    getField(PRPSINFO, view, 0, field);
  const text = (field: 'pr_fname' | 'pr_psargs') =>
    decodeText(bytes.subarray(PRPSINFO.at[field], PRPSINFO.at[field] + PRPSINFO.size[field]));
  return {
    state: String.fromCharCode(get('pr_sname')),
    nice: get('pr_nice'),
    flags: getBigField(PRPSINFO, view, 0, 'pr_flag'),
    uid: get('pr_uid'),
    gid: get('pr_gid'),
    pid: get('pr_pid'),
    ppid: get('pr_ppid'),
    processGroup: get('pr_pgrp'),
    session: get('pr_sid'),
    name: text('pr_fname'),
    args: text('pr_psargs'),
  };
}

export function encodeFiles(files: readonly FileMapping[]): Uint8Array<ArrayBuffer> {
  const names = files.map((file) => encodeText(file.path));
  const namesAt = FILE_NOTE_HEAD.sizeBytes + files.length * FILE_NOTE_ENTRY.sizeBytes;
  const bytes = new Uint8Array(names.reduce((sum, name) => sum + name.length + 1, namesAt));
  const view = new DataView(bytes.buffer);
  setField(FILE_NOTE_HEAD, view, 0, 'count', files.length);
  setField(FILE_NOTE_HEAD, view, 0, 'page_size', PAGE_BYTES);
  let nameAt = namesAt;
  files.forEach((file, index) => {
    const at = FILE_NOTE_HEAD.sizeBytes + index * FILE_NOTE_ENTRY.sizeBytes;
    setField(FILE_NOTE_ENTRY, view, at, 'start', file.start);
    setField(FILE_NOTE_ENTRY, view, at, 'end', file.end);
    setField(FILE_NOTE_ENTRY, view, at, 'file_ofs', file.fileOffset / BigInt(PAGE_BYTES));
    bytes.set(names[index]!, nameAt);
    nameAt += names[index]!.length + 1;
  });
  return bytes;
}

/** Reads the payload of an NT_FILE: the mappings ordered by address; where they overlap, the first one counts. */
export function decodeFiles(cursor: Cursor): DecodedFileMapping[] {
  const head = cursor.record(FILE_NOTE_HEAD);
  const count = head.get('count');
  // gdb's gcore writes a page size of 1, so offsets in bytes
  const pageBytes = head.big('page_size');
  if (count * FILE_NOTE_ENTRY.sizeBytes > cursor.remaining) {
    throw head.error('count', `is ${count}, but there is no room for so many`);
  }
  if (count > MAPPINGS_LIMIT) throw head.error('count', `is ${count}, more than any process has`);
  const files: { start: bigint; end: bigint; fileOffset: bigint; path: string }[] = [];
  for (let index = 0; index < count; index++) {
    const entry = cursor.record(FILE_NOTE_ENTRY);
    const [start, end] = [entry.big('start'), entry.big('end')];
    if (end < start) throw entry.error('end', `is ${hex(end)}, before ${hex(start)}`);
    files.push({ start, end, fileOffset: entry.big('file_ofs') * pageBytes, path: '' });
  }
  for (const file of files) file.path = decodeText(cursor.untilNul('the name of a mapped file'));
  files.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  let reached = 0n;
  return files.filter((file) => {
    if (file.start < reached || file.end === file.start) return false;
    reached = file.end;
    return true;
  });
}
