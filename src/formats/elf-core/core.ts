/** Reads core files: of this tool, of the kernel, of gcore. */
import { hex } from '../../bytes/hex.ts';
import { type AddressRange, firstEndingAfter, intersectRanges, lower } from '../../bytes/ranges.ts';
import { LivecoreError } from '../../errors.ts';
import { CoreFile } from './core-file.ts';
import { NOTE_TYPE, PF_R, PF_W, PF_X } from './elf.ts';
import { decodeLivecoreNote, type LivecoreNote, NT_LIVECORE } from './livecore-note.ts';
import { joinMappings, type Mapping } from './mappings.ts';
import { type CoreNote, readNotes } from './note-reader.ts';
import {
  type DecodedFileMapping,
  type DecodedProcessInfo,
  decodeFiles,
  decodePrpsinfo,
  PRPSINFO,
} from './process-notes.ts';
import { type CoreHeaders, readHeaders, type Segment } from './program-headers.ts';
import { type CoreThread, decodePrstatus, PRSTATUS, registersByName } from './thread-notes.ts';

/** A thread of a core. */
export interface Thread {
  readonly tid: number;
  /** as the target named it, where the core tells; escape it before it reaches a terminal */
  readonly name: string | undefined;
  /** by the names of struct user_regs_struct: rip, rsp, rax ... */
  readonly registers: Readonly<Record<string, bigint>>;
  /** the notes of the thread, decoded as far as the format goes */
  readonly status: CoreThread;
  /** the notes of the thread as they stand in the file */
  readonly notes: readonly CoreNote[];
}

/**
 * An open core file.
 *
 * Opening reads the headers; notes and memory are read when they are asked for. Nothing in the file is trusted:
 * what can't be true throws BAD_CORE with the position in the file.
 *
 * @example
 * ```ts run root
 * import { Core, dump } from 'livecore';
 *
 * const { file } = await dump(Number(process.argv[2]), { output: 'core.example' });
 * await using core = await Core.open(file);
 * for await (const thread of core.threads()) {
 *   const stack = await core.read(thread.registers.rsp, 64);
 *   console.log(thread.tid, thread.name, stack);
 * }
 * ```
 */
export class Core implements AsyncDisposable {
  readonly path: string;
  readonly fileBytes: number;
  /** the process; undefined where the core does not tell */
  readonly process: DecodedProcessInfo | undefined;
  /** how the core came about; undefined for cores of other tools */
  readonly livecore: LivecoreNote | undefined;
  /** memory whose content should be in the file, but the file ends before it */
  readonly cut: readonly AddressRange[];
  readonly #file: CoreFile;
  readonly #headers: CoreHeaders;
  readonly #index: NoteIndex;

  private constructor(file: CoreFile, headers: CoreHeaders, index: NoteIndex, decoded: DecodedNotes) {
    this.#file = file;
    this.#headers = headers;
    this.#index = index;
    this.path = file.path;
    this.fileBytes = file.sizeBytes;
    this.cut = headers.cut;
    this.process = decoded.process;
    this.livecore = decoded.livecore;
  }

