import { OP_NAMES } from '../../src/machines/ultrasparc/bus.ts';
import type { Computer } from '../../src/machines/ultrasparc/computer.ts';

const HANDLER = [
  '',
  'walks the STT',
  'fills the TSB',
  'fills its TLB',
  'in data_access_protection',
  '',
  'goes on removing',
];
const ACTORS = 64;
const PHASES = 8;

/** What an actor is about to do, as a number. */
export function encodeActor(computer: Computer, actor: number): number {
  const processor = computer.processors[actor >> 1];
  if (processor === undefined) {
    const slot = actor - computer.processors.length * 2;
    return actor + ACTORS * (computer.bridge.inFlight(slot) ? 1 : 0);
  }
  if ((actor & 1) === 1) return actor + ACTORS * processor.oldestStore().block;
  return actor + ACTORS * (processor.phase + PHASES * processor.pc);
}

/** The same, for people; and of an access, what the snapshot program does. */
export function describe(computer: Computer, what: number | readonly number[]): string {
  if (typeof what !== 'number') return `S ${OP_NAMES[what[0]!]} ${what[1]} ${what[2]}`;
  const actor = what % ACTORS;
  const detail = Math.floor(what / ACTORS);
  const processor = computer.processors[actor >> 1];
  if (processor === undefined) {
    const slot = actor - computer.processors.length * 2;
    return detail === 1 ? `DMA ${slot} lands` : `DMA ${slot} is let in`;
  }
  const name = `P${processor.number}`;
  if ((actor & 1) === 1) return `${name} drains a store to block ${detail}`;
  if (detail % PHASES !== 0) return `${name} ${HANDLER[detail % PHASES]}`;
  const { kind, va } = processor.program.instructions[Math.floor(detail / PHASES)]!;
  return `${name} ${kind}${va === undefined ? '' : ` ${va.toString(16)}`}`;
}

/** A schedule with the snapshot program's accesses between two events counted, not listed. */
export function shorten(schedule: readonly string[]): string[] {
  const short: string[] = [];
  let accesses = 0;
  let last = '';
  const flush = (): void => {
    if (accesses > 0) short.push(accesses === 1 ? last : `S ... ${accesses} accesses to ${last.slice(2)}`);
    accesses = 0;
  };
  for (const event of schedule) {
    if (event.startsWith('S ')) {
      accesses++;
      last = event;
      continue;
    }
    flush();
    short.push(event);
  }
  flush();
  return short;
}
