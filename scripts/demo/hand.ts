/**
 * The hand of a clock that goes round in a server's memory, so that a copy of this memory can be read like a clock.
 *
 * Write number k goes to slot k mod SLOTS, after the reply to write k - 1 has come. So at any instant there is one n
 * such that the slots hold exactly the writes n - SLOTS + 1 to n. A copy that is not of one instant breaks this: a slot
 * copied early is behind, one copied late ahead. And n tells which instant it is: write n was sent before it, the reply
 * to write n + 1 came after.
 *
 * Each slot is a value of its own of a page's size, written in place (SETRANGE), and found in memory by a mark that
 * never travels in one piece: its halves are sent by different commands, so no buffer of the server can hold it.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RespConnection } from './resp.ts';

export const SLOTS = 512;
const SLOT_BYTES = 4096;
const HALF_BYTES = 16;
const NUMBER_DIGITS = 16;
const SLOT_DIGITS = 8;
/** how many writes back their times are kept */
const KEPT = 1 << 18;
const STEPS_PER_TICK = 4;
const TICK_MS = 2;

/** The two halves of the mark. */
export type Mark = readonly [first: string, second: string];

/** A slot as it stands in a copy of the memory. */
export interface SlotValue {
  readonly slot: number;
  readonly write: number;
}

/** When a write was sent and when its reply came, in ns of CLOCK_MONOTONIC. */
export interface WriteTimes {
  readonly sentNs: number;
  readonly repliedNs: number;
}

/** Goes round until it is stopped. */
export class ClockHand {
  readonly mark: Mark = [
    randomBytes(HALF_BYTES / 2).toString('hex'),
    randomBytes(HALF_BYTES / 2).toString('hex'),
  ];
  readonly #connection: RespConnection;
  readonly #sentNs = new Float64Array(KEPT);
  readonly #repliedNs = new Float64Array(KEPT);
  #next = 0;
  #stopped = false;

  constructor(connection: RespConnection) {
    this.#connection = connection;
  }

  /** Makes the slots and goes round once, so that all of them hold a write. */
  async wind(): Promise<void> {
    for (let slot = 0; slot < SLOTS; slot++) {
      await this.#connection.send('SETRANGE', keyOf(slot), String(SLOT_BYTES - 1), '.');
      await this.#connection.send('SETRANGE', keyOf(slot), '0', this.mark[0]);
      await this.#connection.send(
        'SETRANGE',
        keyOf(slot),
        String(HALF_BYTES),
        this.mark[1] + digits(slot, SLOT_DIGITS),
      );
    }
    while (this.#next < SLOTS) await this.#step();
  }

  /** At a steady pace, which leaves the CPUs to the clients: what they see is what the demonstration shows. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      for (let step = 0; step < STEPS_PER_TICK; step++) await this.#step();
      await sleep(TICK_MS);
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  timesOf(write: number): WriteTimes | undefined {
    if (write < 0 || write >= this.#next || write < this.#next - KEPT) return undefined;
    return { sentNs: this.#sentNs[write % KEPT]!, repliedNs: this.#repliedNs[write % KEPT]! };
  }

  async #step(): Promise<void> {
    const write = this.#next;
    this.#sentNs[write % KEPT] = Number(process.hrtime.bigint());
    const offset = String(2 * HALF_BYTES + SLOT_DIGITS);
    await this.#connection.send('SETRANGE', keyOf(write % SLOTS), offset, digits(write, NUMBER_DIGITS));
    this.#repliedNs[write % KEPT] = Number(process.hrtime.bigint());
    this.#next = write + 1;
  }
}

/** Every slot in a piece of memory. */
export function findSlots(memory: Uint8Array, mark: Mark): SlotValue[] {
  const bytes = Buffer.from(memory.buffer, memory.byteOffset, memory.byteLength);
  const pattern = mark.join('');
  const found: SlotValue[] = [];
  for (let at = bytes.indexOf(pattern); at >= 0; at = bytes.indexOf(pattern, at + 1)) {
    const text = bytes.toString(
      'latin1',
      at + pattern.length,
      at + pattern.length + SLOT_DIGITS + NUMBER_DIGITS,
    );
    // cut off by the end of the piece: the next one overlaps and holds it whole
    if (!/^\d{24}$/.test(text)) continue;
    found.push({ slot: Number(text.slice(0, SLOT_DIGITS)), write: Number(text.slice(SLOT_DIGITS)) });
  }
  return found;
}

/** Bytes that a slot's mark, number and write take: what two pieces of memory have to overlap by. */
export const SLOT_TEXT_BYTES: number = 2 * HALF_BYTES + SLOT_DIGITS + NUMBER_DIGITS;

/** Reads the clock: the last write of the instant, or why there is no such instant. */
export function readClock(values: readonly SlotValue[]): { lastWrite: number } | { fault: string } {
  const writes = new Map(values.map(({ slot, write }) => [slot, write]));
  if (values.length !== SLOTS || writes.size !== SLOTS)
    return { fault: `${values.length} of ${SLOTS} slots found` };
  const lastWrite = Math.max(...writes.values());
  const wrong = [...writes].filter(([slot, write]) => write !== lastWrite - ((lastWrite - slot) % SLOTS));
  if (wrong.length === 0) return { lastWrite };
  const [slot, write] = wrong[0]!;
  const expected = lastWrite - ((lastWrite - slot) % SLOTS);
  return {
    fault: `${wrong.length} of ${SLOTS} slots are of another instant: slot ${slot} holds write ${write}, not ${expected}`,
  };
}

function keyOf(slot: number): string {
  return `livecore:hand:${slot}`;
}

function digits(value: number, count: number): string {
  return String(value).padStart(count, '0');
}
