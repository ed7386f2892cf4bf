import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { buildTarget } from '../../test/support/build.ts';
import { startChild } from '../../test/support/child.ts';
import { requireProgram } from '../../test/support/packages.ts';
import { SYS_clock_nanosleep, SYS_read } from './abi.ts';
import { ERRNO } from './errno.ts';
import { listThreads, readMaps } from './proc.ts';
import { CurrentSyscall, RUNNING, TaskList } from './proc-tasks.ts';

const target = buildTarget('waits');
const python = requireProgram('python3', 'python3');

function idsOf(tasks: TaskList): number[] {
  const count = tasks.read();
  return Array.from({ length: count }, (_, index) => tasks.id(index));
}

test('threads are listed anew each time', async () => {
  using tasks = new TaskList(process.pid);
  const before = idsOf(tasks);
  assert.deepEqual(before, listThreads('self'));
  const worker = new Worker('setInterval(() => {}, 1000)', { eval: true });
  await once(worker, 'online');
  assert.ok(tasks.read() > before.length);
  await worker.terminate();
  assert.deepEqual(idsOf(tasks), listThreads('self'));
});

const MANY_THREADS = `import sys, threading
for _ in range(1500): threading.Thread(target=threading.Event().wait, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()`;

test('more threads than the first room holds are listed', { skip: python.skip }, async () => {
  const child = spawn(python.path, ['-c', MANY_THREADS]);
  await once(child.stdout, 'data');
  using tasks = new TaskList(child.pid!);
  const ids = idsOf(tasks);
  assert.equal(ids.length, 1501);
  assert.equal(new Set(ids).size, 1501);
  assert.equal(ids[0], child.pid);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(tasks.read(), -ERRNO.ENOENT);
});

test('a sleeping thread names its call and arguments', { skip: target.skip }, async () => {
  await using child = await startChild(target.path, ['--call', 'nanosleep']);
  using syscall = new CurrentSyscall(child.pid, child.pid);
  while (syscall.read() === 0 && syscall.number !== SYS_clock_nanosleep) await new Promise(setImmediate);
  // clock, flags, and an address on the stack
  assert.deepEqual([...syscall.arguments.subarray(0, 2)], [0, 0]);
  const stack = readMaps(child.pid).find(({ name }) => name === '[stack]')!;
  for (const address of [syscall.arguments[2]!, syscall.stackPointer]) {
    assert.ok(address >= stack.start && address < stack.end, `${address}`);
  }
  const code = readMaps(child.pid).find(
    ({ start, end }) => start <= syscall.instructionPointer && syscall.instructionPointer < end,
  );
  assert.ok(code!.execute);
  child.kill('SIGKILL');
  await child.exited;
  assert.equal(syscall.read(), -ERRNO.ESRCH);
});

test('a reading thread names its descriptor and length', { skip: target.skip }, async () => {
  await using child = await startChild(target.path, ['--call', 'read']);
  using syscall = new CurrentSyscall(child.pid, child.pid);
  while (syscall.read() === 0 && syscall.number !== SYS_read) await new Promise(setImmediate);
  assert.deepEqual([syscall.arguments[0], syscall.arguments[2]], [3, 1]);
});

test('a running thread is told', { skip: target.skip }, async () => {
  await using child = await startChild(target.path, ['--call', 'spin']);
  using syscall = new CurrentSyscall(child.pid, child.pid);
  while (syscall.read() === 0 && syscall.number !== RUNNING) await new Promise(setImmediate);
  assert.equal(syscall.number, RUNNING);
  assert.ok(syscall.arguments.every((value) => value === 0));
});
