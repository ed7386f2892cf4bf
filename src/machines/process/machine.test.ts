/** What happens between two calls of the contract, and what an armed process looks like. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildTarget } from '../../../test/support/build.ts';
import { startChild } from '../../../test/support/child.ts';
import { startTarget } from '../../../test/support/targets.ts';
import { isRunning, until } from '../../../test/support/unharmed.ts';
import type { WriterReady } from '../../../test/support/writer.ts';
import { RangeList } from '../../engine/range-list.ts';
import { ERRNO } from '../../linux/errno.ts';
import { MappedMemory } from '../../linux/memory.ts';
import { ProcessHandle } from '../../linux/pidfd.ts';
import { listThreads } from '../../linux/proc.ts';
import { robustListHead } from '../../linux/robust-list.ts';
import { Attachment } from './attach.ts';
import { ProcessMachine } from './machine.ts';
import { PAGE_BYTES } from './pages.ts';

const writer = buildTarget('writer');
const skip = process.getuid?.() === 0 ? writer.skip : 'tracing a process takes root';

test('killed while it is being held, it has no T0', { skip }, async () => {
  // Of another parent: what is traced here is waited for here, and Node would not hear of its end.
  const args = ['-c', '"$@"; true', 'sh', writer.path, '--mib', 4, '--threads', 2, '--rate', 1000];
  using parent = await startChild<WriterReady>('sh', args);
  const { pid } = parent.ready;
  using staging = new MappedMemory(PAGE_BYTES);
  using target = new ProcessHandle(pid);
  using machine = new ProcessMachine(new Attachment(target, { all: true, staging, marker: 0n }));
  while (!machine.survey(new RangeList()));
  machine.beginHold();
  process.kill(pid, 'SIGKILL');
  await until(() => !isRunning(pid), 'it has ended');
  const hold = (): void => {
    while (machine.continueHold() !== 'held');
    machine.initial(new RangeList(), new RangeList(), new RangeList());
  };
  assert.throws(hold, { code: 'TARGET_GONE' });
});

test('words that can not be released when they are found are released later, and nothing is protected before', {
  skip,
}, async () => {
  using child = await startChild<WriterReady>(writer.path, ['--mib', 4, '--threads', 2, '--rate', 1000]);
  using staging = new MappedMemory(PAGE_BYTES);
  using target = new ProcessHandle(child.pid);
  const attached = new Attachment(target, { all: true, staging, marker: 0n });
  using machine = new ProcessMachine(attached);
  const { userfaultfd } = attached;
  const release = userfaultfd.writeProtect.bind(userfaultfd);
  const refused = new Set<number>();
  let removing = true;
  userfaultfd.writeProtect = (start, length, on) => {
    if (on || !removing) {
      refused.delete(start);
      return release(start, length, on);
    }
    refused.add(start);
    return -ERRNO.EAGAIN;
  };
  // Nothing at all is protected here, but the words are looked at, for the first time.
  assert.equal(machine.protect(0, 0), false);
  assert.ok(refused.size > 0);
  removing = false;
  assert.equal(machine.protect(0, 0), true);
  assert.equal(refused.size, 0);
});

test('what is armed is protected, but the blocks in which the kernel writes when a thread dies', {
  skip,
}, async () => {
  // In memory that nobody writes: its threads sleep, each with its words on a stack of its own.
  await using child = await startTarget('idle', { args: ['--only', 'pause'] });
  using staging = new MappedMemory(PAGE_BYTES);
  using target = new ProcessHandle(child.pid);
  const attached = new Attachment(target, { all: true, staging, marker: 0n });
  using machine = new ProcessMachine(attached);
  const found = new RangeList();
  while (!machine.survey(found));
  for (const { first, count } of found) assert.equal(machine.protect(first, count), true);
  const words = listThreads(child.pid).map((tid) => Math.floor(robustListHead(tid) / PAGE_BYTES));
  assert.equal(words.length, 2);
  for (const block of words) {
    const { mapping } = attached.space.regionAt(block * PAGE_BYTES)!;
    const isProtected = new RangeList();
    attached.pages.protected(mapping.start, mapping.end, isProtected);
    assert.equal(isProtected.has(block), false, `${block}`);
    assert.ok(isProtected.blocks > 0, 'others of its mapping are');
  }
});
