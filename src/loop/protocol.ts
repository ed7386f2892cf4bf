/** What the loop process is asked for, and what it tells its parent: JSON, a line each, over a socket. */
import type { DumpPlan, DumpProgress, DumpSummary } from '../dump-types.ts';
import { type ErrorCode, type ErrorFields, LivecoreError } from '../errors.ts';

/** The request, as the loop's only argument. */
export interface LoopRequest {
  readonly pid: number;
  /** absolute path of the core; undefined: the spool that is descriptor SPOOL_FD */
  readonly output?: string;
  readonly all: boolean;
  /** the user's own limit of the pause */
  readonly maxPauseMs?: number;
  readonly maxStallMs: number;
  readonly bufferBytes: number;
  readonly force: boolean;
  /** where the core is streamed by the parent: what the spool may hold, and what its reader may take */
  readonly stream?: StreamLimits;
}

export interface StreamLimits {
  /** the sweep waits when the spool holds so much; traps may bring it to twice as much */
  readonly spoolBytes: number;
  /** a reader that takes nothing for so long ends the dump */
  readonly readerTimeoutMs: number;
}

/** In the loop process: what the parent sends, what it is sent, and the unlinked file that it streams from. */
export const COMMAND_FD = 0;
export const PARENT_FD = 3;
export const SPOOL_FD = 4;

/** What the parent sends: a wish to stop, as is the end of the socket, or how much of a stream its reader has taken. */
export const CANCEL: string = 'c\n';
/** What a dump ends with that was told to stop. */
export function cancelled(): LivecoreError {
  return new LivecoreError('CANCELLED', 'dump given up: cancelled; the target runs on');
}
export function takenMessage(offset: number): string {
  return `${offset}\n`;
}

/** Everything in front of `upTo` of the spool is as it stays. */
export interface WrittenMessage {
  readonly type: 'written';
  readonly upTo: number;
  /** where the memory ends and the tail will begin */
  readonly tailOffset: number;
}

/** A message of the loop. */
export type LoopMessage =
  | DumpPlan
  | DumpSummary
  | WrittenMessage
  | ({ readonly type: 'progress' } & DumpProgress)
  | { readonly type: 'notice'; readonly text: string }
  | ({ readonly type: 'error'; readonly code: ErrorCode; readonly message: string } & Omit<
      ErrorFields,
      'address'
    >);
