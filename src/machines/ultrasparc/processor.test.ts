import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Computer, initialWord } from './computer.ts';
import { EXCEPTIONS, type Instruction, type Program } from './instruction.ts';
import type { Page, Shape } from './shape.ts';
import { TLB_ENTRY_WORDS } from './tlb.ts';
import { L, USED, W } from './tte.ts';

const VA = 0x2000n;
const BLOCK = 12;

/** A machine with one processor; block 12 is what the page under test maps. */
function computerOf(
  instructions: readonly Instruction[],
  page: Partial<Page> = {},
  rest: Partial<Shape> & { program?: Partial<Program> } = {},
): Computer {
  const { program, ...shape } = rest;
  return new Computer({
    blocks: 32,
    pages: [{ va: VA, block: BLOCK, context: 1, ...page }],
    programs: [{ context: 1, instructions, ...program }],
    ...shape,
  });
}

function run(computer: Computer): Computer {
  computer.processors[0]!.run(1_000);
  while (computer.processors[0]!.canDrain()) computer.processors[0]!.drain();
  return computer;
}

/** The trap that an instruction ends in, with its fault type. */
function trapOf(instruction: Instruction, page: Partial<Page> = {}, supervisor = false): string {
  const { exception, faultType } = run(computerOf([instruction], page, { program: { supervisor } }))
    .processors[0]!;
  return `${EXCEPTIONS[exception]} ${faultType}`;
}

suite('translation', () => {
  test('pages of all four sizes: the page number replaces that of the address, the offset stays', () => {
    for (const size of [0, 1] as const) {
      const va = 0x1_0000n * 8n;
      const offset = size === 0 ? 4n : 3n * 8192n + 4n;
      const load = [{ kind: 'load', va: va + offset }] as const;
      const computer = run(computerOf(load, { va, size, block: 16 }));
      assert.equal(computer.processors[0]!.register(0), initialWord(16 + (size === 0 ? 0 : 3), 1));
    }
    for (const size of [2, 3] as const) {
      const blocks = 8 ** size;
      const va = 0x40_0000n * 4n;
      const load = [{ kind: 'load', va: va + BigInt((blocks - 1) * 8192) }] as const;
      const shape = { blocks: 2 * blocks, wordsPerBlock: 1_024 };
      const computer = run(computerOf(load, { va, size, block: blocks }, shape));
      assert.equal(computer.processors[0]!.register(0), initialWord(2 * blocks - 1, 0));
    }
  });

  test('another context does not see a page, unless it is global', () => {
    const other = { program: { context: 2 } };
    const load = [{ kind: 'load', va: VA }] as const;
    assert.equal(
      EXCEPTIONS[run(computerOf(load, {}, other)).processors[0]!.exception],
      'data_access_MMU_miss',
    );
    assert.equal(
      run(computerOf(load, { global: true }, other)).processors[0]!.register(0),
      initialWord(BLOCK, 0),
    );
  });

  test('a TSB of each process, or one for all, gives the same', () => {
    for (const tsb of ['shared', 'per-process'] as const) {
      const pages = [
        { va: VA, block: 12, context: 1 },
        { va: VA, block: 13, context: 2 },
      ];
      const instructions = [
        { kind: 'load', va: VA },
        { kind: 'switch', context: 2 },
        { kind: 'load', va: VA },
      ] as const;
      const computer = run(computerOf(instructions, {}, { tsb, pages }));
      assert.equal(computer.processors[0]!.register(0), initialWord(12, 0));
      assert.equal(computer.processors[0]!.register(2), initialWord(13, 0));
      let filled = 0;
      computer.tables.forEachTsbEntry(() => {
        filled++;
      });
      assert.equal(
        filled,
        tsb === 'shared' ? 1 : 2,
        'a shared one is direct-mapped: the second took the place',
      );
    }
  });

  test('a stale entry translates until it is demapped', () => {
    const computer = computerOf([
      { kind: 'store', va: VA, value: 1 },
      { kind: 'store', va: VA, value: 2 },
    ]);
    const processor = computer.processors[0]!;
    processor.run(1);
    processor.drain();
    const at = computer.tables.entry(0) + 3;
    computer.state.words[at] = computer.state.words[at]! & ~W;
    run(computer);
    assert.equal(computer.memory.read(BLOCK, 0), 2);
  });

  test('IE inverts the bytes of what is loaded and stored', () => {
    const instructions = [
      { kind: 'store', va: VA, value: 0x0102_0304 },
      { kind: 'load', va: VA },
    ] as const;
    const computer = run(computerOf(instructions, { invertEndianness: true }));
    assert.equal(computer.memory.read(BLOCK, 0), 0x0403_0201);
    assert.equal(computer.processors[0]!.register(1), 0x0102_0304);
  });
});

