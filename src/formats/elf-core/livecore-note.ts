/**
 * The note of owner `livecore`: how the core came about and what in it can't be relied on. Payload: a fixed head,
 * then JSON in UTF-8. docs/elf-core.md has the fields and the diary of versions.
 */
import { hex } from '../../bytes/hex.ts';
import type { AddressRange } from '../../bytes/ranges.ts';
import { setField, struct } from '../../bytes/struct.ts';
import type { Note } from './notes.ts';

/** 'LCOR' little-endian. Not a small number: BFD reads any owner's note of type 1 as an NT_PRSTATUS. */
export const NT_LIVECORE = 0x524f_434c;
/** Rises when a reader of the old version would misunderstand; new fields alone do not raise it. */
export const LIVECORE_NOTE_VERSION = 1;
export const LIVECORE_NOTE_HEAD = struct('livecore note head', 8, { version: 'u32', json_bytes: 'u32' });

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
