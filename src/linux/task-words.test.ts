/** What the kernel says of its tasks, against what can be known otherwise. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { buildTarget } from '../../test/support/build.ts';
import { startTarget } from '../../test/support/targets.ts';
import { KernelTypes } from './btf.ts';
import { listThreads } from './proc.ts';
import { robustListHead } from './robust-list.ts';
import { TaskWords } from './task-words.ts';

const opened = TaskWords.open([process.pid]);
const skip =
  buildTarget('still').skip ||
  (typeof opened === 'number' && `this kernel does not let us: errno ${-opened}`);
if (typeof opened !== 'number') opened[Symbol.dispose]();

/** glibc keeps the id of a thread, which the kernel clears, right before the head of its robust list. */
const GLIBC_TID_BEFORE_HEAD = 16;

suite('words of tasks', { skip }, () => {
  test('all threads, their words where glibc has them, and nobody else', async () => {
    await using target = await startTarget('compute', { args: ['--threads', 5] });
    using words = TaskWords.open([target.pid]) as TaskWords;
    const told: [number, number][] = [];
    assert.equal(
      words.read((address, head) => told.push([address, head])),
      6,
    );
    const heads = listThreads(target.pid).map(robustListHead);
    assert.deepEqual(
      told.toSorted(([left], [right]) => left - right),
      heads.toSorted((left, right) => left - right).map((head) => [head - GLIBC_TID_BEFORE_HEAD, head]),
    );
  });

  test('of several processes; again when it is read again; none of one that has ended', async () => {
    await using one = await startTarget('compute', { args: ['--threads', 2] });
    await using other = await startTarget('compute', { args: ['--threads', 1] });
    using words = TaskWords.open([one.pid, other.pid]) as TaskWords;
    const count = (): number => words.read(() => {});
    assert.deepEqual([count(), count()], [5, 5]);
    await other.end();
    assert.equal(count(), 3);
  });
});

test('types of the kernel: what is not there is not found', { skip }, () => {
  using types = new KernelTypes();
  assert.equal(types.functionId('no_such_function_of_the_kernel'), undefined);
  assert.equal(types.offsets('no_such_struct', ['pid']), undefined);
  assert.equal(types.offsets('task_struct', ['no_such_member']), undefined);
  // Documentation/bpf/btf.rst: a list head is its two links, whatever the kernel.
  assert.deepEqual(types.offsets('list_head', ['next', 'prev']), { next: 0, prev: 8 });
});
