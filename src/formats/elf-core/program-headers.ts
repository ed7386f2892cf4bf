/** Reads the ELF header and the program headers of a core. elf(5); the gABI's chapter "Program Header". */
import type { FieldReader } from '../../bytes/cursor.ts';
import { hex } from '../../bytes/hex.ts';
import { type AddressRange, joinRanges } from '../../bytes/ranges.ts';
import type { CoreFile } from './core-file.ts';
import {
  ELF_HEADER,
  ELF_MAGIC,
  ELFCLASS32,
  ELFCLASS64,
  ELFDATA2LSB,
  EM_X86_64,
  ET_CORE,
  NOTE_ALIGNMENT,
  PN_XNUM,
  PROGRAM_HEADER,
  PT_LOAD,
  PT_NOTE,
  SECTION_HEADER,
} from './elf.ts';

/** A range of memory, as a PT_LOAD tells it. */
export interface Segment extends AddressRange {
  /** PF_R | PF_W | PF_X */
  readonly flags: number;
  /** up to here from `start` on the file holds the content; `start` where it holds none */
  readonly contentEnd: bigint;
  /** where the content begins in the file */
  readonly fileOffset: number;
}

/** A PT_NOTE. */
export interface NoteSegment {
  readonly position: number;
  readonly sizeBytes: number;
  /** 4, or 8 in files that say so */
  readonly alignment: number;
}

export interface CoreHeaders {
  /** ordered, disjoint */
  readonly segments: readonly Segment[];
  readonly noteSegments: readonly NoteSegment[];
  /** what has no content because the file ends before it: ordered, disjoint */
  readonly cut: readonly AddressRange[];
}

/** More mappings than a process has in practice (vm.max_map_count is 65530 by default): each takes some hundred bytes here. */
export const MAPPINGS_LIMIT: number = 1 << 20;
const HEADERS_PER_READ = 16_384;

type PhdrReader = FieldReader<typeof PROGRAM_HEADER.kinds>;

export async function readHeaders(file: CoreFile): Promise<CoreHeaders> {
  const { position, count } = await locateProgramHeaders(file);
  const segments: Segment[] = [];
  const noteSegments: NoteSegment[] = [];
  const cut: AddressRange[] = [];
  for (let first = 0; first < count; first += HEADERS_PER_READ) {
    const here = Math.min(HEADERS_PER_READ, count - first);
    const at = position + first * PROGRAM_HEADER.sizeBytes;
    const cursor = await file.cursor(at, here * PROGRAM_HEADER.sizeBytes, 'the table of program headers');
    for (let index = 0; index < here; index++) {
      const header = cursor.record(PROGRAM_HEADER);
      const type = header.get('p_type');
      if (type === PT_NOTE) noteSegments.push(noteSegment(file, header));
      else if (type === PT_LOAD) addSegment(file, header, segments, cut);
    }
  }
  return { segments: inOrder(segments), noteSegments, cut: joinRanges(cut) };
}

async function locateProgramHeaders(file: CoreFile): Promise<{ position: number; count: number }> {
  await refuseOtherFiles(file);
  const header = (await file.cursor(0, ELF_HEADER.sizeBytes, 'the ELF header')).record(ELF_HEADER);
  if (header.get('e_type') !== ET_CORE)
    throw header.error('e_type', `is ${header.get('e_type')}: this is no core file`);
  if (header.get('e_machine') !== EM_X86_64) {
    throw header.error('e_machine', `is ${header.get('e_machine')}: only cores of x86-64 can be read`);
  }
  const count = await programHeaderCount(file, header);
  if (count === 0) throw header.error('e_phnum', 'is 0: nothing is in this core');
  if (count > MAPPINGS_LIMIT) throw header.error('e_phnum', `stands for ${count}, more than any process has`);
  if (header.get('e_phentsize') !== PROGRAM_HEADER.sizeBytes) {
    throw header.error('e_phentsize', `is ${header.get('e_phentsize')}, not ${PROGRAM_HEADER.sizeBytes}`);
  }
  const position = header.get('e_phoff');
  if (position + count * PROGRAM_HEADER.sizeBytes > file.sizeBytes) {
    const end = position + count * PROGRAM_HEADER.sizeBytes;
    throw header.error(
      'e_phoff',
      `leads to program headers that end at ${end}, the file ends at ${file.sizeBytes}: it was cut`,
    );
  }
  return { position, count };
}

