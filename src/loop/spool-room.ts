import type { Snapshot } from '../engine/snapshot.ts';
import { LivecoreError } from '../errors.ts';
import { check } from '../linux/failure.ts';
import type { FileStorage } from './file-storage.ts';
import type { ParentLink } from './parent-link.ts';
import type { StreamLimits } from './protocol.ts';

const NS_PER_MS = 1_000_000;
/** how often the parent is told how far the file is written, and how often again where nothing has changed */
const TELL_NS = 20 * NS_PER_MS;
const REPEAT_NS = 200 * NS_PER_MS;
/** a core that takes less of the spool is streamed when it is whole: with a head that every reader knows */
const STREAMED_SHARE = 1 / 2;
/** the sweep is let on above the bound while the reader has less than this in front of it: it would starve */
const AHEAD_SHARE = 1 / 4;
const AHEAD_BYTES = 64 * 1024 * 1024;
/** what traps may make of the bound */
const HARD_FACTOR = 2;

/**
 * How much of a core the spool of a stream may hold. The sweep waits at the bound, for the reader; traps never do. They
 * may bring it up to twice as much, and then the snapshot is given up.
 */
export class SpoolRoom {
  readonly #boundBytes: number;
  readonly #aheadBytes: number;
  readonly #readerTimeoutNs: number;
  #occupied = 0;
  /** what the sweep may still copy above the bound before the parent is told again */
  #allowance = 0;
  #waits = false;
  #waitsSinceNs = 0;
  #begun = false;
  /** all captured blocks in front of it are done with */
  #undone = 0;
  #written = 0;
  #taken = 0;
  #lookedNs = 0;
  #toldNs = 0;
  #told = 0;

  constructor({ spoolBytes, readerTimeoutMs }: StreamLimits) {
    this.#boundBytes = spoolBytes;
    this.#aheadBytes = Math.min(spoolBytes * AHEAD_SHARE, AHEAD_BYTES);
    // The parent looks at its reader itself; this is for a parent that doesn't run.
    this.#readerTimeoutNs = readerTimeoutMs * 1.5 * NS_PER_MS;
  }

  /** Whether blocks had better be swept in the order in which they are read. */
  get wantsOrder(): boolean {
    return this.#occupied >= this.#boundBytes * STREAMED_SHARE;
  }

  /** Whether `bytes` of the sweep have to wait, where `outstanding` bytes are on their way to the spool. */
  sweepWaits(bytes: number, outstanding: number): boolean {
    if (this.#occupied + outstanding < this.#boundBytes) return false;
    if (this.#allowance >= bytes) {
      this.#allowance -= bytes;
      return false;
    }
    this.#waits = true;
    return true;
  }

  /** Between steps: looks at what is occupied, and tells the parent how much can be streamed. */
  tick(nowNs: number, snapshot: Snapshot, storage: FileStorage, link: ParentLink): void {
    if (storage.tailOffset === 0) return;
    this.#occupied = check(storage.occupiedBytes, 'look at the spool', 'statx');
    if (this.#occupied > this.#boundBytes * HARD_FACTOR) throw spoolFull(this.#boundBytes);
    this.#followReader(nowNs, link.taken);
    const used = this.#occupied + storage.outstandingBytes;
    this.#begun ||= used >= this.#boundBytes * STREAMED_SHARE;
    if (!this.#begun || nowNs - this.#lookedNs < TELL_NS) return;
    this.#lookedNs = nowNs;
    this.#undone = snapshot.nextUndone(this.#undone);
    this.#written = storage.writtenUpTo(this.#undone);
    this.#allowance = Math.max(0, this.#aheadBytes - (this.#written - this.#taken));
    if (this.#written === this.#told && nowNs - this.#toldNs < REPEAT_NS) return;
    this.#told = this.#written;
    this.#toldNs = nowNs;
    link.offer({ type: 'written', upTo: this.#written, tailOffset: storage.tailOffset });
  }

  #followReader(nowNs: number, taken: number): void {
    const moved = taken !== this.#taken;
    this.#taken = taken;
    if (moved || !this.#waits) this.#waitsSinceNs = nowNs;
    this.#waits = false;
    if (nowNs - this.#waitsSinceNs > this.#readerTimeoutNs) throw readerStopped(this.#readerTimeoutNs / 1.5);
  }
}

function spoolFull(boundBytes: number): LivecoreError {
  const mib = Math.round(boundBytes / 2 ** 20);
  return new LivecoreError(
    'SPOOL_FULL',
    `snapshot given up: what the target wrote has filled the spool to twice its bound of ${mib} MiB`,
    { cure: 'read the stream faster, allow more with --spool, or write to a file with -o FILE' },
  );
}

/** The error for a reader that takes nothing for longer than it may. */
export function readerStopped(timeoutNs: number): LivecoreError {
  return new LivecoreError(
    'READER_STOPPED',
    `stream the core: its reader has taken nothing for ${timeoutNs / 1e9} s`,
    { cure: 'allow more with --reader-timeout, or write to a file with -o FILE' },
  );
}
