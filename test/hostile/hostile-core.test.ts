/**
 * `livecore show` and the Core reader on files that are no honest core: a real one, damaged by a seed, and such as are made
 * to take all memory or time. Each ends in a report or in an error that names the place; nothing else is thrown.
 */
import assert from 'node:assert/strict';
import { closeSync, copyFileSync, ftruncateSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { setField } from '../../src/bytes/struct.ts';
import {
  ELF_HEADER,
  NOTE_TYPE,
  PN_XNUM,
  PROGRAM_HEADER,
  PT_LOAD,
  SECTION_HEADER,
} from '../../src/formats/elf-core/elf.ts';
import { LIVECORE_NOTE_HEAD, NT_LIVECORE } from '../../src/formats/elf-core/livecore-note.ts';
import { FILE_NOTE_HEAD } from '../../src/formats/elf-core/process-notes.ts';
import { Core, LivecoreError } from '../../src/index.ts';
import { Random } from '../conformance/random.ts';
import { buildTarget } from '../support/build.ts';
import { startChild } from '../support/child.ts';
import { TestFolder } from '../support/cores.ts';
import { dumpLive, noLiveDump } from '../support/live-dump.ts';
import { lastRecord, runTool } from '../support/tool.ts';

const SEED = Number(process.env['LIVECORE_SEED'] ?? 20_261_129);
const MUTATIONS = 300;
const SHOWN = 3;
const crowd = buildTarget('crowd');
const MIB = 1024 * 1024;
/** what a machine with little memory gives Node; far above what an honest core takes */
const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=1024' };
const BOUND_MS = 30_000;

interface Place {
  readonly from: number;
  readonly to: number;
}

/** A core of a small process, and where its headers and notes stand. */
async function realCore(folder: TestFolder): Promise<{ path: string; places: Place[] }> {
  const path = folder.file('real');
  await using target = await startChild(crowd.path, ['--threads', 3, '--mappings', 40]);
  using dumped = await dumpLive(target.pid);
  copyFileSync(dumped.file, path);
  await using core = await Core.open(path);
  const segments = await Array.fromAsync(core.segments());
  const tail = Math.max(
    ...segments.map(({ fileOffset, contentEnd, start }) => fileOffset + Number(contentEnd - start)),
  );
  return {
    path,
    places: [
      { from: 0, to: 64 },
      { from: tail, to: statSync(path).size },
    ],
  };
}

/** Everything that a core can be asked for. */
async function askAll(path: string): Promise<void> {
  await using core = await Core.open(path);
  for await (const note of core.notes()) if (note.sizeBytes < MIB) await note.read();
  await Array.fromAsync(core.threads());
  for await (const { start, end, contentEnd } of core.mappings()) {
    assert.ok(start < end && contentEnd <= end);
    if (contentEnd > start) await core.read(start, 8).catch(assertKnown);
  }
  await core.auxv();
}

function assertKnown(error: unknown): void {
  if (!(error instanceof LivecoreError)) throw error;
  assert.ok(['BAD_CORE', 'NO_CONTENT'].includes(error.code), String(error));
}

const EXTREMES = [0, 1, 0x7f, 0x80, 0xff] as const;

test(`a real core, damaged ${MUTATIONS} times (seed ${SEED})`, {
  skip: noLiveDump || crowd.skip,
}, async () => {
  using folder = new TestFolder();
  const { path, places } = await realCore(folder);
  const bytes = readFileSync(path);
  const random = new Random(SEED);
  const damaged = folder.file('damaged');
  let refused = 0;
  for (let count = 0; count < MUTATIONS; count++) {
    const copy = Buffer.from(bytes);
    for (let hits = random.below(4) + 1; hits > 0; hits--) {
      const { from, to } = places[random.below(places.length)]!;
      const at = from + random.below(to - from);
      const length = [1, 2, 4, 8][random.below(4)]!;
      copy.fill(EXTREMES[random.below(EXTREMES.length)]!, at, at + length);
    }
    const size = random.below(8) === 0 ? random.below(copy.length) : copy.length;
    writeFile(damaged, copy.subarray(0, size));
    await askAll(damaged).catch((error: unknown) => {
      assertKnown(error);
      refused++;
    });
    if (count % Math.ceil(MUTATIONS / SHOWN) === 0) await assertShowEnds(damaged);
  }
  assert.ok(refused > MUTATIONS / 10 && refused < MUTATIONS, `${refused} of ${MUTATIONS} were refused`);
});

function writeFile(path: string, bytes: Uint8Array): void {
  const file = openSync(path, 'w');
  writeSync(file, bytes);
  closeSync(file);
}

/** In little memory and time, with an exit status of its own and one error at most. */
async function assertShowEnds(path: string): Promise<Record<string, unknown>> {
  const said = await runTool(['show', path, '--json'], { env: SMALL_HEAP, boundMs: BOUND_MS });
  assert.equal(said.signal, null, `${said.signal} after ${said.ms} ms`);
  assert.ok([0, 1, 3].includes(said.status!), `${said.status}: ${said.stderr.slice(0, 500)}`);
  assert.equal(said.stderr, '');
  const last = lastRecord(said);
  if (said.status === 1)
    assert.ok(['BAD_CORE', 'NO_CONTENT'].includes(String(last['code'])), said.stdout.slice(-500));
  return last;
}

/** A file with program headers of the caller's, and sparse up to a size. */
function craft(
  path: string,
  sizeBytes: number,
  write: (put: (bytes: Uint8Array, at: number) => void) => void,
): void {
  const file = openSync(path, 'w');
  try {
    ftruncateSync(file, sizeBytes);
    write((bytes, at) => writeSync(file, bytes, 0, bytes.length, at));
  } finally {
    closeSync(file);
  }
}

/** The first 64 bytes of a core with so many program headers from byte 4096 on. */
function elfHeader(real: Uint8Array, count: number): Uint8Array {
  const head = new Uint8Array(4096);
  head.set(real.subarray(0, 64));
  const view = new DataView(head.buffer);
  setField(ELF_HEADER, view, 0, 'e_phoff', 4096);
  setField(ELF_HEADER, view, 0, 'e_phnum', Math.min(count, PN_XNUM));
  setField(ELF_HEADER, view, 0, 'e_shoff', count < PN_XNUM ? 0 : 512);
  setField(ELF_HEADER, view, 0, 'e_shnum', count < PN_XNUM ? 0 : 1);
  setField(ELF_HEADER, view, 0, 'e_shentsize', SECTION_HEADER.sizeBytes);
  setField(SECTION_HEADER, view, 512, 'sh_info', count < PN_XNUM ? 0 : count);
  return head;
}

function programHeader(
  fields: Partial<Record<keyof typeof PROGRAM_HEADER.kinds, number | bigint>>,
): Uint8Array {
  const bytes = new Uint8Array(PROGRAM_HEADER.sizeBytes);
  const view = new DataView(bytes.buffer);
  for (const [name, value] of Object.entries(fields))
    setField(PROGRAM_HEADER, view, 0, name as keyof typeof PROGRAM_HEADER.kinds, value);
  return bytes;
}

const PT_NOTE = 4;

/** One note of `sizeBytes` with that payload at its begin, the rest as `fill` makes it. */
function craftNote(path: string, real: Uint8Array, owner: string, type: number, payload: Uint8Array): void {
  const name = Buffer.from(`${owner}\0`.padEnd(Math.ceil((owner.length + 1) / 4) * 4, '\0'));
  const head = Uint32Array.of(owner.length + 1, payload.length, type);
  const size = 12 + name.length + payload.length;
  craft(path, 8192 + size, (put) => {
    put(elfHeader(real, 1), 0);
    put(programHeader({ p_type: PT_NOTE, p_offset: 8192, p_filesz: size, p_align: 4 }), 4096);
    put(new Uint8Array(head.buffer), 8192);
    put(name, 8204);
    put(payload, 8204 + name.length);
  });
}

const bombs: readonly [name: string, make: (path: string, real: Uint8Array) => void, code?: string][] = [
  [
    '2^32 - 1 program headers',
    (path, real) => craft(path, 2 ** 40, (put) => put(elfHeader(real, 0xffff_ffff), 0)),
    'BAD_CORE',
  ],
  [
    'two million segments that overlap',
    (path, real) => {
      const count = 2_000_000;
      const header = programHeader({ p_type: PT_LOAD, p_vaddr: 4096, p_memsz: 2 ** 30, p_filesz: 4096 });
      const table = Buffer.alloc(count * header.length, header);
      craft(path, 4096 + table.length, (put) => {
        put(elfHeader(real, count), 0);
        put(table, 4096);
      });
    },
    'BAD_CORE',
  ],
  [
    'a list of ten million mapped files',
    (path, real) => {
      const count = 10_000_000;
      const payload = new Uint8Array(FILE_NOTE_HEAD.sizeBytes + count * 25);
      const view = new DataView(payload.buffer);
      setField(FILE_NOTE_HEAD, view, 0, 'count', count);
      setField(FILE_NOTE_HEAD, view, 0, 'page_size', 4096);
      craftNote(path, real, 'CORE', NOTE_TYPE.FILE, payload);
    },
    'BAD_CORE',
  ],
  [
    'a provenance of 200 MiB of empty lists',
    (path, real) => {
      const payload = Buffer.alloc(200 * MIB, '[],');
      const view = new DataView(payload.buffer, payload.byteOffset);
      setField(LIVECORE_NOTE_HEAD, view, 0, 'version', 1);
      setField(LIVECORE_NOTE_HEAD, view, 0, 'json_bytes', payload.length - 8);
      payload.write('[', 8);
      payload.write('[]]', payload.length - 3);
      craftNote(path, real, 'livecore', NT_LIVECORE, payload);
    },
    'BAD_CORE',
  ],
  [
    'notes of one thread that never end',
    (path, real) => {
      const one = Buffer.from(new Uint8Array(Uint32Array.of(5, 0, NOTE_TYPE.SIGINFO, 0, 0).buffer));
      one.write('CORE\0', 12);
      const notes = Buffer.alloc(one.length * 300_000, one);
      craft(path, 8192 + notes.length, (put) => {
        put(elfHeader(real, 1), 0);
        put(programHeader({ p_type: PT_NOTE, p_offset: 8192, p_filesz: notes.length, p_align: 4 }), 4096);
        put(notes, 8192);
      });
    },
  ],
];

let real: Uint8Array | undefined;

for (const [name, make, code] of bombs) {
  test(`${name}: an error or a report, in little memory and time`, {
    skip: noLiveDump || crowd.skip,
  }, async () => {
    using folder = new TestFolder();
    real ??= readFileSync((await realCore(folder)).path);
    const bomb = folder.file('bomb');
    make(bomb, real);
    const last = await assertShowEnds(bomb);
    if (code !== undefined) assert.equal(last['code'], code, JSON.stringify(last));
  });
}
