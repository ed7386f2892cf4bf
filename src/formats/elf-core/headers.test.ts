import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AddressRange } from '../../bytes/ranges.ts';
import { getField } from '../../bytes/struct.ts';
import { ELF_HEADER, PN_XNUM, PROGRAM_HEADER, PT_NOTE, SECTION_HEADER } from './elf.ts';
import { type CoreTail, coreHead, coreTail } from './headers.ts';
import { type CoreSegment, layoutCore } from './layout.ts';

const PHDRS_AT = 2 * SECTION_HEADER.sizeBytes;
const NOTHING = { threads: [] };

function segment(start: bigint, end: bigint, stored = true): CoreSegment {
  return { start, end, flags: 6, stored };
}

/** Each PT_LOAD of a tail as `start-end@offset`, `start-end` where it has no content. */
function loads(tail: CoreTail): string[] {
  const view = new DataView(tail.bytes.buffer);
  const found: string[] = [];
  for (let index = 1; index < tail.programHeaders; index++) {
    const at = PHDRS_AT + index * PROGRAM_HEADER.sizeBytes;
    const start = getField(PROGRAM_HEADER, view, at, 'p_vaddr');
    const end = start + getField(PROGRAM_HEADER, view, at, 'p_memsz');
    const offset = getField(PROGRAM_HEADER, view, at, 'p_offset');
    const range = `${start.toString(16)}-${end.toString(16)}`;
    found.push(
      getField(PROGRAM_HEADER, view, at, 'p_filesz') === 0 ? range : `${range}@${offset.toString(16)}`,
    );
  }
  return found;
}

test('a missing range stands in no PT_LOAD, and what is around it keeps its place', () => {
  const layout = layoutCore([segment(0x10000n, 0x14000n), segment(0x20000n, 0x22000n)]);
  const missing: AddressRange[] = [
    { start: 0x21000n, end: 0x22000n },
    { start: 0x11000n, end: 0x12000n },
    { start: 0x11000n, end: 0x13000n },
  ];
  assert.deepEqual(loads(coreTail(layout, NOTHING, missing)), [
    '10000-11000@1000',
    '13000-14000@4000',
    '20000-21000@5000',
  ]);
  assert.deepEqual(loads(coreTail(layout, NOTHING)), ['10000-14000@1000', '20000-22000@5000']);
});

test('a segment that is lost as a whole leaves no PT_LOAD', () => {
  const layout = layoutCore([segment(0x10000n, 0x11000n)]);
  assert.deepEqual(loads(coreTail(layout, NOTHING, [{ start: 0x0n, end: 0x20000n }])), []);
});

test('what is not stored has a PT_LOAD without content where a file is mapped, and none elsewhere', () => {
  const layout = layoutCore([segment(0x10000n, 0x14000n, false), segment(0x14000n, 0x15000n)]);
  const files = [
    { start: 0x11000n, end: 0x12000n, fileOffset: 0n, path: '/a' },
    { start: 0x12000n, end: 0x13000n, fileOffset: 0n, path: '/b' },
  ];
  const missing = [{ start: 0x11000n, end: 0x11800n }];
  assert.deepEqual(loads(coreTail(layout, { threads: [], files })), ['11000-13000', '14000-15000@1000']);
  assert.deepEqual(loads(coreTail(layout, { threads: [], files }, missing)), [
    '11800-13000',
    '14000-15000@1000',
  ]);
});

test('the head finds the tail, plainly if the number of headers fits and is known', () => {
  const layout = layoutCore([segment(0x10000n, 0x12000n)]);
  const tail = coreTail(layout, NOTHING);
  assert.deepEqual(numbering(coreHead(layout, tail)), { phoff: 0x3000 + 128, phnum: 2, shoff: 0, shnum: 0 });
  assert.deepEqual(numbering(coreHead(layout)), {
    phoff: 0x3000 + 128,
    phnum: PN_XNUM,
    shoff: 0x3000,
    shnum: 2,
  });
  assert.deepEqual(numbering(coreHead(layout, { ...tail, programHeaders: 0xfffe })).phnum, 0xfffe);
  assert.deepEqual(
    numbering(coreHead(layout, { ...tail, programHeaders: 0xffff })),
    numbering(coreHead(layout)),
  );
});

test('section header 0 tells the number of program headers, and the notes end within the tail', () => {
  const layout = layoutCore([segment(0x10000n, 0x12000n)]);
  const tail = coreTail(layout, { threads: [], auxv: new Uint8Array(5000).fill(7) });
  const view = new DataView(tail.bytes.buffer);
  assert.equal(getField(SECTION_HEADER, view, 0, 'sh_info'), 2);
  assert.equal(getField(SECTION_HEADER, view, 0, 'sh_size'), 2);
  assert.equal(getField(PROGRAM_HEADER, view, PHDRS_AT, 'p_type'), PT_NOTE);
  const notesAt = getField(PROGRAM_HEADER, view, PHDRS_AT, 'p_offset') - layout.tailOffset;
  assert.equal(getField(PROGRAM_HEADER, view, PHDRS_AT, 'p_filesz'), 12 + 8 + 5000);
  assert.equal(getField(SECTION_HEADER, view, 64, 'sh_offset'), layout.tailOffset + notesAt);
  assert.equal(getField(SECTION_HEADER, view, 64, 'sh_size'), 12 + 8 + 5000);
  assert.deepEqual(tail.bytes.subarray(notesAt + 20, notesAt + 5020), new Uint8Array(5000).fill(7));
  assert.equal(tail.bytes.length, 8192);
});

function numbering(head: Uint8Array): { phoff: number; phnum: number; shoff: number; shnum: number } {
  const view = new DataView(head.buffer);
  const get = (field: 'e_phoff' | 'e_phnum' | 'e_shoff' | 'e_shnum') => getField(ELF_HEADER, view, 0, field);
  return { phoff: get('e_phoff'), phnum: get('e_phnum'), shoff: get('e_shoff'), shnum: get('e_shnum') };
}
