/** Walks over the notes of a core without reading their payloads. */
import { Cursor } from '../../bytes/cursor.ts';
import type { CoreFile } from './core-file.ts';
import { NOTE_HEADER } from './elf.ts';
import { decodeText } from './notes.ts';
import type { NoteSegment } from './program-headers.ts';

/** A note as it stands in a file. */
export interface CoreNote {
  readonly owner: string;
  readonly type: number;
  readonly sizeBytes: number;
  /** where the payload begins in the file */
  readonly position: number;
  /** reads the payload */
  read(): Promise<Uint8Array>;
}

const WINDOW_BYTES = 65_536;
/** Owners are words; the longest that the kernel writes has 6 letters. */
const OWNER_LIMIT_BYTES = 256;

/** All notes of all segments, in the order of the file. */
export async function* readNotes(
  file: CoreFile,
  segments: readonly NoteSegment[],
): AsyncGenerator<CoreNote, void, undefined> {
  for (const segment of segments) yield* readSegment(file, segment);
}

async function* readSegment(file: CoreFile, segment: NoteSegment): AsyncGenerator<CoreNote, void, undefined> {
  const end = segment.position + segment.sizeBytes;
  const align = (position: number) => {
    const offset = position - segment.position;
    return segment.position + Math.ceil(offset / segment.alignment) * segment.alignment;
  };
  const window = new Window(file, end);
  let position = segment.position;
  while (position < end) {
    const header = (await window.cursor(position, NOTE_HEADER.sizeBytes, 'a note header')).record(
      NOTE_HEADER,
    );
    const ownerBytes = header.get('n_namesz');
    const sizeBytes = header.get('n_descsz');
    const type = header.get('n_type');
    // an empty header ends the notes, as in the kernel's vmcore
    if (ownerBytes === 0 && sizeBytes === 0 && type === 0) return;
    if (ownerBytes > OWNER_LIMIT_BYTES) throw header.error('n_namesz', `is ${ownerBytes}: that is no name`);
    const ownerAt = position + NOTE_HEADER.sizeBytes;
    const owner = decodeText((await window.cursor(ownerAt, ownerBytes, 'the owner of a note')).bytes);
    const payloadAt = align(ownerAt + ownerBytes);
    if (payloadAt + sizeBytes > end) {
      throw header.error(
        'n_descsz',
        `is ${sizeBytes}, the notes end ${Math.max(0, end - payloadAt)} bytes further on`,
      );
    }
    yield {
      owner,
      type,
      sizeBytes,
      position: payloadAt,
      read: () => file.bytes(payloadAt, sizeBytes, `a note of ${sizeBytes} bytes`),
    };
    position = align(payloadAt + sizeBytes);
  }
}

/** Reads ahead, since note headers are small and many. */
class Window {
  readonly #file: CoreFile;
  readonly #end: number;
  #position = 0;
  #bytes = new Uint8Array(0);

  constructor(file: CoreFile, end: number) {
    this.#file = file;
    this.#end = end;
  }

  async cursor(position: number, length: number, what: string): Promise<Cursor> {
    if (position + length > this.#end)
      throw this.#file.error(`${what} leads past the end of the notes`, position);
    if (position < this.#position || position + length > this.#position + this.#bytes.length) {
      this.#bytes = new Uint8Array(Math.min(WINDOW_BYTES, this.#end - position));
      await this.#file.fill(this.#bytes, position);
      this.#position = position;
    }
    const from = position - this.#position;
    const bytes = this.#bytes.subarray(from, from + length);
    return new Cursor(bytes, position, (problem, at) => this.#file.error(problem, at));
  }
}
