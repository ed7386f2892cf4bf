/**
 * All that `livecore explain` says: what happens, why it is done, and what would go wrong without it. It is for who
 * knows what a page is, and no more; so it speaks of blocks and processors, and names the document's terms once.
 */
import type { Content130 } from './memory.ts';

/** What happens in a moment, and why. */
export type Said = readonly [what: string, why: string];

/** Before anything happens: the problem, the answer, the one mechanism, and how the picture is read. */
export const INTRODUCTION: readonly Said[] = [
  [
    'A small computer: two processors and a device write to its memory, all the time.',
    'How to copy it as it is at one instant? Copied while they write, its end is younger than its beginning: a memory that never was. Stopped for all of the copy, they stand still for long.',
  ],
  [
    'A live snapshot stops all for a moment, lets them go on, and copies each block before its first write.',
    'A page can be written only while its bit W is set. Where it is cleared a write traps: before it, the snapshot program is called.',
  ],
  [
    'A row is a block of memory, with a word of it: the first, or one that has changed. No snapshot runs yet.',
    'W: writes pass; traps: they do not; no page: no program writes it. [x] will say copied, * changed since. Above: the steps, S1 to S7.',
  ],
];

export function started(armedInHold: boolean): Said {
  const held = armedInHold ? 'in S2 and S3' : 'at the end of S2 and in S3';
  return [
    'The snapshot program is started.',
    `It runs beside the others. They stand still ${held}; not in S5 and S6, the long part.`,
  ];
}

export function stopped(processor: number): Said {
  return [
    `Processor ${processor} is stopped: the hold.`,
    'If one still wrote, blocks copied before and after it would be of two instants. Its buffer is emptied first.',
  ];
}

export function slotClosed(slot: number): Said {
  return [
    `Device ${slot} is held too: the register of its slot is closed.`,
    'It writes to memory by itself (DMA), past pages and W: nothing else can stop it.',
  ];
}

/** What a page maps: of a large one, several blocks. */
export function mapped(first: number, count: number): string {
  return count === 1 ? `block ${first}` : `blocks ${first} to ${first + count - 1}`;
}

/** Of a page whose blocks are named as `mapped` does it. */
export function protectedPage(blocks: string, again: boolean, large: boolean): Said {
  if (again) {
    return [
      `W is cleared for another page of ${blocks}.`,
      'Two processes share it, each through a page of its own. One forgotten, and its writes would slip through.',
    ];
  }
  return [
    `W is cleared for the page of ${blocks}.`,
    large
      ? 'A large page has one W: the first write to any of its blocks waits until all of them are copied.'
      : 'From now on a write to it traps. Otherwise what stood there would be gone before it was copied.',
  ];
}

export function protectedAgain(blocks: string): Said {
  return [
    `W is cleared once more for a page of ${blocks}.`,
    'It was written while the rest was being protected. In rounds, the blocks that were become few.',
  ];
}

export function split(blocks: string): Said {
  return [
    `The page of ${blocks} is split into pages of one block each.`,
    'A large page has one W: whole, the first write to any of its blocks would wait until all of them are copied.',
  ];
}

export function joined(blocks: string): Said {
  return [
    `The page of ${blocks} is put together again.`,
    'It was split for the snapshot only. After it, all is as it was before.',
  ];
}

export const DEMAPPED: Said = [
  'The TLB of each processor forgets the page.',
  "A TLB is a processor's own cache of page entries. With the old one, W still set, writes would go on unseen.",
];

export const INSTANT: Said = [
  'T0: this instant is what the snapshot will show.',
  'Every later write traps first. So blocks can be copied later: each stays as it is until then.',
];

export function copiedInHold(block: number, holds: Content130): Said {
  const what = `Block ${block} (${holds}) is copied at once.`;
  switch (holds) {
    case 'kernel':
      return [
        what,
        'The snapshot program itself writes the page entries in it. If it trapped there, it would wait for itself.',
      ];
    case 'DMA buffer':
      return [what, 'A device does not trap, so this can not wait.'];
    default:
      return [
        what,
        'It was written while it was being protected. Copying it now is quicker than a trap later.',
      ];
  }
}

export function goesOn(processor: number, armedInHold: boolean): Said {
  return [
    `Processor ${processor} goes on.`,
    armedInHold
      ? 'It stood still while W was cleared: the longer, the larger memory is. So on Linux that is done before (--variant arming=live).'
      : 'It stood still for a few blocks, however large memory is. The others are copied while it runs.',
  ];
}