suite('traps', () => {
  test('of the data MMU', () => {
    assert.equal(trapOf({ kind: 'load', va: 0x0000_0800_0000_0000n }), 'data_access_exception 32');
    assert.equal(trapOf({ kind: 'load', va: VA }, { privileged: true }), 'data_access_exception 1');
    assert.equal(trapOf({ kind: 'load', va: VA }, { privileged: true }, true), 'none 0');
    assert.equal(trapOf({ kind: 'load', va: VA }, { noFaultOnly: true }), 'data_access_exception 16');
    assert.equal(trapOf({ kind: 'load-no-fault', va: VA }, { noFaultOnly: true }), 'none 0');
    assert.equal(trapOf({ kind: 'load-no-fault', va: VA }, { sideEffect: true }), 'data_access_exception 2');
    assert.equal(trapOf({ kind: 'swap', va: VA }, { cacheable: false }), 'data_access_exception 4');
    assert.equal(trapOf({ kind: 'store', va: VA }, { writable: false }), 'data_access_protection 0');
    assert.equal(trapOf({ kind: 'swap', va: VA }, { writable: false }), 'data_access_protection 0');
    assert.equal(trapOf({ kind: 'load', va: VA }, { writable: false }), 'none 0');
    assert.equal(trapOf({ kind: 'load', va: 0x9000n }), 'data_access_MMU_miss 0');
  });

  test('of the instruction MMU, which knows no W', () => {
    assert.equal(trapOf({ kind: 'fetch', va: VA }, { privileged: true }), 'instruction_access_exception 1');
    assert.equal(trapOf({ kind: 'fetch', va: 0xffff_f7ff_ffff_fffcn }), 'instruction_access_exception 64');
    const computer = run(computerOf([{ kind: 'fetch', va: VA }]));
    let entries = 0;
    computer.processors[0]!.instructionTlb.forEach((at) => {
      entries++;
      assert.equal(computer.state.words[at + 4]! & W, 0, 'read as zero');
    });
    assert.equal(entries, 1);
  });
});

suite('the TLB', () => {
  const load = (page: number): Instruction => ({ kind: 'load', va: BigInt(0x2000 * (page + 1)) });
  const pages = Array.from({ length: 5 }, (_, n) => ({
    va: BigInt(0x2000 * (n + 1)),
    block: 10 + n,
    context: 1,
    locked: n === 0,
  }));
  const cached = (computer: Computer): number[] => {
    const found: number[] = [];
    computer.processors[0]!.dataTlb.forEach((at) => {
      found.push(computer.state.words[at + 1]! / 0x2000 - 1);
    });
    return found;
  };

  test('has 64 entries in the document, and as many as a shape says', () => {
    const words = (tlbEntries: number): number => computerOf([], {}, { tlbEntries }).layout.words;
    assert.equal(words(64) - words(63), 2 * TLB_ENTRY_WORDS);
    assert.equal(words(64), computerOf([]).layout.words);
  });

  test('replaces the first invalid, then the first unused, never a locked one', () => {
    const instructions = [load(0), load(1), load(2), load(3), load(4), load(0)];
    const computer = computerOf(instructions, {}, { pages, tlbEntries: 3 });
    const processor = computer.processors[0]!;
    processor.run(3);
    assert.deepEqual(cached(computer), [0, 1, 2]);
    processor.run(1);
    assert.deepEqual(cached(computer), [0, 3, 2], 'all were used: the used bits are reset');
    processor.run(1);
    assert.deepEqual(cached(computer), [0, 3, 4], 'entry 1 was used since');
    run(computer);
    assert.ok(cached(computer).includes(0), 'the locked one has stayed');
  });

  test('keeps L and Used where the document has them', () => {
    const computer = run(computerOf([load(0)], {}, { pages }));
    const found: boolean[] = [];
    computer.processors[0]!.dataTlb.forEach((at) => {
      found.push((computer.state.words[at + 4]! & L) !== 0 && (computer.state.words[at + 3]! & USED) !== 0);
    });
    assert.deepEqual(found, [true]);
  });
});

suite('stores', () => {
  test('leave the buffer in order; loads see them before; atomics and barriers wait', () => {
    const computer = computerOf([
      { kind: 'store', va: VA, value: 1 },
      { kind: 'load', va: VA },
      { kind: 'swap', va: VA, value: 2 },
    ]);
    const processor = computer.processors[0]!;
    while (processor.pc < 2) processor.step();
    assert.equal(processor.register(1), 1, 'from its own store buffer');
    assert.equal(computer.memory.read(BLOCK, 0), initialWord(BLOCK, 0), 'nothing has landed');
    assert.ok(!processor.canStep(), 'the swap waits');
    processor.drain();
    processor.step();
    assert.equal(computer.memory.read(BLOCK, 0), 2);
    assert.equal(processor.register(2), 1);
  });

  test('a block store writes 64 bytes', () => {
    const computer = computerOf([{ kind: 'block-store', va: VA, value: 100 }]);
    run(computer);
    for (let word = 0; word < 16; word++) assert.equal(computer.memory.read(BLOCK, word), 100 + word);
    assert.equal(computer.memory.read(BLOCK, 16), initialWord(BLOCK, 16));
  });
});
