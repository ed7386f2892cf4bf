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

/** What a writer stands in front of. */
export type Wait =
  | { readonly for: 'store'; readonly store: Store }
  | { readonly for: 'removal'; readonly first: number; readonly count: number };

/** One writer of the memory machine: it does one thing after the other, and waits where it is made to. */
export class Writer {
  readonly id: number;
  /** it does nothing more of its own */
  stopped = false;
  /** it stops as soon as it comes back from where it can't be stopped */
  stopping = false;
  /** asleep in the kernel, where nothing can stop it */
  stuck = false;
  waits: Wait | undefined;
  /** the block it waits for was released while it was stopped: it tries again when it goes on */
  woken = false;

  constructor(id: number) {
    this.id = id;
  }

  /** Not while something of its own can still land. */
  get canStop(): boolean {
    if (this.stuck) return false;
    return this.waits === undefined || (this.waits.for === 'store' && !this.waits.store.inKernel);
  }
}
