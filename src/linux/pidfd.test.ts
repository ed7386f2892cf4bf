import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync, statSync } from 'node:fs';
import { test } from 'node:test';
import {
  KCMP_FILE,
  KCMP_FILES,
  KCMP_VM,
  O_CLOEXEC,
  O_RDONLY,
  PIDFD_THREAD,
  SIGKILL,
  SYS_pidfd_open,
} from './abi.ts';
import { ERRNO } from './errno.ts';
import { closeFile, openFile } from './file.ts';
import { errno, libc } from './native.ts';
import { compareTasks, openPidfd, openThreadPidfd, sendSignal, takeDescriptor } from './pidfd.ts';
import { listThreads } from './proc.ts';

test('a process is signalled by its descriptor, and is gone after', async () => {
  const child = spawn('sleep', ['1000']);
  const pidfd = openPidfd(child.pid!);
  assert.equal(sendSignal(pidfd, 0), 0);
  assert.equal(sendSignal(pidfd, SIGKILL), 0);
  const [, signal] = await once(child, 'exit');
  assert.equal(signal, 'SIGKILL');
  assert.equal(sendSignal(pidfd, 0), -ERRNO.ESRCH);
  assert.equal(openPidfd(child.pid!), -ERRNO.ESRCH);
  closeFile(pidfd);
});

test('a descriptor of another process becomes ours', async () => {
  const child = spawn('sleep', ['1000'], {
    stdio: ['ignore', 'ignore', openFile('/etc/hostname', O_RDONLY | O_CLOEXEC)],
  });
  const pidfd = openPidfd(child.pid!);
  const taken = takeDescriptor(pidfd, 2);
  assert.ok(taken > 2);
  assert.equal(fstatSync(taken).ino, statSync('/etc/hostname').ino);
  assert.equal(compareTasks(process.pid, child.pid!, KCMP_FILE, taken, 2), 0);
  assert.equal(takeDescriptor(pidfd, 999), -ERRNO.EBADF);
  for (const fd of [taken, pidfd]) closeFile(fd);
  child.kill('SIGKILL');
  await once(child, 'exit');
});

test('a thread has a descriptor of its own kind', (context) => {
  const tid = listThreads('self').find((id) => id !== process.pid)!;
  const thread = openThreadPidfd(tid);
  if (thread === -ERRNO.EINVAL) return context.skip('no PIDFD_THREAD (6.9)');
  assert.ok(thread > 2);
  // without the flag a thread id is not a process
  assert.ok([-ERRNO.EINVAL, -ERRNO.ENOENT].includes(openPidfd(tid)));
  assert.equal(libc.syscall(SYS_pidfd_open, tid, PIDFD_THREAD * 2, 0, 0, 0, 0), -1);
  assert.equal(errno(), ERRNO.EINVAL);
  const duplicate = takeDescriptor(thread, 2);
  assert.equal(compareTasks(process.pid, tid, KCMP_FILE, 2, duplicate), 0);
  for (const fd of [thread, duplicate]) closeFile(fd);
});

test('tasks are compared by what they share', async () => {
  const child = spawn('sleep', ['1000']);
  const tid = listThreads('self').find((id) => id !== process.pid)!;
  for (const type of [KCMP_VM, KCMP_FILES]) {
    assert.equal(compareTasks(process.pid, tid, type), 0);
    assert.ok([1, 2].includes(compareTasks(process.pid, child.pid!, type)));
  }
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(compareTasks(process.pid, child.pid!, KCMP_VM), -ERRNO.ESRCH);
});
