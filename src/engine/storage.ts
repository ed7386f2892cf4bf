/**
 * Where a snapshot goes ("snapshot storage 17"): bounded staging memory that the machine copies into, and
 * whatever takes the blocks out of it. It never blocks: when there is no room it says so, the sweep waits, and
 * traps use a reserve.
 */
export interface SnapshotStorage {
  /** the staging memory; `open` gives offsets into it */
  readonly staging: Uint8Array;
  /** the most blocks that one `open` can ask for */
  readonly largestOpen: number;
  /**
   * Blocks are best swept in order of address alone, now: what comes early takes room that is scarce. May change at any
   * time; false where it is not said.
   */
  readonly inOrder?: boolean;

  /**
   * Room for `count` blocks: its offset in `staging`, or -1 where there is none now. Only `urgent` calls (a
   * writer waits) may use the reserve. The room is the caller's until it is closed.
   */
  open(count: number, urgent: boolean): number;
  /** The `count` blocks from `first` on stand at `offset`, within room that is open. */
  store(first: number, count: number, offset: number): void;
  /** The blocks are zeros; they took no room. */
  storeZero(first: number, count: number): void;
  /** Nothing more comes from the room at `offset`; it is free again once what was stored has been taken out. */
  close(offset: number): void;
  /** Goes through what storing a block takes, with no effect: the hold is next, and its code has not run for long. */
  rehearse?(): void;
  /** Moves along what moves by itself: finished writes are taken back, new ones are begun. Never blocks. */
  pump(): void;
}
