/** Reads the clock of hand.ts out of a core file, through the library's own reader. */
import type { Core } from '../../src/formats/elf-core/core.ts';
import { findSlots, type Mark, readClock, SLOT_TEXT_BYTES, type SlotValue } from './hand.ts';

const PIECE_BYTES = 8 << 20;

/** The last write that the core holds, or why the core is of no single instant. */
export async function readClockOf(
  core: Core,
  mark: Mark,
): Promise<{ lastWrite: number } | { fault: string }> {
  const values: SlotValue[] = [];
  for await (const { start, contentEnd } of core.segments()) {
    const bytes = Number(contentEnd - start);
    for (let at = 0; at < bytes; at += PIECE_BYTES) {
      // Pieces overlap by less than a whole slot's text, so none is missed and none found twice.
      const length = Math.min(PIECE_BYTES + SLOT_TEXT_BYTES - 1, bytes - at);
      values.push(...findSlots(await core.read(start + BigInt(at), length), mark));
    }
  }
  return readClock(values);
}
