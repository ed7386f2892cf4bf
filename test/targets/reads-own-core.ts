/** Dumps itself into a pipe that it reads itself, through a spool that holds a part of it, and tells what it has read. */
import { execFileSync } from 'node:child_process';
import { constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dump } from '../../src/index.ts';

const MIB = 2 ** 20;
const MEMORY_BYTES = 128 * MIB;
const PIECE_BYTES = 1024 * 1024;

// A mark at the start of each page, made here so that no other place of memory holds all of them.
const memory = Buffer.alloc(MEMORY_BYTES);
for (let at = 0; at < MEMORY_BYTES; at += 4096) memory.writeDoubleLE(Math.PI * (at + 1), at);

const folder = mkdtempSync(join(tmpdir(), 'livecore-own-'));
const path = join(folder, 'pipe');
execFileSync('mkfifo', [path]);
const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
const outputFd = openSync(path, constants.O_WRONLY);
rmSync(folder, { recursive: true });

let over = false;
const dumped = dump(process.pid, {
  outputFd,
  spoolBytes: 32 * MIB,
  maxStallMs: 10_000,
  readerTimeoutMs: 120_000,
  force: true,
}).finally(() => {
  over = true;
});
dumped.catch(() => {});

const piece = Buffer.alloc(PIECE_BYTES);
const key = memory.subarray(MEMORY_BYTES / 2, MEMORY_BYTES / 2 + 8);
let found = false;
let read = 0;
for (;;) {
  const count = readSome();
  read += count;
  if (!found) found = piece.subarray(0, count).includes(key);
  if (count > 0) continue;
  if (over) break;
  await new Promise((r) => setImmediate(r));
}
const { fileBytes } = await dumped;
// It is written while it is streamed.
memory.fill(1);
process.stdout.write(JSON.stringify({ read, fileBytes, found }));

function readSome(): number {
  try {
    return readSync(readFd, piece);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
    throw error;
  }
}
