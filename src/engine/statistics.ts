/**
 * What a snapshot counts while it runs; plain numbers, read at any time.
 *
 * Each captured block is counted once, in `initial`, `trapped`, `swept`, `zero`, `lost` or `absent`; together they
 * are all that was captured. The other counts lie across these.
 */
export class Statistics {
  /** blocks whose content was copied inside the hold */
  initial = 0;
  /** blocks copied because somebody was about to write or destroy them */
  trapped = 0;
  /** blocks copied by the sweep */
  swept = 0;
  /** blocks that were zeros by the machine's own knowledge */
  zero = 0;
  /** blocks destroyed before they could be copied */
  lost = 0;
  /** blocks that were no longer, or not yet, part of the machine at T0 */
  absent = 0;
  /** those of `initial`, `trapped` and `swept` that can't be vouched for */
  unreliable = 0;
  /** blocks written after they were armed and before T0: each once for every round in which it was */
  early = 0;
  /** traps served after T0, removals included */
  traps = 0;
  /** rounds of arming, those after an abandoned hold included */
  rounds = 0;
  holdAttempts = 0;
  /** whether arming came down to the hot blocks */
  converged = true;
  /**
   * One for each of `traps`: from when it could first be seen to when its writer could go on, ns. What a writer
   * waited is not longer, but for its way to the engine and back.
   */
  readonly waits: Histogram = new Histogram();
}

const SUB_BUCKETS = 16;
const BUCKETS = 40 * SUB_BUCKETS;

/** Durations in ns up to some hours, in buckets 1/16 of a power of two wide: quantiles to 6%, no allocation. */
export class Histogram {
  readonly #buckets = new Float64Array(BUCKETS);
  count = 0;
  max = 0;

  add(ns: number): void {
    this.count++;
    if (ns > this.max) this.max = ns;
    const index = bucketOf(ns);
    this.#buckets[index] = this.#buckets[index]! + 1;
  }

  /** The duration that `share` (0 to 1) of all are not longer than; 0 where there are none. */
  quantile(share: number): number {
    let left = Math.ceil(this.count * share);
    for (let index = 0; index < BUCKETS; index++) {
      left -= this.#buckets[index]!;
      if (left <= 0 && this.count > 0) return Math.min(this.max, upperEnd(index));
    }
    return this.max;
  }
}

function bucketOf(ns: number): number {
  if (ns < SUB_BUCKETS) return Math.max(0, Math.floor(ns));
  const exponent = Math.floor(Math.log2(ns));
  const part = Math.floor((ns / 2 ** exponent - 1) * SUB_BUCKETS);
  return Math.min(BUCKETS - 1, (exponent - 3) * SUB_BUCKETS + part);
}

function upperEnd(index: number): number {
  if (index < SUB_BUCKETS) return index;
  if (index === BUCKETS - 1) return Number.POSITIVE_INFINITY;
  const exponent = Math.floor(index / SUB_BUCKETS) + 3;
  return 2 ** exponent * (1 + ((index % SUB_BUCKETS) + 1) / SUB_BUCKETS);
}
