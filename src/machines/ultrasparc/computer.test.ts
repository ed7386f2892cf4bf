/** The computer of Figures 1, 2, 7 and 9: its parts, and what they are to one another. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { runOn, tryAct } from '../../../test/support/recorded-snapshot.ts';
import { blocksOf } from './address.ts';
import { Computer, initialWord } from './computer.ts';
import type { Instruction } from './instruction.ts';
import { Phase } from './processor.ts';
import type { Page, Shape } from './shape.ts';
import { storedContent } from './storage.ts';
import { CP, CV, SAVED_W, W } from './tte.ts';

const FIRST = 16;
const VA = 0x2000n;
const load = (va: bigint): Instruction => ({ kind: 'load', va });

function computerOf(instructions: readonly Instruction[], rest: Partial<Shape> = {}): Computer {
  return new Computer({
    blocks: 24,
    firstBlock: FIRST,
    wordsPerBlock: 64,
    tsbEntries: 8,
    tlbEntries: 4,
    pages: [{ va: VA, block: 12, context: 1 }],
    programs: [{ context: 1, instructions }],
    ...rest,
  });
}

suite('Figure 1', () => {
  test('all processors and devices share one main memory', () => {
    const store = (value: number): Instruction => ({ kind: 'store', va: VA + BigInt(value * 4), value });
    const computer = computerOf([], {
      programs: [1, 2, 3].map((value) => ({ context: 1, instructions: [store(value)] })),
      devices: [4, 5].map((value) => ({ transfers: [{ block: 12, word: value, value }] })),
    });
    assert.equal(computer.actors, 3 * 2 + 2);
    for (let processor = 0; processor < 3; processor++) runOn(computer, processor);
    for (const actor of [6, 7]) while (tryAct(computer, actor));
    assert.deepEqual(
      [1, 2, 3, 4, 5].map((word) => computer.memory.read(FIRST + 12, word)),
      [1, 2, 3, 4, 5],
    );
    assert.ok(computer.done);
  });

  test('each device has a slot register of its own', () => {
    const { bridge } = computerOf([], {
      devices: [0, 1].map((word) => ({ transfers: [{ block: 12, word, value: 7 }] })),
    });
    bridge.setOpen(0, 0);
    assert.deepEqual([bridge.canStep(0), bridge.canStep(1)], [false, true]);
  });

  test('DMA goes to physical addresses: no MMU is asked', () => {
    const pages = [{ va: VA, block: 12, context: 1, writable: false, privileged: true }];
    const computer = computerOf([], {
      pages,
      devices: [{ transfers: [{ block: 12, word: 0, value: 7 }] }],
    });
    while (tryAct(computer, 2));
    assert.equal(computer.memory.read(FIRST + 12, 0), 7);
  });

  test('the snapshot memory is a memory of its own, or a part of main memory', () => {
    for (const storage of ['separate', 'partition'] as const) {
      const computer = computerOf([], { variants: { storage } });
      assert.equal(computer.memory.has(FIRST + 24), storage === 'partition');
      assert.equal(computer.plan.contents.includes('snapshot storage'), storage === 'partition');
    }
  });

  test('what the snapshot storage holds at first is random, or nul', () => {
    for (const storage of ['separate', 'partition'] as const) {
      for (const content of ['random', 'nul'] as const) {
        const computer = computerOf([], { variants: { storage, content } });
        const words = [...storedContent(computer, FIRST + 3)!];
        if (content === 'nul') assert.deepEqual(new Set(words), new Set([0]));
        else assert.equal(new Set([0, ...words]).size, 65, 'each word another one, and none nul');
      }
    }
  });

  test('each word of each block has a place of its own', () => {
    const { memory } = computerOf([]);
    const places = new Set<number>();
    for (let block = FIRST; block < FIRST + 24; block++)
      for (let word = 0; word < 64; word++) places.add(memory.at(block, word));
    assert.equal(places.size, 24 * 64);
    assert.equal(memory.read(FIRST + 23, 63), initialWord(FIRST + 23, 63));
  });
});

suite('Figure 7', () => {
  /** The phases of the first processor, one for each step, until its program is done. */
  function phasesOf(computer: Computer): number[] {
    const [processor] = computer.processors;
    const phases: number[] = [];
    while (processor!.canStep()) {
      processor!.step();
      phases.push(processor!.phase);
    }
    return phases;
  }

  test('a TLB miss traps to software: TSB, else the STT, which fills the TSB; then the TLB is loaded', () => {
    const computer = computerOf([load(VA)]);
    const { walk, tsb, fill, ready } = Phase;
    assert.deepEqual(phasesOf(computer), [walk, tsb, fill, ready, ready]);
    assert.equal(computer.processors[0]!.register(0), initialWord(FIRST + 12, 0));
  });
  test('where the TSB has it, the STT is not asked', () => {
    const computer = computerOf([load(VA), load(VA)]);
    const [processor] = computer.processors;
    processor!.run(1);
    processor!.dataTlb.demap(0, Number(VA), 1);
    assert.deepEqual(phasesOf(computer), [Phase.fill, Phase.ready, Phase.ready]);
  });
  test('a TLB hit needs no handler', () => {
    const computer = computerOf([load(VA), load(VA)]);
    computer.processors[0]!.run(1);
    assert.deepEqual(phasesOf(computer), [Phase.ready]);
  });
  test('the handler has registers of its own', () => {
    const pages = Array.from({ length: 8 }, (_, n) => ({
      va: VA * BigInt(n + 1),
      block: 8 + n,
      context: 1,
    }));
    const computer = computerOf(
      pages.map(({ va }) => load(va)),
      { pages },
    );
    runOn(computer, 0);
    for (const [n, { block }] of pages.entries())
      assert.equal(computer.processors[0]!.register(n), initialWord(FIRST + block, 0));
  });

  test('the instruction MMU and the data MMU translate each by its own TLB', () => {
    const computer = computerOf([load(VA), { kind: 'fetch', va: VA }]);
    const [processor] = computer.processors;
    const entries = (): number[] =>
      [processor!.dataTlb, processor!.instructionTlb].map((tlb) => {
        let count = 0;
        tlb.forEach(() => {
          count++;
        });
        return count;
      });
    processor!.run(1);
    assert.deepEqual(entries(), [1, 0]);
    processor!.run(1);
    assert.deepEqual(entries(), [1, 1]);
  });

  test('the STT and the TSB are kept in memory, in blocks of the kernel', () => {
    const { tables, memory, plan, state } = computerOf([load(VA)]);
    assert.equal(tables.entry(0), memory.at(FIRST, 0));
    const inKernel = (at: number): boolean =>
      at >= memory.at(FIRST, 0) && at < memory.at(FIRST + plan.tableBlocks, 0);
    assert.ok(inKernel(tables.tsbPlace(Number(VA), 1, 0)) && inKernel(tables.entry(plan.sttEntries - 1)));
    assert.equal(state.words[tables.entry(0)], memory.read(FIRST, 0));
  });

  test('the TSB is direct-mapped: an address has one place, which it shares with those a TSB further', () => {
    const { tables } = computerOf([]);
    const place = (page: number): number => tables.tsbPlace(page * 0x2000, 1, 0);
    assert.equal(new Set(Array.from({ length: 8 }, (_, page) => place(page))).size, 8);
    for (let page = 0; page < 8; page++) assert.equal(place(page), place(page + 8));
  });

  test('the tag decides whether the TSB has a translation; G leaves the context out', () => {
    const pages: Page[] = [
      { va: VA, block: 12, context: 1 },
      { va: 2n * VA, block: 13, context: 1, global: true },
    ];
    const computer = computerOf([load(VA), load(2n * VA)], { pages });
    runOn(computer, 0);
    const { tables } = computer;
    assert.ok(tables.probe(0, 0x2000, 1) >= 0);
    assert.equal(tables.probe(0, 0x2000, 2), -1, 'another context');
    assert.equal(tables.probe(0, 0x40_2000, 1), -1, 'another VA-tag in the same place');
    assert.ok(tables.probe(0, 0x4000, 2) >= 0, 'global');
  });
});

