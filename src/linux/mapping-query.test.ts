import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROCMAP_QUERY, PROCMAP_QUERY_COVERING_OR_NEXT_VMA } from './abi.ts';
import { ERRNO } from './errno.ts';
import { procmapQuery } from './layouts.ts';
import { MappingQuery } from './mapping-query.ts';
import { MappedMemory } from './memory.ts';
import { libc } from './native.ts';
import { readMaps } from './proc.ts';

const PAGE = 4096;

function supported(): boolean {
  using query = new MappingQuery('self');
  return query.find(PAGE) !== -ERRNO.ENOTTY;
}

const skip = supported() ? false : 'PROCMAP_QUERY came with Linux 6.11';

test('finds the mapping of an address, as /proc/self/maps has it', { skip }, () => {
  using memory = new MappedMemory(16 * PAGE);
  // A border of its own: the middle may not be executed any more, nor read.
  assert.equal(libc.mprotect(memory.address + 4 * PAGE, 8 * PAGE, 0), 0);
  using query = new MappingQuery('self');
  for (const page of [4, 7, 11]) {
    assert.equal(query.find(memory.address + page * PAGE), 0);
    assert.deepEqual([query.start, query.end], [memory.address + 4 * PAGE, memory.address + 12 * PAGE]);
  }
  const stack = readMaps('self').find(({ name }) => name === '[stack]')!;
  assert.equal(query.find(stack.end - 1), 0);
  assert.equal(query.end, stack.end);
});

test('where nothing is mapped there is none, and the next one is not taken for it', { skip }, () => {
  using memory = new MappedMemory(3 * PAGE);
  assert.equal(libc.munmap(memory.address + PAGE, PAGE), 0);
  using query = new MappingQuery('self');
  assert.equal(query.find(memory.address + PAGE), -ERRNO.ENOENT);
  assert.equal(PROCMAP_QUERY_COVERING_OR_NEXT_VMA, 0x10);
  assert.equal(query.findFrom(memory.address + PAGE), 0);
  assert.equal(query.start, memory.address + 2 * PAGE);
  assert.equal(query.findFrom(memory.address), 0);
  assert.equal(query.end, memory.address + PAGE);
});

test('the request carries the size of the struct', () => {
  // _IOWR('f', 17, struct procmap_query): direction, size, type and number (asm-generic/ioctl.h)
  assert.equal(PROCMAP_QUERY, 0xc000_0000 + procmapQuery.sizeBytes * 0x1_0000 + 0x6611);
});
