/** Notes as they stand in a PT_NOTE segment: header, owner, payload, both padded to 4 bytes. elf(5), "Notes". */
import { setField } from '../../bytes/struct.ts';
import { NOTE_ALIGNMENT, NOTE_HEADER } from './elf.ts';

/** One note. */
export interface Note {
  /** who defines the type: `CORE` and `LINUX` are the kernel's, `livecore` is ours */
  readonly owner: string;
  /** NT_... of that owner */
  readonly type: number;
  readonly payload: Uint8Array;
}

/** Strings of the kernel: bytes, by custom UTF-8. A string is written as UTF-8. */
export type Text = string | Uint8Array;

/** The notes one after the other, as the file holds them. */
export function encodeNotes(notes: readonly Note[]): Uint8Array<ArrayBuffer> {
  const owners = notes.map((note) => encodeText(`${note.owner}\0`));
  let sizeBytes = 0;
  notes.forEach((note, index) => {
    sizeBytes += NOTE_HEADER.sizeBytes + padded(owners[index]!.length) + padded(note.payload.length);
  });
  const bytes = new Uint8Array(sizeBytes);
  const view = new DataView(bytes.buffer);
  let at = 0;
  notes.forEach((note, index) => {
    const owner = owners[index]!;
    setField(NOTE_HEADER, view, at, 'n_namesz', owner.length);
    setField(NOTE_HEADER, view, at, 'n_descsz', note.payload.length);
    setField(NOTE_HEADER, view, at, 'n_type', note.type);
    at += NOTE_HEADER.sizeBytes;
    bytes.set(owner, at);
    at += padded(owner.length);
    bytes.set(note.payload, at);
    at += padded(note.payload.length);
  });
  return bytes;
}

export function encodeText(text: Text): Uint8Array {
  return typeof text === 'string' ? new TextEncoder().encode(text) : text;
}

/** The text up to the first NUL, or all of it. What is no UTF-8 shows as U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** A size rounded up to the alignment of notes. */
export function padded(sizeBytes: number): number {
  return Math.ceil(sizeBytes / NOTE_ALIGNMENT) * NOTE_ALIGNMENT;
}
