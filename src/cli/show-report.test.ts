import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CoreParts,
  someProcess,
  someProvenance,
  someThread,
  TestFolder,
  writeCore,
} from '../../test/support/cores.ts';
import { Core } from '../formats/elf-core/core.ts';
import { PF_R, PF_W, PF_X } from '../formats/elf-core/elf.ts';
import { escapeJson } from './escape.ts';
import { showRecords, showReport } from './show-report.ts';

const HOSTILE = 'x\u001b]0;owned\u0007';

const PARTS: CoreParts = {
  segments: [
    { start: 0x1_0000n, end: 0x1_4000n, flags: PF_R | PF_W, stored: true },
    { start: 0x3_0000n, end: 0x3_2000n, flags: PF_R | PF_X, stored: false },
  ],
  missing: [{ start: 0x1_2000n, end: 0x1_3000n }],
  process: {
    info: { ...someProcess(7), name: HOSTILE, args: `${HOSTILE}\0--x\0` },
    threads: [someThread(7, { rip: 0x401000n, rsp: 0x7ffe_0000_0000n }), { ...someThread(8), signal: 11 }],
    files: [{ start: 0x3_0000n, end: 0x3_2000n, fileOffset: 0x5000n, path: `/lib/${HOSTILE}` }],
    livecore: someProvenance({
      threads: [
        { tid: 7, name: HOSTILE },
        { tid: 8, name: 'worker' },
      ],
      lost: [{ start: 0x1_2000n, end: 0x1_3000n, reason: 'munmap' }],
      complete: false,
    }),
  },
};

async function withCore<Result>(parts: CoreParts, use: (core: Core) => Promise<Result>): Promise<Result> {
  using folder = new TestFolder();
  writeCore(folder.file('core'), parts);
  await using core = await Core.open(folder.file('core'));
  return await use(core);
}

test('the report of a core with a lost block', async () => {
  const lines = await withCore(PARTS, (core) => Array.fromAsync(showReport(core)));
  assert.deepEqual(
    [lines[0]!.replace(/^.*: /, ''), ...lines.slice(1)],
    [
      'core of x\\x1b]0;owned\\x07, pid 7',
      '  command     x\\x1b]0;owned\\x07 --x',
      '  T0          2026-11-24T03:33:54.123456789Z, the memory is of this instant',
      '  pause       0.23 ms',
      '  written by  livecore 0.1.0 (protect) on Linux 6.18.44',
      '  complete    no: 4 KiB lost',
      '  file        24 KiB',
      '',
      'threads: 2',
      '       TID  RIP                 RSP                 SIGNAL    NAME',
      '         7  0x0000000000401000  0x00007ffe00000000  -         x\\x1b]0;owned\\x07',
      '         8  0x0000000000000810  0x0000000000000813  SIGSEGV   worker',
      '',
      'memory map: 3 ranges, 20 KiB, of which 12 KiB in this file',
      '  START-END                              RWX        SIZE     CONTENT  FILE',
      '  0x0000000000010000-0x0000000000012000  rw-       8 KiB       8 KiB',
      '  0x0000000000013000-0x0000000000014000  rw-       4 KiB       4 KiB',
      '  0x0000000000030000-0x0000000000032000  r-x       8 KiB           -  /lib/x\\x1b]0;owned\\x07 +0x5000',
      '',
      'unreliable (shown, but may have been written after T0): none',
      '',
      'lost (destroyed before it could be copied): 4 KiB',
      '  0x0000000000012000-0x0000000000013000       4 KiB  munmap',
      '',
      'left out by a rule: none',
    ],
  );
});

test('the report of an empty core of another tool', async () => {
  const lines = await withCore({ segments: [], process: { threads: [] } }, (core) =>
    Array.fromAsync(showReport(core)),
  );
  assert.deepEqual(
    [lines[0]!.replace(/^.*: /, ''), ...lines.slice(1)],
    [
      'core of a process that it does not name',
      '  written by  another tool, which does not say when and how',
      '  complete    yes, as far as the file tells',
      '  file        8 KiB',
      '',
      'threads: none',
      '',
      'memory map: 0 ranges, 0 bytes, of which 0 bytes in this file',
      '',
      'cut off with the end of the file: none',
    ],
  );
});

test('the records hold the same, names as they are', async () => {
  const records = await withCore(PARTS, (core) => Array.fromAsync(showRecords(core)));
  const json = records.map((record) => JSON.parse(escapeJson(JSON.stringify(record))));
  assert.deepEqual(
    json.map(({ type }) => type),
    ['core', 'thread', 'thread', 'mapping', 'mapping', 'mapping', 'range', 'summary'],
  );
  const { file, ...core } = json[0];
  assert.match(file, /\/core$/);
  assert.deepEqual(core, {
    type: 'core',
    fileBytes: 24_576,
    complete: false,
    pid: 7,
    name: HOSTILE,
    args: `${HOSTILE} --x `,
    state: 'S',
    uid: 1000,
    gid: 1001,
    t0: '2026-11-24T03:33:54.123456789Z',
    t0MonotonicNs: '9007199254740993',
    pauseMs: 0.23,
    strategy: 'protect',
    toolVersion: '0.1.0',
    kernelVersion: '6.18.44',
  });
  assert.deepEqual(
    [json[2].tid, json[2].name, json[2].signal, json[2].registers.rip],
    [8, 'worker', 11, '0x810'],
  );
  assert.deepEqual(json[5], {
    type: 'mapping',
    start: '0x30000',
    end: '0x32000',
    sizeBytes: 8192,
    contentBytes: 0,
    rights: 'r-x',
    path: `/lib/${HOSTILE}`,
    fileOffset: '0x5000',
  });
  const range = {
    type: 'range',
    kind: 'lost',
    start: '0x12000',
    end: '0x13000',
    sizeBytes: 4096,
    reason: 'munmap',
  };
  assert.deepEqual(json[6], range);
  assert.deepEqual(json[7], {
    type: 'summary',
    complete: false,
    threads: 2,
    mappings: 3,
    memoryBytes: 20_480,
    contentBytes: 12_288,
    unreliableBytes: 0,
    lostBytes: 4096,
    excludedBytes: 0,
  });
});
