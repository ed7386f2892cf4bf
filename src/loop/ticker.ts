import type { DumpProgress } from '../dump-types.ts';
import { NS_PER_MS } from '../engine/policy.ts';
import type { Phase } from '../engine/snapshot.ts';
import { monotonicNs } from '../linux/clock.ts';
import type { Watchdog } from '../linux/watchdog.ts';
import { PAGE_BYTES } from '../machines/process/pages.ts';
import type { Capture } from './capture.ts';
import type { FileStorage } from './file-storage.ts';
import type { ParentLink } from './parent-link.ts';
import { cancelled } from './protocol.ts';
import type { SpoolRoom } from './spool-room.ts';

const PROGRESS_NS = 200 * NS_PER_MS;

/** What happens between steps: the watchdog is fed, the parent heard, the stream moved on, progress told. */
export class Ticker {
  readonly #link: ParentLink;
  readonly #watchdog: Watchdog;
  readonly #stream: { readonly room: SpoolRoom; readonly storage: FileStorage } | undefined;
  #nextProgress = 0;
  #lastDone = 0;
  #lastTraps = 0;
  #lastNs = 0;

  constructor(
    link: ParentLink,
    watchdog: Watchdog,
    stream?: { readonly room: SpoolRoom; readonly storage: FileStorage },
  ) {
    this.#stream = stream;
    this.#link = link;
    this.#watchdog = watchdog;
  }

  /** @param watchdogNs how long it may be until the next tick */
  tick(capture: Capture, watchdogNs: number): void {
    this.#watchdog.feed(watchdogNs);
    this.#link.receive();
    if (this.#link.cancelled) throw cancelled();
    const now = monotonicNs();
    this.#stream?.room.tick(now, capture.snapshot, this.#stream.storage, this.#link);
    if (now < this.#nextProgress) return;
    this.#nextProgress = now + PROGRESS_NS;
    this.#link.offer({ type: 'progress', ...this.#progress(capture, now) });
  }

  #progress({ snapshot }: Capture, now: number): DumpProgress {
    const { done, statistics } = snapshot;
    const total = snapshot.captured.blocks;
    const seconds = this.#lastNs === 0 ? 0 : (now - this.#lastNs) / 1e9;
    const rate = (amount: number): number => (seconds > 0 ? amount / seconds : 0);
    const blocksPerSecond = rate(done - this.#lastDone);
    const progress: DumpProgress = {
      phase: PHASES[snapshot.phase],
      blocksDone: done,
      blocksTotal: total,
      bytesPerSecond: blocksPerSecond * PAGE_BYTES,
      trapsPerSecond: rate(statistics.traps - this.#lastTraps),
      ...(blocksPerSecond > 0 && { secondsLeft: (total - done) / blocksPerSecond }),
    };
    this.#lastDone = done;
    this.#lastTraps = statistics.traps;
    this.#lastNs = now;
    return progress;
  }
}

const PHASES: Record<Phase, DumpProgress['phase']> = {
  survey: 'arm',
  arm: 'arm',
  hold: 'hold',
  copy: 'copy',
  disarm: 'release',
  ended: 'finish',
};
