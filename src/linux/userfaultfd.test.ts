import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { buildTarget } from '../../test/support/build.ts';
import { type Child, startChild } from '../../test/support/child.ts';
import {
  POLLIN,
  UFFD_EVENT_FORK,
  UFFD_EVENT_PAGEFAULT,
  UFFD_EVENT_REMAP,
  UFFD_EVENT_REMOVE,
  UFFD_EVENT_UNMAP,
  UFFD_FEATURE_EVENT_FORK,
  UFFD_FEATURE_EVENT_REMAP,
  UFFD_FEATURE_EVENT_REMOVE,
  UFFD_FEATURE_EVENT_UNMAP,
  UFFD_FEATURE_EXACT_ADDRESS,
  UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  UFFD_FEATURE_THREAD_ID,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
  UFFD_FEATURE_WP_UNPOPULATED,
  UFFD_PAGEFAULT_FLAG_WP,
  UFFD_PAGEFAULT_FLAG_WRITE,
} from './abi.ts';
import { ERRNO } from './errno.ts';
import { closeFile } from './file.ts';
import { MappedMemory } from './memory.ts';
import { Pagemap } from './pagemap.ts';
import { openPidfd, takeDescriptor } from './pidfd.ts';
import { PollSet } from './poll.ts';
import { createUserfaultfd, Userfaultfd } from './userfaultfd.ts';

const PAGE = 4096;
const target = buildTarget('faults');
const skip = target.skip || (process.getuid!() !== 0 && 'needs root');
const poll = new PollSet(1);
const tenSeconds = 10e9;

interface Ready {
  readonly uffd: number;
  readonly address: number;
  readonly length: number;
  readonly tid: number;
}

/** A target with protectable memory, and its userfaultfd in our hands. */
class Faults implements AsyncDisposable {
  readonly child: Child<Ready>;
  readonly protector: Userfaultfd;

  private constructor(child: Child<Ready>, protector: Userfaultfd) {
    this.child = child;
    this.protector = protector;
  }

  static async start(features = UFFD_FEATURE_PAGEFAULT_FLAG_WP): Promise<Faults> {
    const child = await startChild<Ready>(target.path, ['--features', features]);
    const pidfd = openPidfd(child.pid);
    const fd = takeDescriptor(pidfd, child.ready.uffd);
    closeFile(pidfd);
    assert.ok(fd >= 0, `pidfd_getfd gave ${fd}`);
    return new Faults(child, new Userfaultfd(fd));
  }

  get address(): number {
    return this.child.ready.address;
  }

  page(index: number): number {
    return this.address + index * PAGE;
  }