export function writableAgain(blocks: string, waited: boolean): Said {
  return waited
    ? [
        `W is set again for a page of ${blocks}: the write goes on.`,
        'Writes to this block never trap again. With W set before the copy, they would overtake it.',
      ]
    : [`W is set again for a page of ${blocks}.`, 'It is copied: a trap would be for nothing.'];
}

export function letGoEarly(blocks: string): Said {
  return [
    `W is set again for a page of ${blocks}: T0 is still to come.`,
    'Nothing has to be saved yet. The block is noted, and protected or copied later, at the latest in the hold.',
  ];
}

export function marked(blocks: readonly number[]): Said {
  const which = blocks.length === 1 ? `Block ${blocks[0]} is` : `Blocks ${blocks.join(', ')} are`;
  return [
    `${which} marked in the copy map: [x].`,
    'Unmarked, it would be copied again, with new content. Marked too early, half a copy would pass for a whole one.',
  ];
}

export function trapped(processor: number, block: number, instantHasBeen: boolean): Said {
  return [
    `Processor ${processor} wants to write to block ${block}, and W is cleared: a trap.`,
    instantHasBeen
      ? 'Nothing of it has landed. The processor waits until the block is copied.'
      : 'All is being protected while it runs. The processor waits until the block is noted.',
  ];
}

export function copiedForWriter(block: number): Said {
  return [
    `Block ${block} is copied, because a processor waits to write to it.`,
    'First the copy, then the write; or the snapshot would show what was not there at T0.',
  ];
}

export function copiedInSweep(block: number): Said {
  return [
    `Block ${block} is copied in the background.`,
    'What nobody writes never traps, and would never be copied. So the sweep takes block after block, between the traps.',
  ];
}

export function written(processor: number, block: number, kept: boolean, stopped: boolean): Said {
  if (stopped) {
    return [
      `A write that processor ${processor} had begun lands in block ${block}.`,
      'It was let through before W was cleared, and waited in the buffer of the processor. T0 is when no such write is left.',
    ];
  }
  return [
    `A write of processor ${processor} lands in block ${block}.`,
    kept ? 'Memory changes, the snapshot does not: it has the block.' : 'W is set: nothing is in its way.',
  ];
}

export function writtenByDevice(slot: number, block: number, kept: boolean): Said {
  return [
    `Device ${slot} writes to block ${block} by DMA.`,
    kept ? 'Past all pages. But the snapshot has the block.' : 'To memory itself, past all pages.',
  ];
}

export function listed(block: number, as: 'unreliable' | 'lost'): Said {
  return [
    `Block ${block} is listed as ${as}.`,
    'Nobody can vouch that it is as it was at T0. The snapshot says so, it is never kept silent.',
  ];
}

/** How it came out, found by comparing. */
export interface Outcome {
  /** not a part of the snapshot: the copy map's own block, excluded DMA buffers */
  readonly leftOut: readonly number[];
  readonly listed: readonly number[];
  /** neither, and not as they were at T0: what must never be */
  readonly wrong: readonly number[];
  /** a choice that can go wrong, and did not */
  readonly lucky: boolean;
}

export function closing({ leftOut, listed: unsure, wrong, lucky }: Outcome): Said {
  if (wrong.length > 0) {
    const as = wrong.length === 1 ? 'is not as it was' : 'are not as they were';
    return [
      `All is copied, but ${name(wrong)} in the snapshot ${as} at T0.`,
      'It was written past all protection while it was copied, and nothing in the snapshot says so. This choice can go wrong; the others list such a block, leave it out, or hold the device.',
    ];
  }
  const left = leftOut.length === 0 ? '' : ` Left out on purpose: ${name(leftOut)}.`;
  const doubtful = unsure.length === 0 ? '' : ` Listed as unreliable: ${name(unsure)}.`;
  const but = unsure.length === 0 ? '' : ', but for what is listed';
  const luck = lucky ? ' With dma=risk that was luck: another --seed may end otherwise.' : '';
  return [
    'All is copied: the snapshot is done.',
    `It shows memory as it was at T0${but}, whatever has changed since (*).${left}${doubtful}${luck} All stood still for a moment, a writer for the copy of its block. The same of a process: livecore dump PID`,
  ];
}

function name(blocks: readonly number[]): string {
  return `${blocks.length === 1 ? 'block' : 'blocks'} ${blocks.join(', ')}`;
}
