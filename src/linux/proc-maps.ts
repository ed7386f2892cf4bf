/** /proc/PID/maps: the mappings of a process (proc_pid_maps(5)). */

import { Buffer } from 'node:buffer';

/** One line. Addresses are exact as numbers below 2^53, so all but those of `[vsyscall]`, which is the kernel's. */
export interface Mapping {
  readonly start: number;
  readonly end: number;
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
  /** MAP_SHARED; false: private, copied on write */
  readonly shared: boolean;
  /** position in the file in bytes */
  readonly offset: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** 0: no file. Above 2^53 its low bits are lost */
  readonly inode: number;
  /** path, `[heap]`, `[stack]`, `[anon:...]`..., '' for none; without " (deleted)" */
  readonly name: string;
  /** the name as it stands, where it is no UTF-8 and `name` therefore not all of it; without " (deleted)" */
  readonly nameBytes?: Uint8Array;
  /** the name ended in " (deleted)": the file has no name any more, or is named so */
  readonly deleted: boolean;
}

const NEWLINE = 10;
const SPACE = 32;
const MINUS = 45;
const ZERO = 48;
const NINE = 57;
const BACKSLASH = 92;
const LETTER_A = 97;
const DELETED = ' (deleted)';
/** what a decoder puts where it can't decode */
const REPLACEMENT = '\ufffd';

/**
 * Parses the text of maps. Lines end in a newline, a cut last line is left out.
 *
 * A newline in a name is `\012` (fs/proc/task_mmu.c, seq_path); a backslash stands for itself, so a file whose name
 * holds the four characters `\012` reads the same. /proc/PID/map_files tells such names apart.
 */
export function parseMaps(bytes: Uint8Array, length: number = bytes.length): Mapping[] {
  const parser = new MapsParser(bytes, length);
  const mappings: Mapping[] = [];
  for (let mapping = parser.next(); mapping !== undefined; mapping = parser.next()) mappings.push(mapping);
  return mappings;
}

const decoder = new TextDecoder();

class MapsParser {
  readonly #bytes: Uint8Array;
  readonly #length: number;
  #at = 0;
  // neighbours mostly have the same name: decode it once
  #nameStart = 0;
  #nameEnd = 0;
  #name = '';
  #nameBytes: Uint8Array | undefined;

  constructor(bytes: Uint8Array, length: number) {
    this.#bytes = bytes;
    this.#length = length;
  }

  next(): Mapping | undefined {
    const lineEnd = this.#bytes.indexOf(NEWLINE, this.#at);
    if (lineEnd < 0 || lineEnd >= this.#length) return undefined;
    const bytes = this.#bytes;
    const start = this.#hex(MINUS);
    const end = this.#hex(SPACE);
    const permissions = this.#at;
    this.#at += 5;
    const offset = this.#hex(SPACE);
    const deviceMajor = this.#hex(58);
    const deviceMinor = this.#hex(SPACE);
    const inode = this.#decimal();
    while (this.#at < lineEnd && bytes[this.#at] === SPACE) this.#at++;
    const name = this.#nameAt(this.#at, lineEnd);
    this.#at = lineEnd + 1;
    const deleted = name.endsWith(DELETED);
    return {
      start,
      end,
      read: bytes[permissions] === 114,
      write: bytes[permissions + 1] === 119,
      execute: bytes[permissions + 2] === 120,
      shared: bytes[permissions + 3] === 115,
      offset,
      deviceMajor,
      deviceMinor,
      inode,
      name: deleted ? name.slice(0, -DELETED.length) : name,
      deleted,
      ...(this.#nameBytes !== undefined && {
        nameBytes: deleted ? this.#nameBytes.slice(0, -DELETED.length) : this.#nameBytes,
      }),
    };
  }

  #hex(terminator: number): number {
    let value = 0;
    for (;;) {
      const byte = this.#bytes[this.#at++]!;
      if (byte === terminator) return value;
      value = value * 16 + (byte <= NINE ? byte - ZERO : byte - LETTER_A + 10);
      if (this.#at >= this.#length) return value;
    }
  }

  #decimal(): number {
    let value = 0;
    for (;;) {
      const byte = this.#bytes[this.#at]!;
      if (!(byte >= ZERO && byte <= NINE)) return value;
      value = value * 10 + (byte - ZERO);
      this.#at++;
    }
  }

  #nameAt(start: number, end: number): string {
    if (!this.#sameName(start, end)) {
      const bytes = this.#bytes.subarray(start, end);
      this.#name = decodeName(bytes);
      this.#nameBytes = this.#name.includes(REPLACEMENT) ? withNewlines(bytes) : undefined;
      this.#nameStart = start;
      this.#nameEnd = end;
    }
    return this.#name;
  }

  #sameName(start: number, end: number): boolean {
    if (end - start !== this.#nameEnd - this.#nameStart) return false;
    for (let index = 0; index < end - start; index++) {
      if (this.#bytes[start + index] !== this.#bytes[this.#nameStart + index]) return false;
    }
    return true;
  }
}

function decodeName(bytes: Uint8Array): string {
  const text = decoder.decode(bytes);
  return bytes.includes(BACKSLASH) ? text.replaceAll('\\012', '\n') : text;
}

function withNewlines(bytes: Uint8Array): Uint8Array {
  return Buffer.from(Buffer.from(bytes).toString('latin1').replaceAll('\\012', '\n'), 'latin1');
}
