/** Shows how far a dump is: one line written over again on a terminal, a few plain lines elsewhere. */
import type { DumpPhase, DumpProgress } from '../dump-types.ts';
import { formatCount, formatNumber, formatSize } from './format.ts';
import { record, type Voice } from './voice.ts';

const PHASE_WORDS: Readonly<Record<DumpPhase, string>> = {
  attach: 'attaching',
  arm: 'protecting',
  hold: 'holding',
  copy: 'copying',
  release: 'releasing',
  finish: 'finishing the file',
};

/** A log that nobody watches gets a line this often, and one at each new phase. */
const PLAIN_INTERVAL_MS = 10_000;
const RECORD_INTERVAL_MS = 1000;
const BAR_WIDTH = 20;

/** Receives the events of one dump. */
export class ProgressLine {
  readonly #voice: Voice;
  readonly #now: () => number;
  #phase: DumpPhase | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(voice: Voice, now: () => number = () => performance.now()) {
    this.#voice = voice;
    this.#now = now;
  }

  show(event: DumpProgress): void {
    if (this.#voice.isLive) {
      this.#voice.flash(barOf(event) + describeProgress(event));
      return;
    }
    const intervalMs = this.#voice.isJson ? RECORD_INTERVAL_MS : PLAIN_INTERVAL_MS;
    if (event.phase === this.#phase && this.#now() - this.#lastMs < intervalMs) return;
    this.#phase = event.phase;
    this.#lastMs = this.#now();
    this.#voice.record(record('progress', event));
    this.#voice.say(describeProgress(event));
  }
}

/** `copying  45%  118,012 of 262,144 blocks  2.1 GiB/s  812 traps/s  1 s left` */
export function describeProgress(event: DumpProgress): string {
  const { phase, blocksDone, blocksTotal, bytesPerSecond, trapsPerSecond, secondsLeft } = event;
  const parts = [PHASE_WORDS[phase]];
  if (blocksTotal > 0) {
    parts.push(`${Math.floor((blocksDone / blocksTotal) * 100)}%`);
    parts.push(`${formatCount(blocksDone)} of ${formatCount(blocksTotal)} blocks`);
  }
  if (bytesPerSecond > 0) parts.push(`${formatSize(bytesPerSecond)}/s`);
  if (phase === 'copy') parts.push(`${formatCount(trapsPerSecond)} traps/s`);
  if (secondsLeft !== undefined) parts.push(`${formatNumber(Math.ceil(secondsLeft))} s left`);
  return parts.join('  ');
}

function barOf({ blocksDone, blocksTotal }: DumpProgress): string {
  const filled = blocksTotal > 0 ? Math.floor((blocksDone / blocksTotal) * BAR_WIDTH) : 0;
  return `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)} `;
}
