import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import {
  type CoreParts,
  someProcess,
  someProvenance,
  someThread,
  TestFolder,
  writeCore,
} from '../../../test/support/cores.ts';
import { LivecoreError } from '../../errors.ts';
import { Core } from './core.ts';
import { PF_R, PF_W, PF_X } from './elf.ts';

const FILE = { start: 0x30_000n, end: 0x32_000n, fileOffset: 0x5000n, path: '/usr/lib/näme.so' };

/** Memory: 0x10000-0x14000 with 0x12000 lost, 0x14000-0x15000, text of a file at 0x30000, nothing elsewhere. */
const PARTS: CoreParts = {
  segments: [
    { start: 0x10_000n, end: 0x14_000n, flags: PF_R | PF_W, stored: true },
    { start: 0x14_000n, end: 0x15_000n, flags: PF_R, stored: true },
    { start: 0x30_000n, end: 0x32_000n, flags: PF_R | PF_X, stored: false },
  ],
  missing: [{ start: 0x12_000n, end: 0x13_000n }],
  memory: [
    { address: 0x11_ffcn, bytes: Uint8Array.of(1, 2, 3, 4) },
    { address: 0x13_000n, bytes: new Uint8Array(0x1000).fill(0xaa) },
    { address: 0x14_000n, bytes: new Uint8Array(0x1000).fill(0xbb) },
  ],
  process: {
    info: someProcess(7),
    threads: [someThread(7), { ...someThread(8), xstate: new Uint8Array(2696).fill(9), signal: 11 }],
    auxv: Uint8Array.from({ length: 32 }, (_, index) => index),
    files: [FILE],
    livecore: someProvenance({
      threads: [{ tid: 8, name: 'wörker\u001b[2J' }],
      lost: [{ start: 0x12_000n, end: 0x13_000n, reason: 'munmap' }],
      unreliable: [{ start: 0xffff_ffff_ff60_0000n, end: 1n << 64n, reason: 'io_uring' }],
      complete: false,
    }),
  },
};

async function withCore(parts: CoreParts, check: (core: Core, path: string) => Promise<void>): Promise<void> {
  using folder = new TestFolder();
  const path = folder.file('core');
  writeCore(path, parts);
  await using core = await Core.open(path);
  await check(core, path);
}

function throwsWith(code: string, fields: Partial<LivecoreError> = {}): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof LivecoreError, String(error));
    const { address, length, position } = fields;
    assert.deepEqual(
      { code: error.code, ...(address !== undefined && { address: error.address, length: error.length }) },
      { code, ...(address !== undefined && { address, length }) },
    );
    if (position !== undefined) assert.equal(error.position, position);
    return true;
  };
}

for (const streamed of [false, true]) {
  test(`what was written is read back${streamed ? ', with the number of headers in section 0' : ''}`, async () => {
    await withCore({ ...PARTS, streamed }, async (core) => {
      assert.deepEqual(core.process, { ...someProcess(7), args: 'target --flag ' });
      assert.deepEqual(core.livecore, PARTS.process.livecore);
      assert.deepEqual(core.cut, []);
      assert.equal(core.complete, false);
      assert.deepEqual(await core.auxv(), PARTS.process.auxv);
      const threads = await Array.fromAsync(core.threads());
      assert.deepEqual(
        threads.map((thread) => thread.status),
        PARTS.process.threads,
      );
      assert.deepEqual(
        threads.map(({ tid, name, registers }) => [
          tid,
          name,
          registers['r15'],
          registers['rip'],
          registers['gs'],
        ]),
        [
          [7, 'target', 7n * 256n, 7n * 256n + 16n, 7n * 256n + 26n],
          [8, 'wörker\u001b[2J', 8n * 256n, 8n * 256n + 16n, 8n * 256n + 26n],
        ],
      );
      assert.deepEqual(await Array.fromAsync(core.segments()), [
        { start: 0x10_000n, end: 0x12_000n, flags: 6, contentEnd: 0x12_000n, fileOffset: 0x1000 },
        { start: 0x13_000n, end: 0x14_000n, flags: 6, contentEnd: 0x14_000n, fileOffset: 0x4000 },
        { start: 0x14_000n, end: 0x15_000n, flags: 4, contentEnd: 0x15_000n, fileOffset: 0x5000 },
        { start: 0x30_000n, end: 0x32_000n, flags: 5, contentEnd: 0x30_000n, fileOffset: 0x6000 },
      ]);
    });
  });
}

