import { type Context, invariant } from './context.ts';

/** Why a block is copied; the statistics keep them apart. */
export type Purpose = 'initial' | 'trapped' | 'swept';

/**
 * Copies what is not copied yet in a range, and marks it. The order is the method's: the copy is whole in the
 * staging memory before its bit is set, and the bit is set before anybody may release the block.
 *
 * @returns false where the staging memory had no room; what was copied by then is marked, and the rest can be
 *   asked for again
 */
export function copyRange(context: Context, first: number, count: number, purpose: Purpose): boolean {
  const { copied, storage } = context;
  const end = first + count;
  let block = copied.nextClear(first, end);
  while (block < end) {
    const stop = Math.min(copied.nextSet(block, end), block + storage.largestOpen);
    const offset = storage.open(stop - block, purpose !== 'swept');
    if (offset < 0) return false;
    copyRun(context, block, stop - block, offset, purpose);
    markCopied(context, block, stop - block);
    block = copied.nextClear(stop, end);
  }
  return true;
}

/**
 * Copies blocks inside the hold and does not mark them: the copy map may lie in memory that is itself copied here and
 * protected until then. Nobody can look at it or write before the hold is over.
 *
 * @returns how many blocks were copied: fewer where the staging memory had no room
 */
export function copyUnmarked(context: Context, first: number, count: number): number {
  const { storage } = context;
  for (let done = 0; done < count; ) {
    const blocks = Math.min(count - done, storage.largestOpen);
    const offset = storage.open(blocks, true);
    if (offset < 0) return done;
    copyRun(context, first + done, blocks, offset, 'initial');
    done += blocks;
  }
  return count;
}

/** Sets the copied indications of blocks whose copies are whole. */
export function markCopied(context: Context, first: number, count: number): void {
  invariant(context.copied.setRange(first, count) === count, 'a block was copied twice');
}

/**
 * As `copyRange`, of what lies in the armed ranges: a trap's range may reach past them, into memory that came after
 * T0 or that the hold has copied.
 */
export function copyArmed(context: Context, first: number, count: number, purpose: Purpose): boolean {
  const { armed } = context;
  const end = first + count;
  for (let index = armed.indexOf(first); index < armed.length && armed.firsts[index]! < end; index++) {
    const from = Math.max(first, armed.firsts[index]!);
    const stop = Math.min(end, armed.firsts[index]! + armed.counts[index]!);
    if (!copyRange(context, from, stop - from, purpose)) return false;
  }
  return true;
}

/** The first block in [from, end) that is armed and not copied yet, or `end`. */
export function nextUncopied(context: Context, from: number, end: number): number {
  const { armed, copied } = context;
  for (let index = armed.indexOf(from); index < armed.length && armed.firsts[index]! < end; index++) {
    const stop = Math.min(end, armed.firsts[index]! + armed.counts[index]!);
    const found = copied.nextClear(Math.max(from, armed.firsts[index]!), stop);
    if (found < stop) return found;
  }
  return end;
}

function copyRun(context: Context, first: number, count: number, offset: number, purpose: Purpose): void {
  const { machine, storage, outcome } = context;
  outcome.clear();
  machine.copy(first, count, storage.staging, offset, outcome);
  let expected = first;
  for (let run = 0; run < outcome.length; run++) {
    const runFirst = outcome.firsts[run]!;
    const runCount = outcome.counts[run]!;
    invariant(runFirst === expected, 'a copy left blocks out');
    expected += runCount;
    keep(context, run, offset + (runFirst - first) * machine.blockBytes, purpose);
  }
  invariant(expected === first + count, 'a copy ended early');
  storage.close(offset);
}

function keep(context: Context, run: number, offset: number, purpose: Purpose): void {
  const { storage, statistics, outcome } = context;
  const first = outcome.firsts[run]!;
  const count = outcome.counts[run]!;
  switch (outcome.contents[run]!) {
    case 'lost':
      context.lost.add(first, count);
      statistics.lost += count;
      return;
    case 'absent':
      context.absent.add(first, count);
      statistics.absent += count;
      return;
    case 'zero':
      storage.storeZero(first, count);
      statistics.zero += count;
      return;
    case 'unreliable':
      context.unreliable.add(first, count);
      statistics.unreliable += count;
      break;
    case 'content':
      break;
  }
  storage.store(first, count, offset);
  statistics[purpose] += count;
}
