/** Figure 11, step by step, on the machine of Figure 9: what happens, and in which order. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { contentOf, type Recorded, record, runOn, tryAct } from '../../../test/support/recorded-snapshot.ts';
import type { Computer } from './computer.ts';
import type { Instruction } from './instruction.ts';
import { exportLog, rebuild } from './log.ts';
import type { Page, Shape } from './shape.ts';
import { storedContent } from './storage.ts';
import { SAVED_W, W } from './tte.ts';
import { CHOICES, type Variants } from './variants.ts';

// 30 the kernel's tables, 31 kernel, 32 operating system, 33 snapshot program, 34 copy map, 35 to 38 applications,
// 39 a DMA buffer. From block 30 on, so that the copy map's bits lie in two words.
const FIRST = 30;
const KERNEL = 31;
const MAP = 34;
const SHARED = 35;
const LAST = 38;
const DMA = 39;
const va = (block: number): bigint => BigInt(block) * 0x2000n;
const ALIAS = 0x10_0000n;

const PAGES: readonly Page[] = [
  { va: va(5), block: 5, context: 1 },
  { va: ALIAS, block: 5, context: 2 },
  { va: va(6), block: 6, context: 1 },
  { va: va(7), block: 7, context: 1, writable: false },
  { va: va(1), block: 1, global: true, privileged: true, locked: true },
  { va: va(4), block: 4, context: 1 },
  { va: ALIAS + va(7), block: 8, context: 2 },
];
const ALIASES = [0, 1];
const READ_ONLY = 3;
const KERNEL_PAGE = 4;

const store = (at: bigint): Instruction => ({ kind: 'store', va: at, value: 0xabc });

function machineOf(
  variants: Partial<Variants> = {},
  programs: [readonly Instruction[], readonly Instruction[]] = [[], []],
): Shape {
  return {
    blocks: 10,
    firstBlock: FIRST,
    wordsPerBlock: 64,
    kernelBlocks: 2,
    osBlocks: 1,
    programBlocks: 1,
    tlbEntries: 6,
    tsbEntries: 8,
    pages: PAGES,
    programs: [
      { context: 1, instructions: programs[0] },
      { context: 2, supervisor: true, instructions: programs[1] },
    ],
    devices: [{ transfers: [0, 1, 2].map((word) => ({ block: 9, word, value: 0xd0 + word })) }],
    variants,
  };
}

/** That all of these happened, the last time of each in this order. */
function assertOrder({ events }: Recorded, wanted: readonly string[]): void {
  const found = wanted.map((event) => events.lastIndexOf(event));
  for (const [index, at] of found.entries()) {
    assert.ok(at >= 0, `"${wanted[index]}" did not happen: ${events.join(', ')}`);
    if (index > 0) assert.ok(at > found[index - 1]!, `"${wanted[index]}" before "${wanted[index - 1]}"`);
  }
}

/** What happened from T0 until the first processor was let go: S3. */
function inHold({ events }: Recorded): readonly string[] {
  return events.slice(events.indexOf('T0'), events.indexOf('go P0'));
}

/** The word of the copy map, wherever it is, that has the bit of a block; and the bit. */
function bitOf({ plan, places, state }: Computer, block: number): number {
  const bit = block - (plan.firstBlock - (plan.firstBlock % 32));
  return (state.words[places.map + (bit >>> 5)]! >>> (bit & 31)) & 1;
}
const BLOCKS = Array.from({ length: 10 }, (_, index) => FIRST + index);

suite('S1', () => {
  test('a user starts the snapshot: nothing is waited for', () => {
    const { events } = record(machineOf({ start: 'user' }));
    assert.equal(events[0], 'begin');
  });

  test('a scheduled event starts it: nothing is touched before', () => {
    const shape = machineOf({ start: 'event' }, [[store(va(5)), { kind: 'barrier' }, { kind: 'event' }], []]);
    const { events, failure } = record(shape);
    assert.equal(failure, undefined);
    assert.deepEqual(events.slice(0, 3), ['P0 wrote 35', 'event awaited', 'begin']);
  });
});

