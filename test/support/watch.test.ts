/** What a process changes about itself is what the watch finds, and nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildTarget } from './build.ts';
import { startChild } from './child.ts';
import { stopped } from './segments.ts';
import { differences, startWatch, takeSnapshot } from './watch.ts';

const changer = buildTarget('changer');

/** command: what the differences must say, all of them, in any order */
const changes: Record<string, readonly RegExp[]> = {
  block: [/^thread \d+ SigBlk: 0+ -> 0+200$/],
  ignore: [/^thread \d+ SigIgn: 0+ -> 0+800$/],
  pend: [/^thread \d+ SigBlk:/, /^thread \d+ SigPnd: 0+ -> 0+200$/],
  map: [/^map [0-9a-f-]+: new, r--s /, /^VmSize: /],
  protect: [/^map [0-9a-f-]+: gone, was rw-p /, /^map [0-9a-f-]+: new, r--p /, /^map [0-9a-f-]+: new, rw-p /],
  uffd: [/^fd \d+: new, anon_inode:\[userfaultfd\]/, /^map [0-9a-f-]+: rw-p .* -> .* uw /],
  open: [/^fd \d+: new, \/dev\/null flags 0100000$/],
  cloexec: [/^fd 4: .*changer flags 0100000 -> .* flags 02100000$/],
  epoll: [/^fd 3: anon_inode:\[eventpoll\] flags 02 -> .* 0:/],
  flock: [/^lock 0: new, FLOCK ADVISORY WRITE /],
  name: [/^comm: changer -> renamed$/, /^thread \d+ Name: changer -> renamed$/],
  nice: [/^thread \d+ priority, nice, realtime, policy: 20 0 0 0 -> 23 3 0 0$/],
  policy: [/^thread \d+ priority, nice, realtime, policy: 20 0 0 0 -> 20 0 0 3$/],
  affinity: [/^thread \d+ Cpus_allowed_list: .* -> 0$/],
  limit: [/^Max open files: .* -> 100 100 files$/],
  privileges: [/^thread \d+ NoNewPrivs: 0 -> 1$/],
  chdir: [/^cwd: .* -> \/$/],
  slack: [/^thread \d+ timerslack: 50000 -> 12345$/],
};

/** The first use of anything moves a few pages of libc and of the heap. */
const OWN_PAGES = /^(Rss|Pss\w*|Anonymous|Private_\w+|Shared_\w+|Referenced|VmData|KSM|LazyFree|VmPTE): /;

for (const [command, wanted] of Object.entries(changes)) {
  test(`the watch finds: ${command}`, { skip: changer.skip }, async () => {
    await using child = await startChild(changer.path);
    const before = takeSnapshot(child.pid);
    assert.deepEqual(await child.ask(command), { done: true, errno: 0 });
    const found = differences(before, takeSnapshot(child.pid), { lines: [OWN_PAGES] });
    const unexpected = found.filter((line) => !wanted.some((pattern) => pattern.test(line)));
    const missing = wanted.filter((pattern) => !found.some((line) => pattern.test(line)));
    assert.deepEqual([unexpected, missing.map(String)], [[], []], found.join('\n'));
  });
}

test('the watch finds a new thread and a new child', { skip: changer.skip }, async () => {
  await using child = await startChild(changer.path);
  const before = takeSnapshot(child.pid);
  await child.ask('thread');
  await child.ask('child');
  const found = differences(before, takeSnapshot(child.pid));
  assert.ok(found.some((line) => /^thread \d+ state: new, going on$/.test(line)));
  assert.ok(found.some((line) => /^thread \d+ children: new, \d+$/.test(line)));
});

test('memory that was touched is found, and may be allowed', { skip: changer.skip }, async () => {
  await using child = await startChild(changer.path);
  const before = takeSnapshot(child.pid);
  await child.ask('touch');
  const after = takeSnapshot(child.pid);
  const rss = after.kib.get('Rss')! - before.kib.get('Rss')!;
  assert.ok(rss >= 16);
  assert.ok(differences(before, after).some((line) => line.startsWith('Rss: ')));
  assert.ok(!differences(before, after, { kib: { Rss: rss } }).some((line) => line.startsWith('Rss: ')));
  assert.ok(differences(before, after, { kib: { Rss: rss - 1 } }).some((line) => line.startsWith('Rss: ')));
});

test('a process left stopped is found', { skip: changer.skip }, async () => {
  await using child = await startChild(changer.path);
  const before = takeSnapshot(child.pid);
  child.kill('SIGSTOP');
  await stopped(child.pid);
  const found = differences(before, takeSnapshot(child.pid));
  assert.deepEqual(found, [
    `State: going on -> T (stopped)`,
    `thread ${child.pid} state: going on -> T (stopped)`,
  ]);
});

test('a process that does nothing has no differences, watched all the time', {
  skip: changer.skip,
}, async () => {
  await using child = await startChild(changer.path);
  const watch = startWatch(child.pid, 10);
  await sleep(100);
  const seen = await watch.stop();
  assert.ok(seen.length > 2);
  for (const snapshot of seen) assert.deepEqual(differences(seen[0]!, snapshot), []);
});

test('a watch ends with its process', { skip: changer.skip }, async () => {
  await using child = await startChild(changer.path);
  const watch = startWatch(child.pid, 10);
  await child.quit();
  assert.ok((await watch.stop()).length >= 1);
});