  /**
   * Opens a core file of a 64-bit x86 process.
   *
   * @throws LivecoreError BAD_CORE: no such file, not a core, compressed, damaged
   */
  static async open(path: string): Promise<Core> {
    const file = await CoreFile.open(path);
    try {
      const headers = await readHeaders(file);
      const index = await indexNotes(file, headers);
      return new Core(file, headers, index, await decodeNotes(file, index));
    } catch (error) {
      await file[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The file is whole, and every byte it shows is of one instant as far as its writer knows. */
  get complete(): boolean {
    return this.cut.length === 0 && (this.livecore?.complete ?? true);
  }

  /**
   * Reads memory of the process. Holes of a sparse file are zeros, as the process would have seen them.
   *
   * @param address first address
   * @param length in bytes
   * @throws LivecoreError NO_CONTENT with `address` and `length` of the first part that the core has no content of
   */
  async read(address: bigint, length: number): Promise<Uint8Array> {
    if (!Number.isSafeInteger(length) || length < 0) {
      throw new LivecoreError('USAGE', `reading a core: length ${length} is no number of bytes`, { address });
    }
    const pieces = this.#locate({ start: address, end: address + BigInt(length) });
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      await this.#file.fill(bytes.subarray(at, at + piece.length), piece.position);
      at += piece.length;
    }
    return bytes;
  }

  /** The ranges of memory in the order of their addresses, as the program headers tell them. */
  async *segments(): AsyncGenerator<Segment, void, undefined> {
    yield* this.#headers.segments;
  }

  /** The memory map: segments together with the files that are mapped. */
  async *mappings(): AsyncGenerator<Mapping, void, undefined> {
    yield* joinMappings(this.#headers.segments, await this.files());
  }

  /** The mappings of files as the core lists them (NT_FILE), in the order of their addresses. */
  async files(): Promise<DecodedFileMapping[]> {
    const note = this.#index.files;
    if (note === undefined) return [];
    return decodeFiles(await this.#file.cursor(note.position, note.sizeBytes, 'the list of mapped files'));
  }

  /** All notes, in the order of the file. */
  notes(): AsyncGenerator<CoreNote, void, undefined> {
    return readNotes(this.#file, this.#headers.noteSegments);
  }

  /** The auxiliary vector, as /proc/PID/auxv has it. */
  async auxv(): Promise<Uint8Array | undefined> {
    return this.#index.auxv?.read();
  }

  /** The threads, the one that debuggers show first in front. */
  async *threads(): AsyncGenerator<Thread, void, undefined> {
    const names = new Map(this.livecore?.threads.map(({ tid, name }) => [tid, name]));
    if (this.process !== undefined && !names.has(this.process.pid))
      names.set(this.process.pid, this.process.name);
    let notes: CoreNote[] = [];
    for await (const note of this.notes()) {
      if (isNote(note, 'CORE', NOTE_TYPE.PRSTATUS)) {
        if (notes.length > 0) yield await readThread(this.#file, notes, names);
        notes = [note];
      } else if (notes.length > 0 && isOfThread(note)) {
        if (notes.length === NOTES_PER_THREAD_LIMIT)
          throw this.#file.error('one thread has too many notes', note.position);
        notes.push(note);
      }
    }
    if (notes.length > 0) yield await readThread(this.#file, notes, names);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }

  /** Where the bytes of a range stand in the file. */
  #locate(range: AddressRange): { position: number; length: number }[] {
    const segments = this.#headers.segments;
    const pieces: { position: number; length: number }[] = [];
    let address = range.start;
    let index = firstEndingAfter(segments, address);
    while (address < range.end) {
      const segment = segments[index];
      if (segment === undefined || address < segment.start || address >= segment.contentEnd) {
        throw this.#noContent(address, range.end);
      }
      const end = lower(segment.contentEnd, range.end);
      pieces.push({
        position: segment.fileOffset + Number(address - segment.start),
        length: Number(end - address),
      });
      address = end;
      if (end === segment.end) index++;
    }
    return pieces;
  }

  #noContent(address: bigint, end: bigint): LivecoreError {
    const segments = this.#headers.segments;
    const index = firstEndingAfter(segments, address);
    const here = segments[index];
    const inside = here !== undefined && here.start <= address;
    const next = inside ? segments[index + 1] : here;
    const until = next === undefined ? end : lower(next.start, end);
    const length = Number(until - address);
    const message = `reading ${this.path}: no content for ${length} bytes from ${hex(address)}: ${this.#reason(address, inside)}`;
    return new LivecoreError('NO_CONTENT', message, { address, length });
  }

  #reason(address: bigint, inside: boolean): string {
    const byte = { start: address, end: address + 1n };
    const holds = (ranges: readonly AddressRange[] | undefined) =>
      ranges?.some((range) => intersectRanges(byte, [range]).length > 0) === true;
    if (holds(this.livecore?.lost)) return 'it was lost before it could be copied';
    if (holds(this.livecore?.excluded)) return 'it was left out';
    if (holds(this.cut)) return 'the file was cut';
    return inside ? 'it was not written to the core' : 'nothing is mapped there';
  }
}

/** Notes that are needed again and again. */
interface NoteIndex {
  info?: CoreNote;
  auxv?: CoreNote;
  files?: CoreNote;
  livecore?: CoreNote;
}

interface DecodedNotes {
  readonly process: DecodedProcessInfo | undefined;
  readonly livecore: LivecoreNote | undefined;
}

/** The first of each counts. */
async function indexNotes(file: CoreFile, headers: CoreHeaders): Promise<NoteIndex> {
  const index: NoteIndex = {};
  for await (const note of readNotes(file, headers.noteSegments)) {
    if (isNote(note, 'CORE', NOTE_TYPE.PRPSINFO)) index.info ??= note;
    else if (isNote(note, 'CORE', NOTE_TYPE.AUXV)) index.auxv ??= note;
    else if (isNote(note, 'CORE', NOTE_TYPE.FILE)) index.files ??= note;
    else if (isNote(note, 'livecore', NT_LIVECORE)) index.livecore ??= note;
  }
  return index;
}

async function decodeNotes(file: CoreFile, { info, livecore }: NoteIndex): Promise<DecodedNotes> {
  const cursor = livecore && (await file.cursor(livecore.position, livecore.sizeBytes, 'the livecore note'));
  return {
    process: info && decodePrpsinfo(await readExactly(file, info, PRPSINFO)),
    livecore: cursor && decodeLivecoreNote(cursor),
  };
}

const NOTES_PER_THREAD_LIMIT = 256;

function isNote(note: CoreNote, owner: string, type: number): boolean {
  return note.type === type && note.owner === owner;
}

const PROCESS_NOTES: readonly number[] = [NOTE_TYPE.PRPSINFO, NOTE_TYPE.AUXV, NOTE_TYPE.FILE];

/** The kernel puts what concerns the process between the notes of its first thread. */
function isOfThread(note: CoreNote): boolean {
  if (note.owner === 'LINUX') return true;
  return note.owner === 'CORE' && !PROCESS_NOTES.includes(note.type);
}

/** @param notes the status first */
async function readThread(
  file: CoreFile,
  notes: readonly CoreNote[],
  names: ReadonlyMap<number, string>,
): Promise<Thread> {
  const status = decodePrstatus(await readExactly(file, notes[0]!, PRSTATUS));
  const payload = (owner: string, type: number) => notes.find((note) => isNote(note, owner, type))?.read();
  const [fpRegisters, xstate, siginfo] = await Promise.all([
    payload('CORE', NOTE_TYPE.FPREGSET),
    payload('LINUX', NOTE_TYPE.X86_XSTATE),
    payload('CORE', NOTE_TYPE.SIGINFO),
  ]);
  return {
    tid: status.tid,
    name: names.get(status.tid),
    registers: registersByName(status.registers),
    status: {
      ...status,
      ...(fpRegisters && { fpRegisters }),
      ...(xstate && { xstate }),
      ...(siginfo && { siginfo }),
    },
    notes,
  };
}

async function readExactly(
  file: CoreFile,
  note: CoreNote,
  layout: { name: string; sizeBytes: number },
): Promise<Uint8Array> {
  if (note.sizeBytes === layout.sizeBytes) return note.read();
  throw file.error(`${layout.name} takes ${note.sizeBytes} bytes, not ${layout.sizeBytes}`, note.position);
}

/** Rights of a mapping as `rwx`, a dash for each that is missing; `---` where they are unknown. */
export function rights(flags: number | undefined): string {
  const letter = (bit: number, name: string) => (flags !== undefined && (flags & bit) !== 0 ? name : '-');
  return letter(PF_R, 'r') + letter(PF_W, 'w') + letter(PF_X, 'x');
}
