import assert from 'node:assert/strict';
import { test } from 'node:test';
import { someProcess, someThread, someXstate } from '../../../test/support/cores.ts';
import { Cursor } from '../../bytes/cursor.ts';
import { setField } from '../../bytes/struct.ts';
import {
  coreNotes,
  decodeFiles,
  decodePrpsinfo,
  encodeFiles,
  encodePrpsinfo,
  FILE_NOTE_ENTRY,
  FILE_NOTE_HEAD,
  type FileMapping,
} from './process-notes.ts';
import { decodePrstatus, encodePrstatus, fpRegistersOf } from './thread-notes.ts';

const cursorOf = (bytes: Uint8Array) =>
  new Cursor(bytes, 0, (problem, position) => new Error(`${position}: ${problem}`));

test('names and arguments are cut as the kernel cuts them', () => {
  const info = { ...someProcess(7), name: 'n'.repeat(20), args: `${'a'.repeat(50)}\0${'b'.repeat(50)}\0` };
  const bytes = encodePrpsinfo(info);
  const read = decodePrpsinfo(bytes);
  assert.equal(read.name, 'n'.repeat(15));
  assert.equal(read.args, `${'a'.repeat(50)} ${'b'.repeat(28)}`);
  assert.equal(bytes.at(-1), 0);
});

test('states have the numbers of the kernel; what has none is 0', () => {
  const state = (name: string) => [...encodePrpsinfo({ ...someProcess(1), state: name }).subarray(0, 3)];
  assert.deepEqual(state('R'), [0, 0x52, 0]);
  assert.deepEqual(state('D'), [2, 0x44, 0]);
  assert.deepEqual(state('Z'), [4, 0x5a, 1]);
  assert.deepEqual(state('t'), [0, 0x74, 0]);
});

test('a status with extreme values comes back', () => {
  const { fpRegisters: _fp, siginfo: _siginfo, ...thread } = someThread(7);
  const extreme = { ...thread, tid: 4_194_304, signal: 64, pendingSignals: (1n << 64n) - 1n, session: -1 };
  assert.deepEqual(decodePrstatus(encodePrstatus(extreme)), extreme);
});

test('floating-point registers are told only where they are given', () => {
  const { fpRegisters: _fp, ...without } = someThread(7);
  const valid = (bytes: Uint8Array) => new DataView(bytes.buffer).getInt32(328, true);
  assert.deepEqual([valid(encodePrstatus(without)), valid(encodePrstatus(someThread(7)))], [0, 1]);
});

test('floating-point registers out of an XSAVE area lack what is of XSAVE', () => {
  const xstate = someXstate().fill(5, 0, 464);
  const registers = fpRegistersOf(xstate);
  assert.deepEqual(registers, new Uint8Array(512).fill(5, 0, 464));
  assert.equal(xstate[464], 7);
});

const file = (start: bigint, end: bigint, path: string | Uint8Array): FileMapping => ({
  start,
  end,
  fileOffset: 0x3000n,
  path,
});

test('paths that are no UTF-8 are written as they are', () => {
  const path = Uint8Array.of(0x2f, 0xff, 0xfe);
  const bytes = encodeFiles([file(0x1000n, 0x2000n, path), file(0x2000n, 0x3000n, '/b')]);
  assert.deepEqual(bytes.subarray(-7), Uint8Array.of(0x2f, 0xff, 0xfe, 0, 0x2f, 0x62, 0));
  assert.deepEqual(
    decodeFiles(cursorOf(bytes)).map(({ path: text }) => text),
    ['/\ufffd\ufffd', '/b'],
  );
});

test('files come ordered by address, of those that overlap the first', () => {
  const list = [file(0x5000n, 0x6000n, '/c'), file(0x1000n, 0x3000n, '/a'), file(0x2000n, 0x4000n, '/b')];
  assert.deepEqual(
    decodeFiles(cursorOf(encodeFiles(list))).map(({ path }) => path),
    ['/a', '/c'],
  );
});

test('offsets count in the page size that the note tells', () => {
  const bytes = encodeFiles([file(0x1000n, 0x2000n, '/a')]);
  setField(FILE_NOTE_HEAD, new DataView(bytes.buffer), 0, 'page_size', 1);
  assert.equal(decodeFiles(cursorOf(bytes))[0]?.fileOffset, 3n);
});

test('a list of files that can not be is refused at its place', () => {
  const bytes = encodeFiles([file(0x1000n, 0x2000n, '/a')]);
  const view = new DataView(bytes.buffer);
  assert.throws(
    () => decodeFiles(cursorOf(bytes.subarray(0, -1))),
    /^Error: 40: the name of a mapped file has no end$/,
  );
  setField(FILE_NOTE_ENTRY, view, FILE_NOTE_HEAD.sizeBytes, 'end', 0);
  assert.throws(() => decodeFiles(cursorOf(bytes)), /^Error: 24: end is 0x0, before 0x1000$/);
  setField(FILE_NOTE_HEAD, view, 0, 'count', 1n << 62n);
  assert.throws(() => decodeFiles(cursorOf(bytes)), /^Error: 0: count is /);
});

test('a core without threads has the notes of the process', () => {
  const notes = coreNotes({ threads: [], info: someProcess(1), auxv: new Uint8Array(16), files: [] });
  assert.deepEqual(
    notes.map(({ type }) => type),
    [3, 6, 0x4649_4c45],
  );
});

test('a lost range is cut out of a mapped file, with the offset of what follows', () => {
  const missing = [{ start: 0x2000n, end: 0x3000n }];
  const [note] = coreNotes({ threads: [], files: [file(0x1000n, 0x4000n, '/a')] }, missing);
  assert.deepEqual(decodeFiles(cursorOf(note!.payload)), [
    { start: 0x1000n, end: 0x2000n, fileOffset: 0x3000n, path: '/a' },
    { start: 0x3000n, end: 0x4000n, fileOffset: 0x5000n, path: '/a' },
  ]);
});
