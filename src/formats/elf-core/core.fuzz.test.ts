/** Damaged and hostile cores: an error with a position, never a crash, a hang or a huge allocation. */
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  someProcess,
  someProvenance,
  someThread,
  TestFolder,
  writeCore,
} from '../../../test/support/cores.ts';
import { setField } from '../../bytes/struct.ts';
import { LivecoreError } from '../../errors.ts';
import { Core } from './core.ts';
import { ELF_HEADER, PROGRAM_HEADER, PT_LOAD, PT_NOTE, SECTION_HEADER } from './elf.ts';

const SEED = Number(process.env['LIVECORE_SEED'] ?? 20_261_124);
const RUNS = Number(process.env['LIVECORE_FUZZ_RUNS'] ?? 1000);

/** Small, so that a damaged bit often matters: head, one page of memory, tail. */
function sample(streamed: boolean): Uint8Array {
  using folder = new TestFolder();
  const path = folder.file('core');
  writeCore(path, {
    streamed,
    segments: [
      { start: 0x10_000n, end: 0x11_000n, flags: 6, stored: true },
      { start: 0x30_000n, end: 0x31_000n, flags: 5, stored: false },
    ],
    process: {
      info: someProcess(7),
      threads: [someThread(7), someThread(8)],
      auxv: new Uint8Array(32),
      files: [{ start: 0x30_000n, end: 0x31_000n, fileOffset: 0n, path: '/a' }],
      livecore: someProvenance({
        lost: [{ start: 0x1000n, end: 0x2000n, reason: 'x' }],
        threads: [{ tid: 7, name: 'n' }],
      }),
    },
  });
  return readFileSync(path);
}

/** Asks an open core for everything. */
async function readAll(path: string): Promise<void> {
  await using core = await Core.open(path);
  for await (const note of core.notes()) await note.read();
  for await (const thread of core.threads()) assert.equal(thread.status.registers.length, 216);
  for await (const mapping of core.mappings()) {
    assert.ok(mapping.start < mapping.end && mapping.contentEnd <= mapping.end);
  }
  for await (const { start, contentEnd } of core.segments()) {
    if (contentEnd > start) assert.equal((await core.read(start, 1)).length, 1);
  }
  await core.auxv();
  await core.read(0x10_000n, 4096);
}

/** Runs readAll; the name of the error that the format allows, or 'whole'. */
async function outcome(path: string): Promise<string> {
  try {
    await readAll(path);
    return 'whole';
  } catch (error) {
    if (!(error instanceof LivecoreError)) throw error;
    if (error.code === 'NO_CONTENT') return error.code;
    assert.equal(error.code, 'BAD_CORE');
    assert.equal(typeof error.position, 'number', String(error));
    return error.code;
  }
}

const samples = [sample(false), sample(true)];

test(`flipped bits (seed ${SEED})`, async () => {
  using folder = new TestFolder();
  const path = folder.file('core');
  const seen = new Map<string, number>();
  // what is not the page of memory
  const place = fc.oneof(
    fc.integer({ min: 0, max: 63 }),
    fc.integer({ min: 8192, max: samples[0]!.length - 1 }),
  );
  const flips = fc.array(fc.tuple(place, fc.integer({ min: 0, max: 7 })), { minLength: 1, maxLength: 6 });
  const property = fc.asyncProperty(fc.integer({ min: 0, max: 1 }), flips, async (which, bits) => {
    const bytes = Uint8Array.from(samples[which]!);
    for (const [at, bit] of bits) bytes[at] = bytes[at]! ^ (1 << bit);
    writeFileSync(path, bytes);
    const name = await outcome(path);
    seen.set(name, (seen.get(name) ?? 0) + 1);
  });
  await fc.assert(property, { seed: SEED, numRuns: RUNS });
  assert.deepEqual([...seen.keys()].sort(), ['BAD_CORE', 'NO_CONTENT', 'whole']);
});

