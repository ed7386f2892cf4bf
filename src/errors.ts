/**
 * The one error family of livecore.
 *
 * A message is "action: state" and ends in the cure where there is one. `code` is stable and is what programs
 * test; the fields say about what. The codes and the exit status each leads to are listed in docs/errors.md.
 */

/** Stable identifiers of everything that can go wrong. */
export type ErrorCode =
  // the caller
  | 'USAGE'
  | 'CANCELLED'
  // the target
  | 'NO_SUCH_PROCESS'
  | 'THREAD_ID'
  | 'KERNEL_THREAD'
  | 'ZOMBIE'
  | 'OWN_PROCESS'
  | 'NO_RIGHT'
  | 'ALREADY_TRACED'
  | 'UNSUPPORTED_TARGET'
  | 'TARGET_GONE'
  | 'HOLD_FAILED'
  | 'PAUSE_TOO_LONG'
  | 'STALLED'
  | 'INJECTION_FAILED'
  // the kernel and the machine
  | 'KERNEL_FEATURE'
  | 'SYSTEM_CALL'
  | 'INVARIANT'
  | 'LOOP_DIED'
  // files
  | 'FILE_EXISTS'
  | 'OUTPUT'
  | 'NO_SPACE'
  | 'SPOOL_FULL'
  | 'READER_STOPPED'
  | 'BAD_CORE'
  | 'NO_CONTENT';

/** What an error is about; every field is optional, none is ever a secret. */
export interface ErrorFields {
  readonly pid?: number;
  readonly tid?: number;
  readonly address?: bigint;
  readonly length?: number;
  /** the C function or system call that failed */
  readonly syscall?: string;
  /** positive errno value */
  readonly errno?: number;
  readonly path?: string;
  /** byte position in a file or buffer that was being read */
  readonly position?: number;
  /** what the user can do about it, one sentence */
  readonly cure?: string;
}

/** Base class of every error that livecore throws on purpose. */
export class LivecoreError extends Error implements ErrorFields {
  override readonly name: string = 'LivecoreError';
  readonly code: ErrorCode;
  readonly pid?: number;
  readonly tid?: number;
  readonly address?: bigint;
  readonly length?: number;
  readonly syscall?: string;
  readonly errno?: number;
  readonly path?: string;
  readonly position?: number;
  readonly cure?: string;

  constructor(code: ErrorCode, message: string, fields: ErrorFields = {}, cause?: unknown) {
    super(
      fields.cure === undefined ? message : `${message}; ${fields.cure}`,
      cause === undefined ? undefined : { cause },
    );
    this.code = code;
    Object.assign(this, fields);
  }

  /** The error as plain data, for a message between processes or a JSON line. */
  toJSON(): { code: ErrorCode; message: string } & ErrorFields {
    const { code, message, pid, tid, address, length, syscall, errno, path, position, cure } = this;
    const all = { pid, tid, address, length, syscall, errno, path, position, cure };
    const fields = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
    return { code, message, ...fields };
  }
}