suite('S2', () => {
  for (const map of CHOICES.map) {
    test(`every copied indication is reset, whatever was there before: map=${map}`, () => {
      let looked = false;
      record(machineOf({ map }), {
        first: ({ state, places, plan }) =>
          void state.words.fill(0xffff_ffff, places.map, places.map + plan.mapWords),
        on: (event, computer) => {
          if (event !== 'T0') return;
          looked = true;
          assert.deepEqual(
            BLOCKS.map((block) => bitOf(computer, block)),
            BLOCKS.map(() => 0),
          );
        },
      });
      assert.ok(looked);
    });
  }

  /** What STT, TSBs and TLBs grant at T0, of a machine that has used all of its pages. */
  function grantedAtT0(arming: Variants['arming']): Record<'stt' | 'kept' | 'tsb' | 'tlb', number> {
    const uses = [va(5), va(6), va(7), va(4)].map((at): Instruction => ({ kind: 'load', va: at }));
    const others = [ALIAS, va(1)].map((at): Instruction => ({ kind: 'load', va: at }));
    const granted = { stt: 0, kept: 0, tsb: 0, tlb: 0 };
    let used = 0;
    record(machineOf({ arming, kernel: 'protected', map: 'separate' }, [uses, others]), {
      first: (computer) => {
        for (const processor of computer.processors) runOn(computer, processor.number);
        for (const { dataTlb } of computer.processors) {
          dataTlb.forEach(() => {
            used++;
          });
        }
      },
      on: (event, { tables, state, processors }) => {
        if (event !== 'T0') return;
        const writable = (at: number): number => (state.words[at]! & W ? 1 : 0);
        for (let entry = 0; entry < PAGES.length; entry++) {
          granted.stt += writable(tables.entry(entry) + 3);
          granted.kept += (tables.dataLow(entry) & SAVED_W) !== 0 ? 1 : 0;
        }
        tables.forEachTsbEntry((at) => {
          granted.tsb += writable(at + 3);
        });
        for (const { dataTlb } of processors) {
          dataTlb.forEach((at) => {
            granted.tlb += writable(at + 4);
          });
        }
      },
    });
    assert.equal(used, 6, 'the TLBs were filled');
    return granted;
  }

  test('W is reset in the TTE of every page, and kept for later', () => {
    for (const arming of CHOICES.arming) {
      const { stt, kept } = grantedAtT0(arming);
      assert.deepEqual([stt, kept], [0, PAGES.length - 1], 'of all but the page that never had it');
    }
  });
  test('W is reset in the TSB', () => {
    for (const arming of CHOICES.arming) assert.equal(grantedAtT0(arming).tsb, 0);
  });
  test('no TLB grants what it held', () => {
    for (const arming of CHOICES.arming) assert.equal(grantedAtT0(arming).tlb, 0);
  });

  test('at T0 every processor stands still, and no store of its own can land any more', () => {
    let atStop = 0;
    const recorded = record(machineOf({}, [[store(va(5)), store(va(6))], [store(ALIAS)]]), {
      on: (event, computer) => {
        if (event === 'begin') for (const actor of [0, 0, 0, 0, 0]) tryAct(computer, actor);
        if (event === 'stop P0') atStop = computer.processors[0]!.buffered;
        if (event !== 'T0') return;
        for (const processor of computer.processors)
          assert.deepEqual([processor.held, processor.canStep(), processor.canDrain()], [true, false, false]);
      },
    });
    assert.equal(atStop, 1, 'a store was under way');
    assertOrder(recorded, ['stop P0', 'P0 wrote 35', 'T0']);
  });

  test('slot registers suspend DMA: what was let in lands before T0, nothing else is let in', () => {
    let begun = 0;
    const recorded = record(machineOf({ dma: 'suspend' }), {
      on: (event, computer) => {
        if (event === 'stop P1') tryAct(computer, 4);
        if (event !== 'T0') return;
        begun = computer.bridge.begun(0);
        assert.equal(computer.bridge.isOpen(0), 0);
        assert.ok(!computer.canAct(4), 'the device waits');
      },
    });
    assert.equal(begun, 1);
    assert.deepEqual(recorded.events.filter((event) => /^(device|close|T0)/.test(event)).slice(0, 3), [
      'device 0 wrote 39',
      'close 0',
      'T0',
    ]);
  });
});