test(`bytes put over others (seed ${SEED})`, async () => {
  using folder = new TestFolder();
  const path = folder.file('core');
  const place = fc.oneof(
    fc.integer({ min: 0, max: 63 }),
    fc.integer({ min: 8192, max: samples[0]!.length - 1 }),
  );
  const value = fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.integer({ min: 0, max: 255 }));
  const fill = fc.tuple(place, fc.constantFrom(1, 2, 4, 8, 64), value);
  const property = fc.asyncProperty(
    fc.integer({ min: 0, max: 1 }),
    fill,
    async (which, [at, length, byte]) => {
      writeFileSync(path, Uint8Array.from(samples[which]!).fill(byte, at, at + length));
      await outcome(path);
    },
  );
  await fc.assert(property, { seed: SEED, numRuns: RUNS });
});

test('cut at every length', async () => {
  using folder = new TestFolder();
  const path = folder.file('core');
  for (const bytes of samples) {
    const lastNote = bytes.length - 4096 + bytes.subarray(-4096).findLastIndex((byte) => byte !== 0);
    for (let length = 0; length < lastNote; length += length < 100 ? 1 : 37) {
      writeFileSync(path, bytes.subarray(0, length));
      assert.equal(await outcome(path), 'BAD_CORE', `cut to ${length}`);
    }
  }
});

/** A sparse file that claims to be large: one program header as given, or a number of them. */
function writeSparse(
  path: string,
  sizeBytes: number,
  header: Partial<Record<keyof typeof PROGRAM_HEADER.kinds, number>>,
  count = 1,
): void {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  bytes.set(samples[1]!.subarray(0, 64));
  setField(ELF_HEADER, view, 0, 'e_phoff', 1024);
  setField(ELF_HEADER, view, 0, 'e_shoff', 512);
  setField(SECTION_HEADER, view, 512, 'sh_info', count);
  for (const [field, value] of Object.entries(header)) {
    setField(PROGRAM_HEADER, view, 1024, field as keyof typeof PROGRAM_HEADER.kinds, value);
  }
  const file = openSync(path, 'w');
  ftruncateSync(file, sizeBytes);
  writeSync(file, bytes);
  closeSync(file);
}

const TERABYTE = 2 ** 40;

test('a sparse file that claims to be large costs nothing', async () => {
  using folder = new TestFolder();
  const path = folder.file('core');
  const cases: [string, number, Partial<Record<keyof typeof PROGRAM_HEADER.kinds, number>>][] = [
    ['4 billion program headers', 0xffff_ffff, {}],
    ['1 TiB of notes, all zeros', 1, { p_type: PT_NOTE, p_offset: 8192, p_filesz: TERABYTE - 8192 }],
    ['1 TiB of memory', 1, { p_type: PT_LOAD, p_offset: 8192, p_filesz: TERABYTE / 2, p_memsz: TERABYTE }],
  ];
  for (const [name, count, header] of cases) {
    writeSparse(path, TERABYTE, header, count);
    const before = process.memoryUsage().rss;
    await outcome(path);
    assert.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024, name);
  }
});

test('a note that claims 4 GiB is refused before anything is allocated for it', async () => {
  using folder = new TestFolder();
  const path = folder.file('core');
  writeSparse(path, TERABYTE, { p_type: PT_NOTE, p_offset: 2048, p_filesz: TERABYTE / 2 });
  const file = openSync(path, 'r+');
  writeSync(file, Uint32Array.of(5, 0xffff_ff00, 1), 0, 12, 2048);
  writeSync(file, 'CORE\0', 2060);
  closeSync(file);
  await using core = await Core.open(path);
  await assert.rejects(
    Array.fromAsync(core.threads()),
    (error) => (error as LivecoreError).code === 'BAD_CORE',
  );
  const [note] = await Array.fromAsync(core.notes());
  await assert.rejects(note!.read(), /which is too much/);
});
