import type { DumpPhase, TargetMemory } from '../dump-types.ts';
import type { Policy } from '../engine/policy.ts';
import { Snapshot } from '../engine/snapshot.ts';
import type { CoreLayout } from '../formats/elf-core/layout.ts';
import { monotonicNs } from '../linux/clock.ts';
import { untouchedMarkerEntry } from '../linux/features.ts';
import type { ProcessHandle } from '../linux/pidfd.ts';
import { readSmapsRollup, readStatus } from '../linux/proc.ts';
import { isGone } from '../linux/proc-file.ts';
import { Attachment } from '../machines/process/attach.ts';
import { type ProcessFacts, readFacts } from '../machines/process/facts.ts';
import { ProcessMachine } from '../machines/process/machine.ts';
import type { Region } from '../machines/process/regions.ts';
import { layoutOf, writeHeaders } from './core-writer.ts';
import type { FileStorage } from './file-storage.ts';
import { collectYoung, memoryLock } from './host.ts';

/** What one capture is told, and whom it asks between steps. */
export interface CaptureOptions {
  /** not ours to close */
  readonly process: ProcessHandle;
  readonly all: boolean;
  readonly policy: Policy;
  readonly fd: number;
  readonly storage: FileStorage;
  /** Called between steps, as often as `tickNs` says; throws to give up. */
  readonly tick?: (capture: Capture) => void;
  readonly tickNs?: number;
  /** See AttachOptions. */
  readonly stopping?: (begins: boolean) => void;
  /** Called when nobody waits for us any more: what follows may take its time. */
  readonly released?: () => void;
  /** Called once, before T0. */
  readonly planned?: (regions: readonly Region[], pauseNs: number) => void;
}

const TICK_NS = 2_000_000;

/** One live core file of one process, from attaching to the written file. */
export class Capture implements Disposable {
  readonly #options: CaptureOptions;
  readonly #resources: DisposableStack;
  readonly #attached: Attachment;
  readonly #facts: ProcessFacts;
  readonly machine: ProcessMachine;
  readonly snapshot: Snapshot;
  #layout: CoreLayout | undefined;
  #plannedRegions: readonly Region[] = [];
  /** when each phase began, CLOCK_MONOTONIC; 0 for what did not come */
  readonly courseNs: Record<DumpPhase, number> = {
    attach: monotonicNs(),
    arm: 0,
    hold: 0,
    copy: 0,
    release: 0,
    finish: 0,
  };
  /** apparent size of the file */
  sizeBytes = 0;

  constructor(options: CaptureOptions) {
    using building = new DisposableStack();
    this.#options = options;
    const { process, all, storage, policy } = options;
    // Before anything is done to the target: its state is its own.
    this.#facts = readFacts(process.pid);
    this.#attached = new Attachment(process, {
      all,
      staging: storage.memory,
      marker: markerEntry(),
      pauseLimitNs: policy.pauseLimitNs,
      ...(options.stopping && { stopping: options.stopping }),
    });
    this.machine = building.use(new ProcessMachine(this.#attached));
    this.snapshot = new Snapshot(
      this.machine,
      storage,
      policy,
      { now: monotonicNs },
      {
        listener: { forecast: (pauseNs) => this.#plan(pauseNs), resumed: () => this.#place() },
      },
    );
    this.#resources = building.move();
  }

  /** the longest that a thread stood still while we attached */
  get attachNs(): number {
    return this.#attached.attachNs;
  }

  /** Runs the snapshot to its end, and writes what belongs around it. Throws why it failed; the target runs on. */
  run(): void {
    const { storage, fd } = this.#options;
    this.courseNs.arm = monotonicNs();
    this.#loop();
    this.courseNs.finish = monotonicNs();
    this.#options.released?.();
    if (this.snapshot.failure !== undefined) throw this.snapshot.failure;
    this.machine.keepThreads();
    storage.finish();
    const { t0, pauseNs, regions, threads } = this.machine;
    const { unreliable, lost } = this.snapshot;
    const finding = { t0: t0!, pauseNs, regions, threads, facts: this.#facts, unreliable, lost };
    this.sizeBytes = writeHeaders(fd, this.#layout!, finding);
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }

  #loop(): void {
    using _locked = memoryLock();
    const { tickNs = TICK_NS } = this.#options;
    let next = 0;
    while (this.snapshot.step() !== 'ended') {
      const now = monotonicNs();
      if (this.courseNs.release === 0 && this.snapshot.phase === 'disarm') this.courseNs.release = now;
      // Not in the hold: it is short, and a tick takes up to 0.6 ms.
      if (now < next || this.snapshot.phase === 'hold') continue;
      next = now + tickNs;
      try {
        this.#options.tick?.(this);
      } catch (error) {
        this.snapshot.giveUp(error);
      }
    }
  }

  /** The layout is made before T0, for the regions as they are: if they stay, nobody waits for it afterwards. */
  #plan(pauseNs: number): void {
    // The young generation is full a few times a second, not just now and in the hold.
    collectYoung();
    this.#plannedRegions = this.#attached.space.regions;
    this.#layout = layoutOf(this.#plannedRegions);
    this.#options.planned?.(this.#plannedRegions, pauseNs);
  }

  #place(): void {
    this.courseNs.copy = monotonicNs();
    this.courseNs.hold = this.courseNs.copy - this.machine.pauseNs;
    if (this.machine.regions !== this.#plannedRegions) this.#layout = layoutOf(this.machine.regions);
    this.#options.storage.place(this.#layout!);
  }
}

/** Page frame or swap entry, bits 0 to 54 of a pagemap entry: 0 for who may not know (CAP_SYS_ADMIN) */
const FRAME = (1n << 55n) - 1n;
/** soft-dirty and exclusive, bits 55 and 56, say nothing about a marker */
const INDIFFERENT = 3n << 55n;

/** The pagemap entry of a protected page that was never touched, or 0n where it can't be told from a swapped one. */
function markerEntry(): bigint {
  const entry = untouchedMarkerEntry() ?? 0n;
  return (entry & FRAME) === 0n ? 0n : entry & ~INDIFFERENT;
}

/** The target's memory as the kernel accounts it now. Walks its page tables, 10 ms a GiB. */
export function readTargetMemory(pid: number): TargetMemory {
  const rollup = readSmapsRollup(pid);
  return {
    rssBytes: rollup.get('Rss') ?? 0,
    pssBytes: rollup.get('Pss') ?? 0,
    vmPteBytes: readStatus(pid).pageTableBytes ?? 0,
    anonHugePagesBytes: rollup.get('AnonHugePages') ?? 0,
    swapBytes: rollup.get('Swap') ?? 0,
  };
}

const NO_MEMORY: TargetMemory = {
  rssBytes: 0,
  pssBytes: 0,
  vmPteBytes: 0,
  anonHugePagesBytes: 0,
  swapBytes: 0,
};

/** The same of a target that may have ended while it was dumped: then it has none. */
export function readTargetMemoryIfAlive(process: ProcessHandle): TargetMemory {
  try {
    const memory = readTargetMemory(process.pid);
    return process.holdsNumber ? memory : NO_MEMORY;
  } catch (error) {
    if (!isGone(error)) throw error;
    return NO_MEMORY;
  }
}