test('notes come in the order of the kernel, ours last', async () => {
  await withCore(PARTS, async (core) => {
    const notes = await Array.fromAsync(core.notes());
    assert.deepEqual(
      notes.map((note) => `${note.owner} ${note.type.toString(16)} ${note.sizeBytes}`),
      ['CORE 1 336', 'CORE 3 136', 'CORE 53494749 128', 'CORE 6 32', 'CORE 46494c45 58', 'CORE 2 512']
        .concat(['CORE 1 336', 'CORE 2 512', 'LINUX 202 2696', 'CORE 53494749 128'])
        .concat([`livecore 524f434c ${notes.at(-1)?.sizeBytes}`]),
    );
  });
});

test('memory is read across segments, holes of the file as zeros', async () => {
  await withCore(PARTS, async (core) => {
    assert.deepEqual(await core.read(0x11_ff8n, 8), Uint8Array.of(0, 0, 0, 0, 1, 2, 3, 4));
    assert.deepEqual(await core.read(0x13_ffen, 4), Uint8Array.of(0xaa, 0xaa, 0xbb, 0xbb));
    assert.equal((await core.read(0x13_000n, 0x2000)).length, 0x2000);
    assert.equal((await core.read(0x999n, 0)).length, 0);
  });
});

test('what has no content throws, with the first part that is missing', async () => {
  await withCore(PARTS, async (core) => {
    const cases: [bigint, number, bigint, number, RegExp][] = [
      [0x11_fffn, 2, 0x12_000n, 1, /lost/],
      [0x11_000n, 0x3000, 0x12_000n, 0x1000, /lost/],
      [0x12_800n, 0x100, 0x12_800n, 0x100, /lost/],
      [0x14_fffn, 0x100, 0x15_000n, 0xff, /nothing is mapped/],
      [0x31_000n, 16, 0x31_000n, 16, /not written to the core/],
      [0x0n, 16, 0x0n, 16, /nothing is mapped/],
      [0xffff_ffff_ffff_ffffn, 2, 0xffff_ffff_ffff_ffffn, 2, /nothing is mapped/],
    ];
    for (const [address, length, at, missing, reason] of cases) {
      await assert.rejects(core.read(address, length), (error) => {
        assert.match(String(error), reason);
        return throwsWith('NO_CONTENT', { address: at, length: missing })(error);
      });
    }
    await assert.rejects(core.read(0x10_000n, -1), throwsWith('USAGE'));
    await assert.rejects(core.read(0x10_000n, 0.5), throwsWith('USAGE'));
  });
});

test('the memory map joins segments and mapped files', async () => {
  const files = [{ ...FILE, start: 0x14_800n, end: 0x30_800n }];
  await withCore({ ...PARTS, process: { ...PARTS.process, files } }, async (core) => {
    const rows = [];
    for await (const { start, end, flags, contentEnd, file } of core.mappings()) {
      const range = `${start.toString(16)}-${end.toString(16)} ${contentEnd.toString(16)}`;
      rows.push(`${range} ${flags} ${file?.offset.toString(16)}`);
    }
    assert.deepEqual(rows, [
      '10000-12000 12000 6 undefined',
      '13000-14000 14000 6 undefined',
      '14000-14800 14800 4 undefined',
      '14800-15000 15000 4 5000',
      '15000-30000 15000 undefined 5800',
      '30000-30800 30000 5 20800',
    ]);
  });
});

test('a lost range shows no file either', async () => {
  const missing = [{ start: 0x31_000n, end: 0x32_000n }];
  await withCore({ ...PARTS, missing }, async (core) => {
    const last = (await Array.fromAsync(core.mappings())).at(-1);
    assert.deepEqual(last, {
      start: 0x30_000n,
      end: 0x31_000n,
      flags: 5,
      contentEnd: 0x30_000n,
      file: { path: FILE.path, offset: 0x5000n },
    });
  });
});

test('more segments than e_phnum can tell', async () => {
  const segments = Array.from({ length: 70_000 }, (_, n) => {
    const start = BigInt(n + 16) * 0x2000n;
    return { start, end: start + 0x1000n, flags: PF_R, stored: true };
  });
  const address = segments[69_999]!.start;
  await withCore(
    { process: { threads: [] }, segments, memory: [{ address, bytes: Uint8Array.of(5) }] },
    async (core) => {
      assert.equal((await Array.fromAsync(core.segments())).length, 70_000);
      assert.deepEqual(await core.read(address, 2), Uint8Array.of(5, 0));
      assert.deepEqual(await Array.fromAsync(core.threads()), []);
      assert.equal(core.complete, true);
    },
  );
});

