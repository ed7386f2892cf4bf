/**
 * The head page and the tail of a core file. The tail is last because what it says (lost blocks) is known last:
 * two section headers, program headers, notes, padded to whole pages. The ELF header finds it by e_phoff.
 */
import { type AddressRange, intersectRanges, joinRanges, subtractRanges } from '../../bytes/ranges.ts';
import { setField } from '../../bytes/struct.ts';
import {
  ELF_HEADER,
  ELF_MAGIC,
  ELFCLASS64,
  ELFDATA2LSB,
  EM_X86_64,
  ET_CORE,
  EV_CURRENT,
  NOTE_ALIGNMENT,
  PAGE_BYTES,
  PN_XNUM,
  PROGRAM_HEADER,
  PT_LOAD,
  PT_NOTE,
  SECTION_HEADER,
  SHT_NOTE,
  SHT_NULL,
} from './elf.ts';
import type { CoreLayout } from './layout.ts';
import { encodeNotes } from './notes.ts';
import { type CoreProcess, coreNotes } from './process-notes.ts';

/** The end of a core file, to be written at layout.tailOffset. */
export interface CoreTail {
  /** whole pages */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly programHeaders: number;
}

/**
 * Builds the tail.
 *
 * @param missing what has no content of T0 (lost blocks): these addresses stand in no PT_LOAD and no NT_FILE entry,
 *   so that debuggers say that they can't be read. Any order, may overlap.
 */
export function coreTail(
  layout: CoreLayout,
  process: CoreProcess,
  missing: readonly AddressRange[] = [],
): CoreTail {
  const without = joinRanges(missing);
  const notes = encodeNotes(coreNotes(process, without));
  const loads = loadSegments(layout, joinRanges(process.files ?? []), without);
  const programHeaders = 1 + loads.length;
  const notesAt = SECTION_HEADERS_BYTES + programHeaders * PROGRAM_HEADER.sizeBytes;
  const bytes = new Uint8Array(Math.ceil((notesAt + notes.length) / PAGE_BYTES) * PAGE_BYTES);
  const view = new DataView(bytes.buffer);
  writeSectionHeaders(view, programHeaders, layout.tailOffset + notesAt, notes.length);
  let at = SECTION_HEADERS_BYTES;
  setField(PROGRAM_HEADER, view, at, 'p_type', PT_NOTE);
  setField(PROGRAM_HEADER, view, at, 'p_offset', layout.tailOffset + notesAt);
  setField(PROGRAM_HEADER, view, at, 'p_filesz', notes.length);
  setField(PROGRAM_HEADER, view, at, 'p_align', NOTE_ALIGNMENT);
  for (const load of loads) {
    at += PROGRAM_HEADER.sizeBytes;
    setField(PROGRAM_HEADER, view, at, 'p_type', PT_LOAD);
    setField(PROGRAM_HEADER, view, at, 'p_flags', load.flags);
    setField(PROGRAM_HEADER, view, at, 'p_offset', load.offset);
    setField(PROGRAM_HEADER, view, at, 'p_vaddr', load.start);
    setField(PROGRAM_HEADER, view, at, 'p_filesz', load.stored ? load.end - load.start : 0);
    setField(PROGRAM_HEADER, view, at, 'p_memsz', load.end - load.start);
    setField(PROGRAM_HEADER, view, at, 'p_align', PAGE_BYTES);
  }
  bytes.set(notes, notesAt);
  return { bytes, programHeaders };
}

/** One to hold the number of program headers, one for the notes. */
const SECTION_HEADERS = 2;
const SECTION_HEADERS_BYTES: number = SECTION_HEADERS * SECTION_HEADER.sizeBytes;

/**
 * Section headers, which count only in the extended numbering. elf(5): with e_phnum PN_XNUM the number of program
 * headers is sh_info of section 0. The kernel writes this section alone; eu-readelf, once there is a section, looks
 * for notes in sections only, so the notes are one.
 */
function writeSectionHeaders(
  view: DataView,
  programHeaders: number,
  notesOffset: number,
  notesBytes: number,
): void {
  setField(SECTION_HEADER, view, 0, 'sh_type', SHT_NULL);
  setField(SECTION_HEADER, view, 0, 'sh_size', SECTION_HEADERS);
  setField(SECTION_HEADER, view, 0, 'sh_info', programHeaders);
  const at: number = SECTION_HEADER.sizeBytes;
  setField(SECTION_HEADER, view, at, 'sh_type', SHT_NOTE);
  setField(SECTION_HEADER, view, at, 'sh_offset', notesOffset);
  setField(SECTION_HEADER, view, at, 'sh_size', notesBytes);
  setField(SECTION_HEADER, view, at, 'sh_addralign', NOTE_ALIGNMENT);
}

interface Load extends AddressRange {
  readonly flags: number;
  readonly stored: boolean;
  readonly offset: number;
}

/**
 * The PT_LOADs. What is not stored gets one without content only where a file is mapped, as the kernel does it for
 * program text: debuggers then read the file. Elsewhere gdb would show such a range as zeros (core_target::
 * xfer_partial in its corelow.c, "no contents"), so there is none.
 */
function loadSegments(
  layout: CoreLayout,
  files: readonly AddressRange[],
  missing: readonly AddressRange[],
): Load[] {
  const loads: Load[] = [];
  let offset = PAGE_BYTES;
  for (const segment of layout.segments) {
    const { flags, stored, start } = segment;
    const shown = stored ? [segment] : intersectRanges(segment, files);
    for (const part of shown.flatMap((range) => subtractRanges(range, missing))) {
      const partOffset = stored ? offset + Number(part.start - start) : offset;
      loads.push({ start: part.start, end: part.end, flags, stored, offset: partOffset });
    }
    if (stored) offset += Number(segment.end - start);
  }
  return loads;
}

/**
 * Builds the first page.
 *
 * @param tail the tail of the same core. Without it the page fits any tail of this layout, so that it can be sent
 *   first; it then always uses the extended numbering, which few readers lack (docs/elf-core.md).
 */
export function coreHead(layout: Pick<CoreLayout, 'tailOffset'>, tail?: CoreTail): Uint8Array<ArrayBuffer> {
  const plain = tail !== undefined && tail.programHeaders < PN_XNUM;
  const bytes = new Uint8Array(PAGE_BYTES);
  const view = new DataView(bytes.buffer);
  const set = (field: Parameters<typeof setField<typeof ELF_HEADER.kinds>>[3], value: number) =>
    setField(ELF_HEADER, view, 0, field, value);
  set('ei_magic', ELF_MAGIC);
  set('ei_class', ELFCLASS64);
  set('ei_data', ELFDATA2LSB);
  set('ei_version', EV_CURRENT);
  set('e_type', ET_CORE);
  set('e_machine', EM_X86_64);
  set('e_version', EV_CURRENT);
  set('e_phoff', layout.tailOffset + SECTION_HEADERS_BYTES);
  set('e_shoff', plain ? 0 : layout.tailOffset);
  set('e_ehsize', ELF_HEADER.sizeBytes);
  set('e_phentsize', PROGRAM_HEADER.sizeBytes);
  set('e_phnum', plain ? tail.programHeaders : PN_XNUM);
  set('e_shentsize', plain ? 0 : SECTION_HEADER.sizeBytes);
  set('e_shnum', plain ? 0 : SECTION_HEADERS);
  return bytes;
}
