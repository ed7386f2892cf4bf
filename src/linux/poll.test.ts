import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, SOCK_STREAM } from './abi.ts';
import { ERRNO } from './errno.ts';
import { closeFile, readFile, writeFile } from './file.ts';
import { MappedMemory } from './memory.ts';
import { interpose } from './native.ts';
import { PollSet, sleepNs } from './poll.ts';
import { socketPair } from './socket.ts';

const memory = new MappedMemory(4096);
after(() => memory[Symbol.dispose]());

test('only what is ready is told, at its place', () => {
  const [a, b] = socketPair(SOCK_STREAM);
  const poll = new PollSet(3);
  poll.set(0, a, POLLIN);
  poll.set(2, b, POLLIN);
  assert.equal(poll.wait(0), 0);
  assert.deepEqual([poll.ready(0), poll.ready(1), poll.ready(2)], [0, 0, 0]);
  assert.equal(writeFile(a, memory.address, 3), 3);
  assert.equal(poll.wait(-1), 1);
  assert.deepEqual([poll.ready(0), poll.ready(1), poll.ready(2)], [0, 0, POLLIN]);
  assert.equal(readFile(b, memory.address, 10), 3);
  assert.equal(poll.wait(0), 0);
  assert.equal(poll.ready(2), 0);
  poll.set(0, a, POLLOUT);
  assert.equal(poll.wait(1e9), 1);
  assert.equal(poll.ready(0), POLLOUT);
  poll.clear(0);
  closeFile(a);
  assert.equal(poll.wait(-1), 1);
  assert.equal(poll.ready(2), POLLIN | POLLHUP);
  closeFile(b);
  assert.equal(poll.wait(0), 1);
  assert.equal(poll.ready(2), POLLNVAL);
});

test('an unset place never wakes', () => {
  const poll = new PollSet(2);
  assert.equal(poll.wait(1000), 0);
  assert.equal(poll.ready(0) & (POLLERR | POLLNVAL), 0);
});

test('a wait is not shorter than asked when nothing comes', () => {
  const before = process.hrtime.bigint();
  sleepNs(20_000_000);
  assert.ok(process.hrtime.bigint() - before >= 20_000_000n);
});

test('a signal ends the wait with nothing ready, a failure is told', () => {
  const [a, b] = socketPair(SOCK_STREAM);
  const poll = new PollSet(1);
  poll.set(0, b, POLLIN);
  writeFile(a, memory.address, 1);
  assert.equal(poll.wait(0), 1);
  try {
    interpose((name, original, fail) => (name === 'ppoll' ? () => fail(ERRNO.EINTR) : original));
    assert.equal(poll.wait(0), 0);
    // what the wait before had found is forgotten
    assert.equal(poll.ready(0), 0);
    interpose((name, original, fail) => (name === 'ppoll' ? () => fail(ERRNO.ENOMEM) : original));
    assert.equal(poll.wait(0), -ERRNO.ENOMEM);
  } finally {
    interpose(undefined);
  }
  assert.equal(poll.wait(0), 1);
  closeFile(a);
  closeFile(b);
});
