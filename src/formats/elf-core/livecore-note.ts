/**
 * The note of owner `livecore`: how the core came about and what in it can't be relied on. Payload: a fixed head,
 * then JSON in UTF-8. docs/elf-core.md has the fields and the diary of versions.
 */

import type { Cursor } from '../../bytes/cursor.ts';
import { hex } from '../../bytes/hex.ts';
import type { AddressRange } from '../../bytes/ranges.ts';
import { type Struct, setField, struct } from '../../bytes/struct.ts';
import type { Note } from './notes.ts';

/** 'LCOR' little-endian. Not a small number: BFD reads any owner's note of type 1 as an NT_PRSTATUS. */
export const NT_LIVECORE = 0x524f_434c;
/** Rises when a reader of the old version would misunderstand; new fields alone do not raise it. */
export const LIVECORE_NOTE_VERSION = 1;
const livecoreNoteHeadFields = { version: 'u32', json_bytes: 'u32' } as const;
/** Parsed, JSON takes up to fifteen times as much: half a million ranges fit, and nobody's memory is filled. */
const JSON_LIMIT_BYTES = 32 * 1024 * 1024;
export const LIVECORE_NOTE_HEAD: Struct<typeof livecoreNoteHeadFields> = struct(
  'livecore note head',
  8,
  livecoreNoteHeadFields,
);

/** How a core came about. */
export interface LivecoreNote {
  /** the instant whose memory the core shows, in ns: CLOCK_REALTIME and CLOCK_MONOTONIC */
  readonly t0: { readonly wallNs: bigint; readonly monotonicNs: bigint };
  readonly pauseNs: number;
  /** `protect`: by write-protection, as this tool does it */
  readonly strategy: string;
  /** of livecore, as its package has it */
  readonly toolVersion: string;
  /** uname -r */
  readonly kernelVersion: string;
  readonly threads: readonly ThreadName[];
  /** content that is there but may have been written after T0 */
  readonly unreliable: readonly ReasonedRange[];
  /** destroyed before it could be copied */
  readonly lost: readonly ReasonedRange[];
  /** left out by a rule */
  readonly excluded: readonly ReasonedRange[];
  /** nothing is unreliable or lost */
  readonly complete: boolean;
}

export interface ThreadName {
  readonly tid: number;
  readonly name: string;
}

export interface ReasonedRange extends AddressRange {
  /** one word or a few; '' for none */
  readonly reason: string;
}

export function livecoreNote(note: LivecoreNote): Note {
  const ranges = (list: readonly ReasonedRange[]) =>
    list.map(({ start, end, reason }) => [hex(start), hex(end), reason]);
  const json = JSON.stringify({
    t0: { wallNs: String(note.t0.wallNs), monotonicNs: String(note.t0.monotonicNs) },
    pauseNs: note.pauseNs,
    strategy: note.strategy,
    toolVersion: note.toolVersion,
    kernelVersion: note.kernelVersion,
    threads: note.threads.map(({ tid, name }) => [tid, name]),
    unreliable: ranges(note.unreliable),
    lost: ranges(note.lost),
    excluded: ranges(note.excluded),
    complete: note.complete,
  });
  const text = new TextEncoder().encode(json);
  const payload = new Uint8Array(LIVECORE_NOTE_HEAD.sizeBytes + text.length);
  const view = new DataView(payload.buffer);
  setField(LIVECORE_NOTE_HEAD, view, 0, 'version', LIVECORE_NOTE_VERSION);
  setField(LIVECORE_NOTE_HEAD, view, 0, 'json_bytes', text.length);
  payload.set(text, LIVECORE_NOTE_HEAD.sizeBytes);
  return { owner: 'livecore', type: NT_LIVECORE, payload };
}

/**
 * Reads the payload of the note. What a hostile file may put there is checked here, field by field.
 *
 * @throws what the cursor throws for a payload that is not as described
 */
export function decodeLivecoreNote(cursor: Cursor): LivecoreNote {
  const head = cursor.record(LIVECORE_NOTE_HEAD);
  if (head.get('version') !== LIVECORE_NOTE_VERSION) {
    const problem = `is ${head.get('version')}, this livecore knows ${LIVECORE_NOTE_VERSION}: a newer one may read it`;
    throw head.error('version', problem);
  }
  const jsonBytes = head.get('json_bytes');
  if (jsonBytes > JSON_LIMIT_BYTES) throw head.error('json_bytes', `is ${jsonBytes}, which is too much`);
  const json = cursor.slice(jsonBytes, 'the JSON of the livecore note');
  const problem = (what: string) => head.error('json_bytes', `leads to JSON in which ${what}`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(json));
  } catch {
    throw problem('something is no JSON');
  }
  return new Checker(problem).note(value);
}

/** Turns parsed JSON of unknown make into a LivecoreNote, or throws. */
class Checker {
  readonly #problem: (what: string) => Error;

  constructor(problem: (what: string) => Error) {
    this.#problem = problem;
  }

  note(value: unknown): LivecoreNote {
    const fields = this.#object(value, 'the whole');
    const t0 = this.#object(fields['t0'], 't0');
    return {
      t0: {
        wallNs: this.#integer(t0['wallNs'], 't0.wallNs'),
        monotonicNs: this.#integer(t0['monotonicNs'], 't0.monotonicNs'),
      },
      pauseNs: this.#number(fields['pauseNs'], 'pauseNs'),
      strategy: this.#text(fields['strategy'], 'strategy'),
      toolVersion: this.#text(fields['toolVersion'], 'toolVersion'),
      kernelVersion: this.#text(fields['kernelVersion'], 'kernelVersion'),
      threads: this.#list(fields['threads'], 'threads').map((entry) => {
        const [tid, name] = this.#list(entry, 'threads');
        return { tid: this.#number(tid, 'threads'), name: this.#text(name, 'threads') };
      }),
      unreliable: this.#ranges(fields['unreliable'], 'unreliable'),
      lost: this.#ranges(fields['lost'], 'lost'),
      excluded: this.#ranges(fields['excluded'], 'excluded'),
      complete: this.#expect(fields['complete'], 'boolean', 'complete') as boolean,
    };
  }

  #ranges(value: unknown, name: string): ReasonedRange[] {
    return this.#list(value, name).map((entry) => {
      const [first, past, reason] = this.#list(entry, name);
      const [start, end] = [this.#integer(first, name), this.#integer(past, name)];
      if (end < start) throw this.#problem(`a range of ${name} ends before it starts`);
      return { start, end, reason: this.#text(reason, name) };
    });
  }

  /** 64 bits, written as text because JSON's numbers end at 53 */
  #integer(value: unknown, name: string): bigint {
    const text = this.#text(value, name);
    if (!/^(0x[0-9a-f]{1,17}|[0-9]{1,20})$/.test(text)) throw this.#problem(`${name} is no number`);
    return BigInt(text);
  }

  #number(value: unknown, name: string): number {
    return this.#expect(value, 'number', name) as number;
  }

  #text(value: unknown, name: string): string {
    return this.#expect(value, 'string', name) as string;
  }

  #list(value: unknown, name: string): unknown[] {
    if (!Array.isArray(value)) throw this.#problem(`${name} is no list`);
    return value;
  }

  #object(value: unknown, name: string): Record<string, unknown> {
    if (value === null || Array.isArray(value)) throw this.#problem(`${name} is no object`);
    return this.#expect(value, 'object', name) as Record<string, unknown>;
  }

  #expect(value: unknown, type: string, name: string): unknown {
    if (typeof value !== type) throw this.#problem(`${name} is no ${type}`);
    return value;
  }
}
