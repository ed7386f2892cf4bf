/** A store that a writer of the memory machine wants to make. */
export interface Store {
  readonly address: number;
  readonly value: number;
  /**
   * Made inside a system call, so to say: a writer that waits in such a store can't be stopped before it has
   * been let through, as on Linux.
   */
  readonly inKernel: boolean;
}

/** One writer of the memory machine: it makes its stores in order, and waits in front of a protected block. */
export class Writer {
  readonly id: number;
  stopped = false;
  waitsFor: Store | undefined;

  constructor(id: number) {
    this.id = id;
  }

  /** A writer counts as held when it is stopped and no store of its own can still land. */
  get held(): boolean {
    return this.stopped && !(this.waitsFor?.inKernel ?? false);
  }
}