suite('Figure 8', () => {
  test('PA<15:13> and so on of a large page are kept in the TLB and ignored when it translates', () => {
    const va = 0x1_0000n;
    const pages = [{ va, block: 16, context: 1, size: 1 as const }];
    const computer = computerOf([load(va + 0x2000n)], { pages });
    const { state, tables, processors } = computer;
    const dataLow = state.words[tables.entry(0) + 3]!;
    state.words[tables.entry(0) + 3] = dataLow | (5 << 13);
    runOn(computer, 0);
    assert.equal(processors[0]!.register(0), initialWord(FIRST + 16 + 1, 0));
    processors[0]!.dataTlb.forEach((at) => {
      assert.equal(state.words[at + 4], dataLow | (5 << 13), 'as a Data Access read would see it');
    });
    assert.equal(blocksOf(1), 8);
  });

  test('the MMU translates what is not cacheable as it does the rest', () => {
    const pages = [{ va: VA, block: 12, context: 1, cacheable: false }];
    const computer = computerOf([{ kind: 'store', va: VA, value: 7 }, load(VA)], { pages });
    runOn(computer, 0);
    assert.equal(computer.processors[0]!.register(1), 7);
    assert.equal(computer.memory.read(FIRST + 12, 0), 7);
    assert.equal(computer.tables.dataLow(0) & (CP | CV), 0);
  });

  test('the operating system may use Soft: translation goes on as if it were not there', () => {
    const computer = computerOf([{ kind: 'store', va: VA, value: 7 }]);
    const { state, tables } = computer;
    const at = tables.entry(0) + 3;
    state.words[at] = state.words[at]! | SAVED_W | W;
    runOn(computer, 0);
    assert.equal(computer.memory.read(FIRST + 12, 0), 7);
  });

  test('to pages with side effects stores go in order, and none is merged', () => {
    const pages = [{ va: VA, block: 12, context: 1, sideEffect: true, cacheable: false }];
    const values = [1, 2, 3, 4];
    const computer = computerOf(
      values.map((value) => ({ kind: 'store', va: VA, value }) as const),
      { pages },
    );
    const [processor] = computer.processors;
    while (processor!.canStep()) processor!.step();
    const seen = values.map(() => {
      processor!.drain();
      return computer.memory.read(FIRST + 12, 0);
    });
    assert.deepEqual([seen, processor!.landed], [values, 4]);
  });

  test('a context has 13 bits', () => {
    const page = (context: number): Shape['pages'] => [{ va: VA, block: 12, context }];
    assert.ok(computerOf([], { pages: page(0x1fff) }));
    assert.throws(() => computerOf([], { pages: page(0x2000) }), /a context has 13 bits/);
  });
});