suite('S3', () => {
  test('every block of the kernel is copied in the hold', () => {
    const held = inHold(record(machineOf()));
    assert.ok(held.includes('stored 30') && held.includes('stored 31'));
    assert.ok(!held.includes('stored 35'), 'and no application');
  });
  test('kernel=protected: only its translation tables are, the rest is trapped', () => {
    const held = inHold(record(machineOf({ kernel: 'protected' })));
    assert.ok(held.includes('stored 30') && !held.includes('stored 31'));
  });

  for (const storage of ['separate', 'partition'] as const) {
    test(`each block goes to the equivalent location: storage=${storage}`, () => {
      const { computer, atT0, failure } = record(machineOf({ storage, map: 'copied' }));
      assert.equal(failure, undefined);
      const { places, plan, state, memory } = computer;
      for (const block of BLOCKS) {
        const at = places.storage + (block - FIRST) * plan.wordsPerBlock;
        assert.deepEqual([...state.words.subarray(at, at + plan.wordsPerBlock)], atT0.get(block));
      }
      const section = computer.layout.sections.findLast(({ offset }) => offset <= places.storage);
      assert.equal(section?.name, storage === 'partition' ? 'memory' : 'snapshot storage');
      if (storage === 'partition') assert.equal(places.storage, memory.at(FIRST + 10, 0));
    });
  }

  for (const arming of CHOICES.arming) {
    test(`nobody writes while it lasts, not even to what is writable: arming=${arming}`, () => {
      let tried = 0;
      let holding = false;
      const programs: [Instruction[], Instruction[]] = [[store(va(5)), store(va(5) + 4n)], [store(ALIAS)]];
      const recorded = record(machineOf({ arming }, programs), {
        on: (event, computer) => {
          // Armed live it is trapped before T0, noted and released.
          if (event === 'W cleared of page 1') runOn(computer, 0);
          if (event === 'T0') holding = true;
          if (event === 'go P0') holding = false;
          if (!holding) return;
          tried++;
          for (let actor = 0; actor < computer.actors; actor++) tryAct(computer, actor);
        },
      });
      assert.ok(tried > 5);
      const before = recorded.events.slice(0, recorded.events.indexOf('T0'));
      assert.equal(before.includes('trap 35'), arming === 'live');
      assert.deepEqual(
        inHold(recorded).filter((event) => event.includes('wrote')),
        [],
      );
    });
  }

  test('dma=suspend: what DMA may reach is copied while DMA is suspended', () => {
    const held = inHold(record(machineOf({ dma: 'suspend' })));
    assert.ok(held.includes('stored 39'));
    assert.ok(held.indexOf('stored 39') < held.indexOf('open 0'));
  });
  test('dma=fast: what DMA may reach is copied in the hold, and listed', () => {
    const recorded = record(machineOf({ dma: 'fast' }));
    assert.ok(inHold(recorded).includes('stored 39'));
    assert.ok(!recorded.events.includes('close 0'), 'DMA is not suspended');
    assert.deepEqual(recorded.unreliable, [DMA]);
  });
  test('dma=risk: copied in the hold, and not listed', () => {
    const recorded = record(machineOf({ dma: 'risk' }));
    assert.ok(inHold(recorded).includes('stored 39'));
    assert.deepEqual(recorded.unreliable, []);
  });
  test('dma=exclude: what DMA may reach is no part of the copy', () => {
    const { events, computer, failure } = record(machineOf({ dma: 'exclude', content: 'random' }));
    assert.equal(failure, undefined);
    assert.ok(!events.includes('stored 39') && !events.includes('marked 39'));
    const at = computer.places.storage + 9 * computer.plan.wordsPerBlock;
    for (const [word, value] of storedContent(computer, DMA)!.entries())
      assert.equal(value, computer.contentBefore(at + word), 'its place was not written');
  });
  test('dma=mark: what DMA may reach is copied by the sweep, and listed as unreliable', () => {
    const recorded = record(machineOf({ dma: 'mark' }));
    assert.ok(!inHold(recorded).includes('stored 39'));
    assertOrder(recorded, ['go P1', 'listed 39 unreliable', 'stored 39']);
    assert.deepEqual(recorded.unreliable, [DMA]);
  });

  test('map=copied: the copy map lies in first storage and is copied in the hold', () => {
    const recorded = record(machineOf({ map: 'copied' }));
    const { computer } = recorded;
    assert.equal(computer.places.map, computer.memory.at(MAP, 0));
    assert.ok(inHold(recorded).includes('stored 34'));
    assert.deepEqual(
      [...storedContent(computer, MAP)!.subarray(0, computer.plan.mapWords)],
      [0, 0],
      'reset in S2: that is what it was at T0',
    );
  });
  test('map=apart: the copy map lies in first storage, in an area that is not copied', () => {
    const recorded = record(machineOf({ map: 'apart' }));
    const { computer } = recorded;
    assert.equal(computer.places.map, computer.memory.at(MAP, 0));
    assert.ok(!recorded.events.includes('stored 34'));
    const blocks = (one: Recorded): number =>
      inHold(one).filter((event) => event.startsWith('stored')).length;
    assert.equal(
      blocks(recorded),
      blocks(record(machineOf({ map: 'copied' }))) - 1,
      'S3 copies one block less',
    );
  });
  for (const map of ['separate', 'mmu'] as const) {
    test(`the copy map is no part of first storage: map=${map}`, () => {
      const { computer, atT0, failure } = record(machineOf({ map }));
      assert.equal(failure, undefined);
      const name = map === 'mmu' ? 'copy map in the MMU' : 'copy map memory';
      const section = computer.layout.sections.find(({ offset }) => offset === computer.places.map);
      assert.equal(section?.name, name);
      assert.deepEqual(contentOf(computer, MAP), atT0.get(MAP), "its block in memory is anybody else's");
      for (const block of BLOCKS) assert.equal(bitOf(computer, block), 1);
    });
  }

  test('at its end DMA is allowed again, before anybody goes on', () => {
    const recorded = record(machineOf({ dma: 'suspend' }));
    const held = inHold(recorded);
    assert.equal(held.at(-1), 'open 0');
    assertOrder(recorded, ['stored 39', 'open 0', 'go P0', `W set of page ${KERNEL_PAGE}`]);
  });
});

