import assert from 'node:assert/strict';
import { fstatSync } from 'node:fs';
import { test } from 'node:test';
import { F_GETFD, FD_CLOEXEC, KCMP_FILE, O_CLOEXEC, O_RDONLY, SOCK_SEQPACKET, SOCK_STREAM } from './abi.ts';
import { ERRNO } from './errno.ts';
import { closeFile, controlFile, openFile, writeFile } from './file.ts';
import { MappedMemory } from './memory.ts';
import { compareTasks } from './pidfd.ts';
import { receiveDescriptor, sendDescriptor, socketPair } from './socket.ts';

for (const [name, type] of [
  ['stream', SOCK_STREAM],
  ['packets', SOCK_SEQPACKET],
] as const) {
  test(`a descriptor travels over a socket of ${name}`, () => {
    const [near, far] = socketPair(type);
    const fd = openFile('/etc/hostname', O_RDONLY | O_CLOEXEC);
    assert.equal(receiveDescriptor(far), -ERRNO.EAGAIN);
    assert.equal(sendDescriptor(near, fd), 0);
    const received = receiveDescriptor(far);
    assert.ok(received > 2 && received !== fd);
    assert.equal(fstatSync(received).ino, fstatSync(fd).ino);
    assert.equal(compareTasks(process.pid, process.pid, KCMP_FILE, fd, received), 0);
    assert.equal(controlFile(received, F_GETFD, 0), FD_CLOEXEC);
    assert.equal(receiveDescriptor(far), -ERRNO.EAGAIN);
    for (const each of [near, far, fd, received]) closeFile(each);
  });
}

test('a message without a descriptor, and an end, are told', () => {
  using memory = new MappedMemory(4096);
  const [near, far] = socketPair(SOCK_STREAM);
  writeFile(near, memory.address, 1);
  assert.equal(receiveDescriptor(far), -ERRNO.ENODATA);
  closeFile(near);
  assert.equal(receiveDescriptor(far), -ERRNO.ENODATA);
  assert.equal(sendDescriptor(far, far), -ERRNO.EPIPE);
  closeFile(far);
});

test('sending never waits for room', () => {
  const [near, far] = socketPair(SOCK_SEQPACKET);
  let sent = 0;
  let result = 0;
  while (sent < 100_000 && result === 0) {
    result = sendDescriptor(near, near);
    sent++;
  }
  assert.equal(result, -ERRNO.EAGAIN);
  closeFile(far);
  closeFile(near);
  assert.equal(sendDescriptor(near, near), -ERRNO.EBADF);
});
