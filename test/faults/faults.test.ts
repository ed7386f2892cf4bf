/** Every call of `src/linux` is a point, and its errors are known; killed where a thread carries our calls, it goes home. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { listProcesses } from '../../src/linux/proc.ts';
import { noLiveDump } from '../support/live-dump.ts';
import { isRunning, until } from '../support/unharmed.ts';
import { ERRORS } from './errors.ts';
import { findPoints, pointsIn } from './points.ts';
import { SCENES, Victims } from './trial.ts';

test('every call is a point whose errors are known', () => {
  const names = findPoints().map(({ name }) => name);
  assert.deepEqual(names.toSorted(), Object.keys(ERRORS).toSorted());
});

test('a new call is found, and named by where it stands', () => {
  const text = `class A {\n  b(): void {\n    libc.ioctl(this.fd, UFFDIO_API, 0);\n  }\n}\nexport function c() {\n  libc.syscall(SYS_kcmp, 0);\n}\n`;
  assert.deepEqual(
    pointsIn('x.ts', text).map(({ name, line }) => `${name} ${line}`),
    ['x.b.UFFDIO_API 3', 'x.c.kcmp 7'],
  );
});

/** All `cat /dev/zero` that run. */
function actors(): Set<number> {
  const isOne = (pid: number): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1') === 'cat\0/dev/zero\0' && isRunning(pid);
    } catch {
      return false; // it has ended
    }
  };
  return new Set(listProcesses().filter(isOne));
}

test('killed in its rehearsal, the process of that ends by a limit that nothing can block', {
  skip: noLiveDump,
}, async () => {
  await using victims = await Victims.start();
  const before = actors();
  const { reached } = await victims.try(SCENES[0]!, 'ptrace.request.ptrace@#step:kill:1');
  assert.equal(reached, true);
  const left = (): number[] => [...actors()].filter((pid) => !before.has(pid));
  try {
    await until(() => left().length === 0, 'its process has ended');
  } finally {
    for (const pid of left()) process.kill(pid, 'SIGKILL');
  }
});

/** Between the first change of a thread's state and the last that puts it back. */
const MOMENTS = ['blockSignals', '#point', '#step', 'call', 'restore', 'end'].flatMap((caller) =>
  ['kill', 'killed'].map((what) => `ptrace.request.ptrace@${caller}/live:${what}:1`),
);

test('killed while a thread carries a call, nothing of the target has changed', {
  skip: noLiveDump,
}, async () => {
  await using victims = await Victims.start();
  for (const fault of MOMENTS) {
    const { reached, complaints } = await victims.try(SCENES[0]!, fault);
    assert.deepEqual({ fault, reached, complaints }, { fault, reached: true, complaints: [] });
  }
  assert.deepEqual(await victims.end(), []);
});