suite('S4', () => {
  for (const map of CHOICES.map) {
    test(`W of what has been copied is set, and then its copied indications: map=${map}`, () => {
      const { events } = record(machineOf({ map }));
      const pages = [KERNEL_PAGE, ...(map === 'copied' ? [5] : [])];
      const marks = [FIRST, KERNEL, DMA, ...(map === 'copied' ? [MAP] : [])];
      const lastW = Math.max(...pages.map((page) => events.indexOf(`W set of page ${page}`)));
      const firstMark = events.findIndex((event) => event.startsWith('marked'));
      assert.ok(lastW > events.indexOf('T0') && lastW < firstMark, 'W first');
      assert.deepEqual(
        events
          .slice(firstMark)
          .filter((event) => event.startsWith('marked'))
          .slice(0, marks.length)
          .map((event) => Number(event.slice(7)))
          .sort((left, right) => left - right),
        marks.sort((left, right) => left - right),
        'and nothing else is marked before',
      );
    });
  }
});

/** A snapshot in whose copy phase a processor goes on at a given event. */
function trapped(
  variants: Partial<Variants>,
  programs: [readonly Instruction[], readonly Instruction[]],
  at: string,
): Recorded {
  let once = false;
  const recorded = record(machineOf(variants, programs), {
    on: (event, computer) => {
      if (event !== at && !once) return;
      if (event === at) once = true;
      for (const processor of computer.processors) runOn(computer, processor.number);
    },
  });
  assert.equal(recorded.failure, undefined);
  assert.ok(once, `"${at}" did not happen`);
  return recorded;
}

