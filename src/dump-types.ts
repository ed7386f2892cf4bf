/** What a dump is asked for and what it tells: the shapes shared by the library, the command line and the loop. */

/** How to dump. Every field is optional; `dump(pid, {})` does what `livecore dump PID` does. */
export interface DumpOptions {
  /** file to write, `core.PID` in the working directory by default; an existing file is never overwritten */
  readonly output?: string;
  /** write the core to this descriptor instead, in file order (`-o -`); it may be a pipe */
  readonly outputFd?: number;
  /**
   * of a stream: what may wait in a nameless file in TMPDIR for the reader, in bytes; 1 GiB by default. The copy waits at
   * this bound, the target never does; what it writes may bring the file to twice as much, then the dump is given up
   */
  readonly spoolBytes?: number;
  /** of a stream: a reader that takes nothing for longer ends the dump; 60,000 by default */
  readonly readerTimeoutMs?: number;
  /** also what coredump_filter and MADV_DONTDUMP leave out */
  readonly all?: boolean;
  /** a limit in milliseconds: forecast above it, nothing is done to the target */
  readonly maxPauseMs?: number;
  /** the longest that any writer may wait for its own copy before the dump is given up; 250 by default */
  readonly maxStallMs?: number;
  /** size of the staging memory in bytes */
  readonly bufferBytes?: number;
  /** go on although the forecast pause is above 20 ms */
  readonly force?: boolean;
  /** aborts the dump: the target runs on, no file is left */
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: DumpProgress) => void;
  readonly onPlan?: (plan: DumpPlan) => void;
  /** something the user should know, one sentence */
  readonly onNotice?: (text: string) => void;
}

/** Where a dump is in its course. */
export type DumpPhase = 'attach' | 'arm' | 'hold' | 'copy' | 'release' | 'finish';

/** How far a dump is; arrives a few times a second. */
export interface DumpProgress {
  readonly phase: DumpPhase;
  readonly blocksDone: number;
  readonly blocksTotal: number;
  readonly bytesPerSecond: number;
  readonly trapsPerSecond: number;
  /** undefined while unknown */
  readonly secondsLeft?: number;
}

/** A range of the target's memory that a rule leaves out of the core. */
export interface LeftOutRange {
  /** first address and the address after the last, hexadecimal with 0x */
  readonly start: string;
  readonly end: string;
  readonly sizeBytes: number;
  /** coredump_filter, MADV_DONTDUMP, a device mapping, data of the vDSO */
  readonly rule: 'filter' | 'dontdump' | 'device' | 'vdso-data';
  /** the name in /proc/PID/maps, as the target gave it */
  readonly name?: string;
}

/** What will be done, told before T0; a JSON line of the command line. */
export interface DumpPlan {
  readonly type: 'plan';
  readonly pid: number;
  readonly leftOut: readonly LeftOutRange[];
  readonly forecastPauseMs: number;
}

/** The target's memory, in bytes, of /proc/PID/smaps_rollup and /proc/PID/status. */
export interface TargetMemory {
  readonly rssBytes: number;
  readonly pssBytes: number;
  readonly vmPteBytes: number;
  readonly anonHugePagesBytes: number;
  readonly swapBytes: number;
}

/** What was done; the last JSON line of the command line. */
export interface DumpSummary {
  readonly type: 'summary';
  readonly pid: number;
  readonly file: string;
  readonly strategy: 'protect';
  /** wall clock of T0, ISO 8601 with nanoseconds */
  readonly t0: string;
  /** from before the first thread is interrupted to after the last is resumed */
  readonly pauseMs: number;
  /** the longest that any thread stood still before that */
  readonly attachMs: number;
  readonly totalMs: number;
  readonly memoryBytes: number;
  /** what the file occupies */
  readonly fileBytes: number;
  readonly blocks: {
    readonly total: number;
    readonly initial: number;
    readonly early: number;
    readonly trapped: number;
    readonly swept: number;
    readonly zero: number;
    readonly unreliable: number;
    readonly lost: number;
  };
  readonly traps: {
    readonly count: number;
    readonly p50Us: number;
    readonly p99Us: number;
    readonly maxUs: number;
  };
  /** when each phase began, the last hold if there were several, and when all was done: CLOCK_MONOTONIC, in ns */
  readonly courseNs: Readonly<Record<DumpPhase | 'done', number>>;
  /** of all processes of the tool */
  readonly peakRssBytes: number;
  readonly before: TargetMemory;
  readonly after: TargetMemory;
}

/** The library's `dump`. */
export type Dump = (pid: number, options: DumpOptions) => Promise<DumpSummary>;