/** e_phnum, or where that is PN_XNUM, sh_info of section header 0. */
async function programHeaderCount(
  file: CoreFile,
  header: FieldReader<typeof ELF_HEADER.kinds>,
): Promise<number> {
  const count = header.get('e_phnum');
  if (count !== PN_XNUM) return count;
  const position = header.get('e_shoff');
  if (position === 0)
    throw header.error('e_phnum', 'is PN_XNUM, but there is no section header to hold the number');
  if (header.get('e_shentsize') !== SECTION_HEADER.sizeBytes) {
    throw header.error('e_shentsize', `is ${header.get('e_shentsize')}, not ${SECTION_HEADER.sizeBytes}`);
  }
  const section = (await file.cursor(position, SECTION_HEADER.sizeBytes, 'section header 0')).record(
    SECTION_HEADER,
  );
  // the number of sections is extended in the same way: e_shnum 0 and then sh_size. The kernel writes 1 in both.
  const sections = header.get('e_shnum') === 0 ? section.get('sh_size') : header.get('e_shnum');
  if (sections === 0) throw section.error('sh_size', 'is 0 and so is e_shnum: there is no section header 0');
  return section.get('sh_info');
}

/** What a file is that is no ELF file, by its first bytes. */
const OTHER_FILES: readonly (readonly [magic: string, name: string, tool: string])[] = [
  ['28b52ffd', 'zstd', 'zstd -d'],
  ['1f8b', 'gzip', 'gzip -d'],
  ['fd377a585a00', 'xz', 'xz -d'],
  ['04224d18', 'lz4', 'lz4 -d'],
  ['425a68', 'bzip2', 'bzip2 -d'],
];

async function refuseOtherFiles(file: CoreFile): Promise<void> {
  const bytes = await file.bytes(0, Math.min(8, file.sizeBytes), 'the first bytes');
  const start = Buffer.from(bytes).toString('hex');
  for (const [magic, name, tool] of OTHER_FILES) {
    if (start.startsWith(magic))
      throw file.error(`this is compressed with ${name}`, 0, `decompress it with ${tool} first`);
  }
  const ident = (await file.cursor(0, ELF_HEADER.sizeBytes, 'the ELF header')).record(ELF_HEADER);
  if (ident.get('ei_magic') !== ELF_MAGIC) throw file.error('this is no ELF file', 0);
  if (ident.get('ei_class') === ELFCLASS32) {
    throw ident.error('ei_class', 'is 1: this is a file of a 32-bit process, only 64-bit ones can be read');
  }
  if (ident.get('ei_class') !== ELFCLASS64)
    throw ident.error('ei_class', `is ${ident.get('ei_class')}, not 2`);
  if (ident.get('ei_data') !== ELFDATA2LSB) {
    throw ident.error('ei_data', `is ${ident.get('ei_data')}: only little-endian files can be read`);
  }
}

function noteSegment(file: CoreFile, header: PhdrReader): NoteSegment {
  const position = header.get('p_offset');
  const sizeBytes = header.get('p_filesz');
  if (sizeBytes > 0 && position + sizeBytes > file.sizeBytes) {
    throw header.error(
      'p_filesz',
      `leads to notes that end at ${position + sizeBytes}, the file ends at ${file.sizeBytes}: it was cut`,
    );
  }
  return { position, sizeBytes, alignment: header.big('p_align') === 8n ? 8 : NOTE_ALIGNMENT };
}

const ADDRESS_END = 1n << 64n;

function addSegment(file: CoreFile, header: PhdrReader, segments: Segment[], cut: AddressRange[]): void {
  const start = header.big('p_vaddr');
  const memoryBytes = header.big('p_memsz');
  const contentBytes = header.big('p_filesz');
  const offset = header.big('p_offset');
  if (contentBytes > memoryBytes)
    throw header.error('p_filesz', `is ${contentBytes}, more than p_memsz ${memoryBytes}`);
  if (start + memoryBytes > ADDRESS_END)
    throw header.error('p_memsz', `leads past the last address from ${hex(start)}`);
  if (offset + contentBytes > ADDRESS_END)
    throw header.error('p_offset', `is ${offset}, which no file reaches`);
  if (memoryBytes === 0n) return;
  const inFile = BigInt(file.sizeBytes) - offset;
  let present = contentBytes;
  if (inFile < contentBytes) {
    present = inFile > 0n ? inFile : 0n;
    cut.push({ start: start + present, end: start + contentBytes });
  }
  segments.push({
    start,
    end: start + memoryBytes,
    flags: header.get('p_flags'),
    contentEnd: start + present,
    fileOffset: Number(offset),
  });
}

/** Ordered by address; where segments overlap, which no kernel writes, the one that starts first counts. */
function inOrder(segments: Segment[]): Segment[] {
  const sorted = segments.some((segment, index) => index > 0 && segment.start < segments[index - 1]!.end);
  if (!sorted) return segments;
  segments.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  const disjoint: Segment[] = [];
  let reached = 0n;
  for (const segment of segments) {
    if (segment.end <= reached) continue;
    disjoint.push(segment.start < reached ? startingAt(segment, reached) : segment);
    reached = segment.end;
  }
  return disjoint;
}

function startingAt(segment: Segment, start: bigint): Segment {
  const contentEnd = segment.contentEnd > start ? segment.contentEnd : start;
  return { ...segment, start, contentEnd, fileOffset: segment.fileOffset + Number(start - segment.start) };
}
