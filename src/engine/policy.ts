/** The numbers that the method leaves open, and the few decisions that hang on them. */
export interface Policy {
  /** blocks protected in one step of arming, a power of two: a writer waits for a step at most */
  readonly armStepBlocks: number;
  /** blocks copied in one step of the sweep, a power of two */
  readonly chunkBlocks: number;
  /** so few noted blocks that copying them in the hold is cheaper than another round */
  readonly hotBlocks: number;
  /** rounds of arming before the noted blocks are taken as they are */
  readonly maxRounds: number;
  /** a hold that takes longer than this to be established is given up and tried again */
  readonly holdNs: number;
  readonly holdAttempts: number;
  /** how long the writers are left alone before the second attempt; twice as long before the third, and so on */
  readonly holdRetryNs: number;
  /** how long arming asks again while the machine can't protect anything */
  readonly refusalNs: number;
  /** the pause forecast above which nothing is done */
  readonly pauseLimitNs: number;
  /** no writer waits longer than this: past it the snapshot is given up */
  readonly stallLimitNs: number;
}

/** Milliseconds in the unit that the engine counts in. */
export const NS_PER_MS = 1_000_000;

/**
 * What was measured best for blocks of 4 KiB (docs/performance.md): steps of 8 MiB cost a writer up to 0.5 ms and
 * converge in one round for one writer, three for eight; chunks under 512 KiB only make the sweep longer.
 */
export const DEFAULT_POLICY: Policy = {
  armStepBlocks: 2048,
  chunkBlocks: 64,
  hotBlocks: 16,
  maxRounds: 8,
  holdNs: 10 * NS_PER_MS,
  holdAttempts: 8,
  holdRetryNs: 10 * NS_PER_MS,
  refusalNs: 5_000 * NS_PER_MS,
  pauseLimitNs: 20 * NS_PER_MS,
  stallLimitNs: 250 * NS_PER_MS,
};

/** Whether another round of arming is worth its cost: more was noted than is hot, and the last round helped. */
export function worthAnotherRound(
  policy: Policy,
  round: number,
  noted: number,
  notedBefore: number,
): boolean {
  if (noted <= policy.hotBlocks || round >= policy.maxRounds) return false;
  return round < 2 || noted < notedBefore * 0.8;
}
