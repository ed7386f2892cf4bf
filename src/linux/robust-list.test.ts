import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from './errno.ts';
import { robustListHead as layout } from './layouts.ts';
import { MappedMemory } from './memory.ts';
import { ProcessMemory } from './process-memory.ts';
import { robustListHead } from './robust-list.ts';

test('the head of a thread that holds no robust mutex points to itself', () => {
  const head = robustListHead(process.pid);
  assert.ok(head > 0);
  using memory = new ProcessMemory(process.pid);
  using copy = new MappedMemory(4096);
  assert.equal(memory.read(head, copy.address, layout.sizeBytes), layout.sizeBytes);
  assert.equal(copy.word(layout.at['list.next']), head);
  assert.equal(copy.word(layout.at.list_op_pending), 0);
});

test('a thread that is not there is an error', () => {
  assert.equal(robustListHead(2 ** 22 + 1), -ERRNO.ESRCH);
});
