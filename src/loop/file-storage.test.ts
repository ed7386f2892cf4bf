import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CoreLayout, layoutCore } from '../formats/elf-core/layout.ts';
import { O_CREAT, O_DIRECT, O_RDWR } from '../linux/abi.ts';
import { closeFile, openFile, readFileAt } from '../linux/file.ts';
import { MappedMemory } from '../linux/memory.ts';
import { FileStorage, openStorageQueue } from './file-storage.ts';

const BLOCK_BYTES = 4096;
const BUFFER_BYTES = 2 ** 20;
const BLOCKS = 96;

/** Blocks 0 to 95, of which some were armed and are in no segment: their mapping was gone by T0. */
function layoutWithout(gaps: ReadonlySet<number>): CoreLayout {
  const page = BigInt(BLOCK_BYTES);
  return layoutCore(
    Array.from({ length: BLOCKS }, (_, block) => BigInt(block))
      .filter((block) => !gaps.has(Number(block)))
      .map((block) => ({ start: block * page, end: (block + 1n) * page, flags: 0, stored: true })),
  );
}

class TestFile implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'livecore-storage-'));
  readonly fd: number;

  constructor() {
    const path = join(this.#folder, 'file');
    const direct = openFile(path, O_RDWR | O_CREAT | O_DIRECT, 0o600);
    this.fd = direct >= 0 ? direct : openFile(path, O_RDWR | O_CREAT, 0o600);
    assert.ok(this.fd >= 0);
  }

  /** The first word of a block of the file; 0 past its end. */
  word(offset: number): number {
    using memory = new MappedMemory(BLOCK_BYTES);
    assert.ok(readFileAt(this.fd, memory.address, BLOCK_BYTES, offset) >= 0);
    return memory.uint32[0]!;
  }

  [Symbol.dispose](): void {
    closeFile(this.fd);
    rmSync(this.#folder, { recursive: true });
  }
}

/** Stores a run as the engine does, each block with its own number in it; false where there is no room. */
function store(storage: FileStorage, first: number, count: number, urgent: boolean): boolean {
  const offset = storage.open(count, urgent);
  if (offset < 0) return false;
  for (let block = 0; block < count; block++)
    storage.memory.uint32[(offset + block * BLOCK_BYTES) >>> 2] = first + block + 1;
  storage.store(first, count, offset);
  storage.close(offset);
  return true;
}

test('what is said to be written is in the file, whatever comes in whatever order', () => {
  const act = fc.record({
    at: fc.nat(BLOCKS - 1),
    count: fc.integer({ min: 1, max: 9 }),
    urgent: fc.boolean(),
  });
  const gap = fc.array(fc.nat(BLOCKS - 1), { maxLength: 40 });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 60 }), gap, fc.boolean(), (acts, gapBlocks, early) => {
      using file = new TestFile();
      using queue = openStorageQueue(file.fd);
      using storage = new FileStorage(file.fd, queue, BUFFER_BYTES);
      const gaps = new Set(gapBlocks);
      const layout = layoutWithout(gaps);
      const done = new Set<number>();
      // What has no place at T0 is found absent when its turn comes, and until then it is undone like the rest.
      const undone = (): number =>
        Array.from({ length: BLOCKS }, (_, block) => block).find((b) => !done.has(b)) ?? Infinity;
      const lookAt = (upTo: number): void => {
        for (let block = 0; block < BLOCKS; block++) {
          const offset = layout.fileOffset(block * BLOCK_BYTES);
          if (offset >= 0 && offset < upTo) assert.equal(file.word(offset), block + 1, `block ${block}`);
        }
      };
      if (!early) storage.place(layout);
      for (const { at, count, urgent } of [
        ...acts,
        ...Array.from({ length: BLOCKS }, (_, at) => ({ at, count: 1, urgent: at % 2 === 0 })),
      ]) {
        for (let block = at; block < Math.min(BLOCKS, at + count); ) {
          let end = block;
          while (end < Math.min(BLOCKS, at + count) && !done.has(end) && gaps.has(end) === gaps.has(block))
            end++;
          if (end > block && !gaps.has(block)) {
            while (!store(storage, block, end - block, urgent)) {
              storage.place(layout);
              storage.pump();
            }
          }
          for (let stored = block; stored < end; stored++) done.add(stored);
          block = Math.max(end, block + 1);
        }
        storage.rehearse();
        storage.pump();
        lookAt(storage.writtenUpTo(undone()));
      }
      storage.place(layout);
      assert.equal(undone(), Number.POSITIVE_INFINITY);
      storage.finish();
      assert.equal(storage.writtenUpTo(undone()), layout.tailOffset);
      lookAt(layout.tailOffset);
    }),
    { numRuns: 20 },
  );
});