test('a core whose headers come first and that was cut says which memory is missing', async () => {
  using folder = new TestFolder();
  const path = folder.file('core');
  writeHeadFirst(path);
  await using whole = await Core.open(path);
  assert.equal(whole.complete, true);
  truncateSync(path, 0x2800);
  await using core = await Core.open(path);
  assert.equal(core.complete, false);
  assert.deepEqual(core.cut, [{ start: 0x11_800n, end: 0x12_000n }]);
  assert.equal((await core.read(0x11_7ffn, 1)).length, 1);
  await assert.rejects(core.read(0x11_7ffn, 2), (error) => {
    assert.match(String(error), /the file was cut/);
    return throwsWith('NO_CONTENT', { address: 0x11_800n, length: 1 })(error);
  });
});

/** Like the kernel's: program headers in the first page, 0x10000-0x12000 after it. */
function writeHeadFirst(path: string): void {
  using folder = new TestFolder();
  const { layout, tail } = writeCore(folder.file('core'), {
    process: { threads: [] },
    segments: [{ start: 0x10_000n, end: 0x12_000n, flags: PF_R, stored: true }],
  });
  const bytes = readFileSync(folder.file('core'));
  bytes.set(tail.bytes.subarray(128, 128 + 56 * tail.programHeaders), 64);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeBigUInt64LE(0n, 64 + 32);
  writeFileSync(path, bytes.subarray(0, layout.tailOffset));
}

test('files that are no readable core are refused with what they are', async () => {
  using folder = new TestFolder();
  const path = folder.file('core');
  writeCore(path, PARTS);
  const good = readFileSync(path);
  const edited = (offset: number, ...values: number[]) => {
    const copy = Buffer.from(good);
    copy.set(values, offset);
    return copy;
  };
  const cases: [name: string, content: Uint8Array, message: RegExp, position: number][] = [
    ['empty', new Uint8Array(), /the file at 0: it was cut/, 0],
    ['gzip', gzipSync(good), /compressed with gzip; decompress it with gzip -d first/, 0],
    ['zstd', zstdCompressSync(good), /compressed with zstd/, 0],
    ['text', Buffer.from('#!/bin/sh\n'.repeat(10)), /no ELF file/, 0],
    ['32 bit', edited(4, 1), /32-bit/, 4],
    ['big-endian', edited(5, 2), /little-endian/, 5],
    ['program', edited(16, 2), /no core file/, 16],
    ['aarch64', edited(18, 183), /x86-64/, 18],
    ['no headers', edited(56, 0, 0), /nothing is in this core/, 56],
    ['phentsize', edited(54, 55), /e_phentsize is 55/, 54],
    ['no section header', edited(56, 0xff, 0xff), /PN_XNUM/, 56],
    ['cut', good.subarray(0, 0x5000), /it was cut/, 32],
  ];
  for (const [name, content, message, position] of cases) {
    writeFileSync(folder.file(name), content);
    await assert.rejects(Core.open(folder.file(name)), (error) => {
      assert.match(String(error), message, name);
      return throwsWith('BAD_CORE', { position })(error);
    });
  }
  await assert.rejects(Core.open(folder.file('absent')), (error) => {
    assert.equal((error as LivecoreError).errno, 2);
    return throwsWith('BAD_CORE')(error);
  });
  await assert.rejects(Core.open(folder.path), throwsWith('BAD_CORE'));
});

test('the number of sections may be extended too', async () => {
  using folder = new TestFolder();
  const path = folder.file('core');
  const { layout } = writeCore(path, { ...PARTS, streamed: true });
  const bytes = readFileSync(path);
  bytes.writeUInt16LE(0, 60);
  writeFileSync(path, bytes);
  await using core = await Core.open(path);
  assert.equal((await Array.fromAsync(core.segments())).length, 4);
  bytes.writeBigUInt64LE(0n, layout.tailOffset + 32);
  writeFileSync(path, bytes);
  await assert.rejects(Core.open(path), throwsWith('BAD_CORE', { position: layout.tailOffset + 32 }));
});

test('bytes behind the end of a core do not matter', async () => {
  await withCore(PARTS, async (_core, path) => {
    appendFileSync(path, 'more');
    await using again = await Core.open(path);
    assert.deepEqual(await again.read(0x11_ffcn, 4), Uint8Array.of(1, 2, 3, 4));
  });
});