suite('S5', () => {
  test('a page whose W is set is written without a trap', () => {
    const recorded = trapped({}, [[], [store(va(1))]], 'marked 31');
    assert.ok(!recorded.events.includes('trap 31'));
    assertOrder(recorded, ['marked 31', 'P1 wrote 31', 'stored 38']);
  });

  test('without W: trap, copy, copied indication, W, and only then the write', () => {
    const recorded = trapped({}, [[store(va(5))], []], 'marked 31');
    assertOrder(recorded, [
      'trap 35',
      'copied 35',
      'stored 35',
      'marked 35',
      ...ALIASES.map((page) => `W set of page ${page}`),
      'wake 35 1',
      'P0 wrote 35',
      'end',
    ]);
  });

  test('the writer goes on as soon as its block is copied', () => {
    const recorded = trapped({}, [[store(va(5))], []], 'marked 31');
    assertOrder(recorded, ['stored 35', 'P0 wrote 35', 'stored 36']);
  });

  test('what was written since is in memory, what was there at T0 in the snapshot: whatever the storage is', () => {
    for (const storage of CHOICES.storage) {
      for (const content of CHOICES.content) {
        const programs: [Instruction[], Instruction[]] = [[store(va(5)), store(va(6))], [store(va(1))]];
        const recorded = trapped({ storage, content, map: 'copied' }, programs, 'go P1');
        const { computer, atT0 } = recorded;
        for (const block of BLOCKS) assert.deepEqual([...storedContent(computer, block)!], atT0.get(block));
        for (const block of [SHARED, 36, KERNEL]) {
          assert.equal(computer.memory.read(block, 0), 0xabc);
          assert.notEqual(atT0.get(block)![0], 0xabc);
        }
        if (storage !== 'log') continue;
        const { content: rebuilt, missing } = rebuild(exportLog(computer, { leftOut: [], unreliable: [] }));
        assert.deepEqual(missing, []);
        for (const block of BLOCKS) assert.deepEqual([...rebuilt.get(block)!], atT0.get(block));
      }
    }
  });

  test('a page that was not writable is not writable after', () => {
    const { computer } = trapped({}, [[store(va(7))], []], 'marked 31');
    assert.equal(computer.tables.dataLow(READ_ONLY) & (W | SAVED_W), 0);
    assert.equal(computer.processors[0]!.landed, 0);
    for (const page of [0, 1, 2, 4, 5, 6])
      assert.equal(computer.tables.dataLow(page) & (W | SAVED_W), W, `page ${page}`);
  });

  test('DMA goes on meanwhile', () => {
    for (const dma of ['suspend', 'exclude', 'mark', 'fast'] as const) {
      const recorded = record(machineOf({ dma }), {
        on: (event, computer) => {
          if (event === 'stored 35') while (tryAct(computer, 4));
        },
      });
      assert.equal(recorded.failure, undefined);
      assertOrder(recorded, ['stored 35', 'device 0 wrote 39', 'end']);
      const same = String(storedContent(recorded.computer, DMA)) === String(recorded.atT0.get(DMA));
      assert.equal(same, dma === 'suspend' || dma === 'fast');
    }
  });
});