  /** Waits until there is a message, reads it, and says that it is the only one. */
  nextMessage(): void {
    poll.set(0, this.protector.fd, POLLIN);
    assert.equal(poll.wait(tenSeconds), 1);
    assert.equal(poll.ready(0), POLLIN);
    assert.equal(this.protector.read(), 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.protector[Symbol.dispose]();
    await this.child[Symbol.asyncDispose]();
  }
}

/** Whether a promise is still pending after the event loop had its turns. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const waited = new Promise((resolve) => setTimeout(resolve, 50, 'waited'));
  return (await Promise.race([promise, waited])) === 'waited';
}

after(() => poll.clear(0));

test('a handshake tells what there is, and refuses what there is not', { skip }, () => {
  const probe = createUserfaultfd();
  const features = probe.handshake(0);
  probe[Symbol.dispose]();
  assert.notEqual(features & UFFD_FEATURE_PAGEFAULT_FLAG_WP, 0);
  assert.notEqual(features & UFFD_FEATURE_WP_HUGETLBFS_SHMEM, 0);
  using refusing = createUserfaultfd();
  assert.throws(() => refusing.handshake(2 ** 40), { code: 'SYSTEM_CALL', errno: ERRNO.EINVAL });
});

test('a write to a protected page waits for the release of that page', { skip }, async () => {
  await using faults = await Faults.start(UFFD_FEATURE_THREAD_ID);
  const { child, protector } = faults;
  assert.equal(protector.register(faults.address, child.ready.length), 0);
  assert.equal(protector.writeProtect(faults.address, child.ready.length, true), 0);
  assert.equal(protector.read(), 0);
  const write = child.ask<{ value: number }>('write 5 77');
  poll.set(0, protector.fd, POLLIN);
  assert.equal(poll.wait(tenSeconds), 1);
  assert.equal(protector.pending(), 1);
  assert.equal(protector.read(), 1);
  assert.equal(protector.pending(), 0);
  assert.equal(protector.event(0), UFFD_EVENT_PAGEFAULT);
  assert.equal(protector.faultAddress(0), faults.page(5));
  assert.equal(protector.faultFlags(0), UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE);
  assert.equal(protector.faultThread(0), child.ready.tid);
  assert.ok(await isPending(write));
  assert.equal(protector.writeProtect(faults.page(5), PAGE, false), 0);
  assert.deepEqual(await write, { value: 77 });
  // the page is free now, its neighbours are not
  assert.deepEqual(await child.ask('write 5 78'), { value: 78 });
  using pagemap = new Pagemap(child.pid, { capacity: 8 });
  pagemap.readEntries(faults.page(4), 3);
  assert.deepEqual(
    [0, 1, 2].map((index) => pagemap.isProtected(index)),
    [true, false, true],
  );
});

test('a wake alone lets the writer fault again', { skip }, async () => {
  await using faults = await Faults.start();
  const { child, protector } = faults;
  protector.register(faults.address, child.ready.length);
  protector.writeProtect(faults.address, child.ready.length, true);
  const write = child.ask('write 1 1');
  faults.nextMessage();
  assert.equal(protector.wake(faults.page(1), PAGE), 0);
  faults.nextMessage();
  assert.equal(protector.faultAddress(0), faults.page(1));
  assert.ok(await isPending(write));
  protector.writeProtect(faults.page(1), PAGE, false);
  await write;
});

test('an exact address names the word', { skip }, async () => {
  await using faults = await Faults.start(UFFD_FEATURE_EXACT_ADDRESS);
  const { child, protector } = faults;
  protector.register(faults.address, PAGE);
  protector.writeProtect(faults.address, PAGE, true);
  const write = child.ask('write 0 1 24');
  faults.nextMessage();
  assert.equal(protector.faultAddress(0), faults.address + 24);
  protector.writeProtect(faults.address, PAGE, false);
  await write;
});

test('unregistering frees who waits to write, whether or not the message was read', { skip }, async () => {
  await using faults = await Faults.start();
  const { child, protector } = faults;
  protector.register(faults.address, child.ready.length);
  protector.writeProtect(faults.address, child.ready.length, true);
  const first = child.ask('write 1 1');
  faults.nextMessage();
  assert.equal(protector.unregister(faults.address, 8 * PAGE), 0);
  assert.deepEqual(await first, { value: 1 });
  assert.equal(protector.writeProtect(faults.address, PAGE, true), -ERRNO.ENOENT);
  const second = child.ask('write 9 2');
  poll.set(0, protector.fd, POLLIN);
  assert.equal(poll.wait(tenSeconds), 1);
  assert.equal(protector.unregister(faults.page(8), child.ready.length - 8 * PAGE), 0);
  assert.deepEqual(await second, { value: 2 });
  assert.equal(protector.read(), 0);
});

test('madvise waits until its event is read, content intact', { skip }, async () => {
  await using faults = await Faults.start(UFFD_FEATURE_EVENT_REMOVE);
  const { child, protector } = faults;
  protector.register(faults.address, child.ready.length);
  const removal = child.ask<{ result: number }>('dontneed 4 3');
  poll.set(0, protector.fd, POLLIN);
  assert.equal(poll.wait(tenSeconds), 1);
  assert.ok(await isPending(removal));
  // the kernel refuses to protect while memory is being removed
  assert.equal(protector.writeProtect(faults.address, PAGE, true), -ERRNO.EAGAIN);
  using pagemap = new Pagemap(child.pid, { capacity: 8 });
  pagemap.readEntries(faults.page(4), 3);
  assert.deepEqual(
    [0, 1, 2].map((index) => pagemap.isPresent(index)),
    [true, true, true],
  );
  assert.equal(protector.read(), 1);
  assert.equal(protector.event(0), UFFD_EVENT_REMOVE);
  assert.deepEqual([protector.rangeStart(0), protector.rangeEnd(0)], [faults.page(4), faults.page(7)]);
  assert.deepEqual(await removal, { result: 0 });
  pagemap.readEntries(faults.page(4), 3);
  assert.deepEqual(
    [0, 1, 2].map((index) => pagemap.isPresent(index)),
    [false, false, false],
  );
});

test('munmap and mremap tell their ranges', { skip }, async () => {
  await using faults = await Faults.start(UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP);
  const { child, protector } = faults;
  protector.register(faults.address, child.ready.length);
  const unmap = child.ask('unmap 10 2');
  faults.nextMessage();
  assert.equal(protector.event(0), UFFD_EVENT_UNMAP);
  assert.deepEqual([protector.rangeStart(0), protector.rangeEnd(0)], [faults.page(10), faults.page(12)]);
  await unmap;
  const remap = child.ask<{ to: number }>('remap 20 4');
  const events: number[] = [];
  while (!events.includes(UFFD_EVENT_REMAP)) {
    faults.nextMessage();
    events.push(protector.event(0));
  }
  const [from, to, length] = [protector.rangeStart(0), protector.remapTo(0), protector.remapLength(0)];
  // the old place is told as unmapped too
  if (await isPending(remap)) faults.nextMessage();
  assert.deepEqual([from, to, length], [faults.page(20), (await remap).to, 4 * PAGE]);
});

test('a fork hands out the userfaultfd of the child', { skip }, async () => {
  await using faults = await Faults.start(UFFD_FEATURE_EVENT_FORK);
  const { child, protector } = faults;
  protector.register(faults.address, child.ready.length);
  const fork = child.ask('fork');
  faults.nextMessage();
  assert.equal(protector.event(0), UFFD_EVENT_FORK);
  using copy = new Userfaultfd(protector.forkDescriptor(0));
  assert.equal(copy.read(), 0);
  await fork;
});

test('messages are taken as many as are wanted', { skip }, async () => {
  await using faults = await Faults.start();
  await using other = await Faults.start();
  for (const { address, child, protector } of [faults, other]) {
    protector.register(address, child.ready.length);
    protector.writeProtect(address, child.ready.length, true);
  }
  const writes = [faults.child.ask('write 1 1'), other.child.ask('write 2 1')];
  // each has its own messages
  faults.nextMessage();
  other.nextMessage();
  assert.equal(other.protector.faultAddress(0), other.page(2));
  assert.equal(faults.protector.read(1), 0);
  faults.protector.writeProtect(faults.page(1), PAGE, false);
  other.protector.writeProtect(other.page(2), PAGE, false);
  await Promise.all(writes);
});

test('untouched pages are protected only where asked', { skip }, () => {
  for (const [features, protectedPages] of [
    [UFFD_FEATURE_PAGEFAULT_FLAG_WP, [false, true]],
    [UFFD_FEATURE_WP_UNPOPULATED, [true, true]],
  ] as const) {
    using memory = new MappedMemory(2 * PAGE);
    using protector = createUserfaultfd();
    protector.handshake(features);
    memory.bytes[PAGE] = 1;
    protector.register(memory.address, 2 * PAGE);
    assert.equal(protector.writeProtect(memory.address, 2 * PAGE, true), 0);
    using pagemap = new Pagemap('self', { capacity: 1 });
    pagemap.readEntries(memory.address, 2);
    assert.deepEqual([pagemap.isProtected(0), pagemap.isProtected(1)], protectedPages);
  }
});

test('asynchronous protection needs nobody to serve it', { skip }, () => {
  using memory = new MappedMemory(PAGE, { populate: true });
  using protector = createUserfaultfd();
  protector.handshake(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED);
  protector.register(memory.address, PAGE);
  protector.writeProtect(memory.address, PAGE, true);
  memory.bytes[0] = 1;
  assert.equal(protector.read(), 0);
});
