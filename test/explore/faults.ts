import type { Shape } from '../../src/machines/ultrasparc/shape.ts';
import type { Variants } from '../../src/machines/ultrasparc/variants.ts';
import { FETCHES, LARGE, ODD, ONE_LARGE, OWN_TSBS, SHARED_TSB, SMALL, shorter } from './scenarios.ts';
import type { Patch } from './subject.ts';

/** A planted fault: one change, and the machine on which it shows, if any order can show it. */
export interface Fault extends Patch {
  readonly name: string;
  readonly shape: Shape;
  readonly variants?: Partial<Variants>;
  /** `false`: a miss handler's last two steps have to be cut from one another */
  readonly fuse?: boolean;
  /** it shows at the turns of the engine alone, see ExploreOptions */
  readonly turns?: boolean;
  /** why no order can show it */
  readonly harmless?: string;
}

const ENGINE = 'engine';
const MACHINE = 'machines/ultrasparc';
const SHORT: Shape = shorter(SMALL, 1);
const TWO: Shape = shorter(SMALL, 2);

export const FAULTS: readonly Fault[] = [
  // the engine
  {
    name: 'mark before copy',
    file: `${ENGINE}/copying.ts`,
    from: `    copyRun(context, block, stop - block, offset, purpose);
    markCopied(context, block, stop - block);`,
    to: `    markCopied(context, block, stop - block);
    copyRun(context, block, stop - block, offset, purpose);`,
    shape: SHORT,
  },
  {
    name: 'a trap releases before it copies',
    file: `${ENGINE}/trap-service.ts`,
    from: "    if (!copyArmed(this.#context, first, count, 'trapped')) return false;\n    const end",
    to: "    this.#release(first, count); if (!copyArmed(this.#context, first, count, 'trapped')) return false;\n    const end",
    shape: SHORT,
  },
  {
    name: 'the sweep releases before it copies',
    file: `${ENGINE}/sweep.ts`,
    from: '    const whole = copyRange(',
    to: '    machine.release(from, end - from); const whole = copyRange(',
    shape: SHORT,
  },
  {
    name: 'the sweep does not look at what traps have copied',
    file: `${ENGINE}/copying.ts`,
    from: '  let block = copied.nextClear(first, end);\n  while',
    to: '  let block = first;\n  while',
    shape: TWO,
    harmless: 'what is copied at once ends where the next copied block begins: of a copied one it is nothing',
  },
  {
    name: 'a trap is answered across T0 as if it were before',
    file: `${ENGINE}/snapshot.ts`,
    from: "    this.#traps.mode = 'copy';\n",
    to: '',
    shape: SHORT,
    variants: { arming: 'live' },
  },
  {
    name: 'two blocks share a bit of the map',
    file: `${ENGINE}/copy-map.ts`,
    from: `    let block = first;
    while (block < end) {
      const bit = block % LEAF_BITS;
      const leaf = this.#leafToWrite`,
    to: `    let block = first & ~1;
    while (block < end) {
      const bit = block % LEAF_BITS;
      const leaf = this.#leafToWrite`,
    shape: SHORT,
  },
  {
    name: 'last partial word of the map skipped',
    file: `${ENGINE}/copy-map.ts`,
    from: 'if (index * 32 >= stop) return stop;',
    to: 'if (index * 32 + 31 >= stop) return stop;',
    shape: SHORT,
    variants: { map: 'separate' },
  },
  {
    name: 'map written before W is set (S4)',
    file: `${ENGINE}/copying.ts`,
    from: `    copyRun(context, first + done, blocks, offset, 'initial');`,
    to: `    copyRun(context, first + done, blocks, offset, 'initial'); context.copied.setRange(first + done, blocks);`,
    shape: SHORT,
    variants: { map: 'copied' },
  },
  {
    name: 'a copy is taken for whole when the staging memory is full',
    file: `${ENGINE}/copying.ts`,
    from: 'if (offset < 0) return false;',
    to: 'if (offset < 0) return true;',
    shape: SHORT,
    harmless:
      'the machine takes each word as it comes: its staging memory is never full, so the line is not reached; test/conformance fills the staging memory',
  },
  // clearing W: STT, TSB, TLBs
  {
    name: 'no demap after clearing W',
    file: `${MACHINE}/machine.ts`,
    from: 'for (const { entry } of changed) this.#demap(entry, 0);',
    to: '',
    shape: SHORT,
  },
  {
    name: 'demap on the first processor only',
    file: `${MACHINE}/machine.ts`,
    from: 'for (let processor = 0; processor < this.#processors; processor++)\n      this.#bus.access(Op.demap',
    to: 'for (let processor = 0; processor < 1; processor++)\n      this.#bus.access(Op.demap',
    shape: SHORT,
  },
  {
    name: 'a locked TLB entry is kept',
    file: `${MACHINE}/tlb.ts`,
    from: 'if (matches(words, at, vaHigh, vaLow, context)) words.fill',
    to: 'if (matches(words, at, vaHigh, vaLow, context) && (words[at + 4]! & L) === 0) words.fill',
    shape: TWO,
    variants: { kernel: 'protected' },
  },
  {
    name: 'the TSB is forgotten',
    file: `${MACHINE}/machine.ts`,
    from: 'for (const { entry } of changed) this.#updateTsb(entry);',
    to: '',
    shape: TWO,
  },
  {
    name: 'an alias is forgotten',
    file: `${MACHINE}/machine.ts`,
    from: 'overlaps(page, first, count) && this.#clearWritable(page.entry)',
    to: 'overlaps(page, first, count) && page.entry !== 1 && this.#clearWritable(page.entry)',
    shape: SHORT,
  },
  {
    name: 'miss handlers are not waited for before the TSB is written',
    file: `${MACHINE}/machine.ts`,
    from: 'if (changed.length === 0) return true;\n    this.#quiesce();',
    to: 'if (changed.length === 0) return true;',
    shape: TWO,
    variants: { arming: 'live' },
  },
  {
    name: 'demap does not wait for a miss handler',
    file: `${MACHINE}/bus.ts`,
    from: 'if (op === Op.quiesce || op === Op.demap) return',
    to: 'if (op === Op.quiesce) return',
    shape: SHARED_TSB,
    variants: { arming: 'live' },
    fuse: false,
  },
  {
    name: 'W given to a page that never had it',
    file: `${MACHINE}/machine.ts`,
    from: 'if ((dataLow & W) === 0) return false;\n    this.#bus.access(Op.sttWrite',
    to: 'this.#bus.access(Op.sttWrite',
    shape: SHORT,
  },
  {
    name: 'the old entry is not demapped by the protection handler',
    file: `${MACHINE}/processor.ts`,
    from: '    this.dataTlb.demap(vaHigh, vaLow, this.context);\n',
    to: '',
    shape: SHORT,
  },
  // the hold and T0
  {
    name: 'held with stores in the store buffer',
    file: `${MACHINE}/processor.ts`,
    from: 'if (!this.stopped || this.buffered > 0) return false;',
    to: 'if (!this.stopped) return false;',
    shape: SHORT,
  },
  {
    name: 'a processor is held within its miss handler',
    file: `${MACHINE}/processor.ts`,
    from: 'return phase === Phase.ready || phase === Phase.protection;\n',
    to: 'return true;\n',
    shape: SHORT,
    variants: { arming: 'live' },
  },
  {
    name: 'a processor is never let go',
    file: `${MACHINE}/machine.ts`,
    from: 'for (let processor = 0; processor < this.#processors; processor++)\n      this.#bus.access(Op.go',
    to: 'for (let processor = 0; processor < 1; processor++)\n      this.#bus.access(Op.go',
    shape: SHORT,
  },
  {
    name: 'T0 before the stop',
    file: `${MACHINE}/machine.ts`,
    from: "if (this.#bus.access(Op.held, processor, 0, 0) === 0) return 'holding';",
    to: 'this.#bus.access(Op.held, processor, 0, 0);',
    shape: SHORT,
  },
  // DMA
  {
    name: 'slot registers re-opened before the copy',
    file: `${MACHINE}/machine.ts`,
    from: 'if (this.#copied) this.#openSlots();',
    to: 'this.#openSlots();',
    shape: SHORT,
    variants: { arming: 'live' },
  },
  {
    name: 'a slot is closed with a transfer in flight',
    file: `${MACHINE}/bus.ts`,
    from: 'if (op === Op.slotClose) return bridge.inFlight(a);',
    to: '',
    shape: SHORT,
  },
  {
    name: 'a slot is never opened again',
    file: `${MACHINE}/machine.ts`,
    from: 'for (const slot of this.#closed) this.#bus.access(Op.slotOpen, slot, 0, 0);',
    to: '',
    shape: SHORT,
  },
  {
    name: 'DMA blocks are not listed as unreliable',
    file: `${MACHINE}/machine.ts`,
    from: "(dma === 'mark' || dma === 'fast')",
    to: "(dma === 'fast')",
    shape: SHORT,
    variants: { dma: 'mark' },
  },
  {
    name: 'an excluded block is copied',
    file: `${MACHINE}/machine.ts`,
    from: "(variants.dma === 'exclude' && dmaBlocks.includes(block))",
    to: 'false',
    shape: SHORT,
    variants: { dma: 'exclude' },
  },
  // copy and storage
  {
    name: 'the translation tables are not copied in S3',
    file: `${MACHINE}/machine.ts`,
    from: 'if (block < firstBlock + tableBlocks) return true;',
    to: 'if (block < firstBlock + tableBlocks) return false;',
    shape: SHORT,
  },
  {
    name: 'the last word of a block is not copied',
    file: `${MACHINE}/machine.ts`,
    from: 'for (let word = 0; word < this.#plan.wordsPerBlock; word++) {\n      const at',
    to: 'for (let word = 0; word < this.#plan.wordsPerBlock - 1; word++) {\n      const at',
    shape: SHORT,
  },
  {
    name: 'a block goes to the place of the next',
    file: `${MACHINE}/storage.ts`,
    from: 'this.#bus.access(Op.imageWord, block, word',
    to: 'this.#bus.access(Op.imageWord, block + 1, word',
    shape: SHORT,
  },
  {
    name: 'a log entry without its location',
    file: `${MACHINE}/bus.ts`,
    from: 'else if (word === 1) words[at] = block;',
    to: 'else if (word === 1) words[at] = 0;',
    shape: SHORT,
    variants: { storage: 'log' },
  },
  // traps
  {
    name: 'a writer goes on before its trap is served',
    file: `${MACHINE}/processor.ts`,
    from: '      this.#wait((tables.pageNumber(index) & ~inPage) + ((vaLow >>> BLOCK_SHIFT) & inPage));',
    to: '      this.#wait((tables.pageNumber(index) & ~inPage) + ((vaLow >>> BLOCK_SHIFT) & inPage)); this.#state.words[tables.entry(index) + 3] = (dataLow | W) >>> 0; this.#set(PHASE, Phase.ready);',
    shape: SHORT,
  },
  {
    name: 'release does not wake',
    file: `${MACHINE}/machine.ts`,
    from: '    this.#bus.access(Op.wake, first, count, 0);\n    return true;\n  }\n\n  resume',
    to: '    return true;\n  }\n\n  resume',
    shape: SHORT,
  },
  {
    name: 'disarm does not wake',
    file: `${MACHINE}/machine.ts`,
    from: '      this.#bus.access(Op.wake, first, count, 0);\n      return false;',
    to: '      return false;',
    shape: SHORT,
    harmless:
      'a page that disarm releases has nobody waiting who was not told: the trap is served by the next takeTraps, or woken by the last call of disarm',
  },
  {
    name: 'a trap is told again and again',
    file: `${MACHINE}/processor.ts`,
    from: '    this.#set(TOLD, 1);\n',
    to: '',
    shape: SHORT,
    harmless: 'a trap for a block that is copied is answered by release alone, as often as it is told',
  },
  // memory that goes away
  {
    name: 'destroyed memory is stored as if it were whole',
    file: `${MACHINE}/machine.ts`,
    from: 'this.#bus.access(Op.destroyed, block, 0, 0) === 2',
    to: 'this.#bus.access(Op.destroyed, block, 0, 0) === 3',
    shape: ODD,
    variants: { kernel: 'protected' },
  },
  {
    name: 'a removal is not announced',
    file: `${MACHINE}/processor.ts`,
    from: "if (kind === 'remove' && this.#state.words[this.#around.activeAt] === 1) {",
    to: "if (kind === 'remove' && this.#state.words[this.#around.activeAt] === 2) {",
    shape: ODD,
  },
  {
    name: 'a store in the kernel is held while it waits',
    file: `${MACHINE}/processor.ts`,
    from: 'return !(this.program.instructions[this.pc]?.inKernel ?? false);',
    to: 'return true;',
    shape: ODD,
    variants: { arming: 'live' },
    harmless:
      'nothing of a waiting store has reached memory; that Linux can not stop such a thread is a limit of its, which the machine only imitates',
  },
  {
    name: 'a page of all processes is looked for in the TSB of one',
    file: `${MACHINE}/machine.ts`,
    from: 'global && tsbContexts.length > 0 ? tsbContexts : [context]',
    to: '[tsbContexts[0] ?? context]',
    shape: shorter(OWN_TSBS, 2),
  },
  {
    name: 'a release that was refused is forgotten',
    file: `${ENGINE}/releases.ts`,
    from: 'if (!this.#machine.release(first, count)) this.#owed.add(first, count);',
    to: 'this.#machine.release(first, count);',
    shape: ODD,
    variants: { kernel: 'protected' },
    harmless:
      'whoever writes there traps, the block is found copied, and it is released then; the rest is released by disarm',
  },
  {
    name: 'a writer whose release was refused is taken for let go',
    file: `${ENGINE}/trap-service.ts`,
    from: 'return !this.#refused;',
    to: 'return true;',
    shape: ODD,
    variants: { kernel: 'protected' },
  },
  {
    name: 'memory whose protection was refused is taken for protected',
    file: `${ENGINE}/arming.ts`,
    from: 'if (!machine.protect(first, count)) return false;',
    to: 'machine.protect(first, count);',
    shape: ODD,
    variants: { arming: 'live', kernel: 'protected' },
  },
  // large pages
  {
    name: 'a large page is copied half and taken for whole',
    file: `${MACHINE}/machine.ts`,
    from: 'this.#copyWords(block, staging',
    to: 'if (block - first < 4) this.#copyWords(block, staging',
    shape: shorter(LARGE, 1),
  },
  {
    name: 'a large page is copied in two halves',
    file: `${MACHINE}/machine.ts`,
    from: 'largest = Math.max(largest, page.count);',
    to: 'largest = Math.max(largest, Math.min(4, page.count));',
    shape: shorter(LARGE, 1),
    harmless:
      'release sets W of whole pages only: half of one is copied and stays protected until all of it is',
  },
  {
    name: 'a large page is released half copied',
    file: `${MACHINE}/machine.ts`,
    from: 'if (page.first >= first && page.first + page.count <= first + count)',
    to: 'if (overlaps(page, first, count))',
    shape: shorter(LARGE, 1),
    variants: { dma: 'suspend' },
    harmless:
      'the engine releases whole granules only, and the machine whole pages only: each alone is enough, and one change takes away one',
  },
  {
    name: 'a large page is split under the eyes of the TLBs',
    file: `${MACHINE}/machine.ts`,
    from: '      this.#demap(entry, 0);\n      this.#demap(entry, 1);',
    to: '      this.#demap(entry, 1);',
    shape: ONE_LARGE,
    variants: { pages: 'split' },
  },
  // what nobody but the judge would miss
  {
    name: 'traps are never taken (no S5)',
    file: `${MACHINE}/machine.ts`,
    from: '    traps.length = 0;\n    for (let processor',
    to: '    traps.length = 0;\n    if (this.#copied) return;\n    for (let processor',
    shape: SHORT,
    turns: true,
  },
  {
    name: 'traps are taken and not served',
    file: `${ENGINE}/trap-service.ts`,
    from: '      else if (!this.#write(first, count, sinceNs)) this.#enqueue(first, count, sinceNs);',
    to: '      else if (this.mode !== "copy" && !this.#write(first, count, sinceNs)) this.#enqueue(first, count, sinceNs);',
    shape: SHORT,
    turns: true,
  },
  {
    name: 'the engine forgets what is unreliable',
    file: `${ENGINE}/copying.ts`,
    from: '      context.unreliable.add(first, count);\n',
    to: '',
    shape: SHORT,
    variants: { dma: 'mark' },
  },
  {
    name: 'the engine forgets what is lost',
    file: `${ENGINE}/copying.ts`,
    from: '      context.lost.add(first, count);\n',
    to: '',
    shape: ODD,
    variants: { kernel: 'protected' },
  },
  {
    name: 'a piece of a large page maps another block',
    file: `${MACHINE}/bus.ts`,
    from: 'dataLow + piece * BLOCK_BYTES] as const;',
    to: 'dataLow + (piece === 2 ? 3 : piece) * BLOCK_BYTES] as const;',
    shape: FETCHES,
    variants: { pages: 'split' },
  },
  {
    name: 'the instruction TLB keeps a large page that is split',
    file: `${MACHINE}/machine.ts`,
    from: '      this.#demap(entry, 1);\n',
    to: '',
    shape: FETCHES,
    variants: { pages: 'split' },
  },
  {
    name: 'log record without its mark',
    file: `${MACHINE}/bus.ts`,
    from: 'if (word === 0) words[at] = LOG_MARK;',
    to: 'if (word === 0) words[at] = 0;',
    shape: SHORT,
    variants: { storage: 'log' },
  },
  {
    name: 'log record with the checksum of another block',
    file: `${MACHINE}/bus.ts`,
    from: 'words[at] = checksum(block, words.subarray',
    to: 'words[at] = checksum(block + 1, words.subarray',
    shape: SHORT,
    variants: { storage: 'log' },
  },
];