suite('S6', () => {
  test('looks for a block that is not marked, copies it, marks it, sets its W: one after the other', () => {
    const recorded = record(machineOf({ map: 'separate' }));
    const swept = recorded.events
      .slice(recorded.events.indexOf('go P1'))
      .filter((event) => event.startsWith('stored'));
    assert.deepEqual(
      swept,
      [32, 33, 34, 35, 36, 37, 38].map((block) => `stored ${block}`),
    );
    assertOrder(recorded, [
      'stored 35',
      'marked 35',
      ...ALIASES.map((page) => `W set of page ${page}`),
      'stored 36',
      'marked 36',
      'W set of page 2',
      'stored 37',
    ]);
    const before = recorded.events.slice(0, recorded.events.indexOf('stored 36'));
    assert.ok(before.lastIndexOf('map read') > before.indexOf('marked 35'), 'it has looked at the map');
  });

  test('what a trap has copied is not copied again', () => {
    const { events } = trapped({}, [[store(va(6))], []], 'marked 31');
    assert.ok(events.indexOf('stored 36') < events.indexOf('stored 32'), 'the trap came first');
    for (const once of ['stored 36', 'wake 36 1'])
      assert.equal(events.filter((event) => event === once).length, 1, once);
  });

  test('S5 in the foreground, S6 in the background: a trap is served before the next chunk', () => {
    const { events } = trapped({}, [[], [store(ALIAS + va(7))]], 'stored 32');
    const stored = events
      .slice(events.indexOf('go P1'))
      .filter((event) => event.startsWith('stored'))
      .map((event) => Number(event.slice(7)));
    assert.deepEqual(stored.slice(0, 3), [32, LAST, 33]);
  });
});

suite('S7', () => {
  test('over when every copied indication is set, and not before', () => {
    for (const map of CHOICES.map) {
      let looked = false;
      const recorded = record(machineOf({ map }), {
        on: (event, computer) => {
          const all = BLOCKS.filter((block) => map !== 'apart' || block !== MAP);
          if (event !== 'end') return;
          looked = true;
          for (const block of all) assert.equal(bitOf(computer, block), 1, `block ${block}`);
        },
      });
      assert.ok(looked);
      assert.equal(recorded.failure, undefined);
    }
  });
});

suite('Figure 10', () => {
  test('the copy map has a bit for each block: 0 until it is copied, then 1', () => {
    for (const map of CHOICES.map) {
      const marked = new Set<number>();
      let begun = false;
      record(machineOf({ map }), {
        on: (event, computer) => {
          if (event === 'T0') begun = true;
          if (!begun || event === 'end') return;
          if (event.startsWith('marked')) marked.add(Number(event.slice(7)));
          const set = BLOCKS.filter((block) => bitOf(computer, block) === 1);
          if (event.startsWith('stored'))
            assert.ok(!set.includes(Number(event.slice(7))), 'not while it is copied');
          for (const block of marked) assert.ok(set.includes(block));
          if (!event.startsWith('marked')) assert.equal(set.length, marked.size);
        },
      });
      assert.equal(marked.size, map === 'apart' ? 9 : 10);
    }
  });
});

test('the smallest machine, of 4 blocks: its snapshot is that of T0, whatever is chosen', () => {
  // 0 the kernel's tables, 1 copy map, 2 an application, 3 a DMA buffer.
  for (const [name, choices] of Object.entries(CHOICES)) {
    for (const choice of choices) {
      const variants: Partial<Variants> = { [name]: choice };
      const event: Instruction[] = variants.start === 'event' ? [{ kind: 'event' }] : [];
      const shape: Shape = {
        blocks: 4,
        wordsPerBlock: 64,
        tsbEntries: 4,
        pages: [{ va: va(2), block: 2, context: 1 }],
        programs: [{ context: 1, instructions: [...event, store(va(2))] }],
        devices: [{ transfers: [{ block: 3, word: 0, value: 0xd0 }] }],
        variants,
      };
      const on = (happened: string, computer: Computer): void => {
        if (happened === 'go P0') runOn(computer, 0);
      };
      const { computer, atT0, failure, events } = record(shape, { on });
      assert.equal(failure, undefined, `${name}=${choice}`);
      assert.ok(events.indexOf('P0 wrote 2') > events.indexOf('marked 2'), events.join(', '));
      const mapBlock = variants.map === undefined || variants.map === 'apart' ? [] : [1];
      const dmaBlock = variants.dma === undefined || variants.dma === 'suspend' ? [3] : [];
      for (const block of [0, 2, ...mapBlock, ...dmaBlock])
        assert.deepEqual(
          [...storedContent(computer, block)!],
          atT0.get(block),
          `${name}=${choice}: ${block}`,
        );
      assert.equal(computer.memory.read(2, 0), 0xabc);
    }
  }
});
