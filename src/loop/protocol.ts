/** What the loop process is asked for, and what it tells its parent: JSON, a line each, over one socket. */
import type { DumpPlan, DumpProgress, DumpSummary } from '../dump-types.ts';
import type { ErrorCode, ErrorFields } from '../errors.ts';

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
}

/** The socket to the parent, and the unlinked file that the parent streams from, in the loop process. */
export const PARENT_FD = 3;
export const SPOOL_FD = 4;

/** Any byte from the parent, or the end of the socket, is a wish to stop. */
export const CANCEL: string = 'c';

/** A message of the loop. */
export type LoopMessage =
  | DumpPlan
  | DumpSummary
  | ({ readonly type: 'progress' } & DumpProgress)
  | { readonly type: 'notice'; readonly text: string }
  | ({ readonly type: 'error'; readonly code: ErrorCode; readonly message: string } & Omit<
      ErrorFields,
      'address'
    >);
