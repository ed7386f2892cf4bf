/** Kernels and processors that lack what a dump needs, by what the probe is made to say (`npm run vm` boots real ones). */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { DumpSummary } from '../../src/index.ts';
import { buildTarget } from '../support/build.ts';
import { checkWriterImage } from '../support/check-writer.ts';
import { TestFolder } from '../support/cores.ts';
import { refusedIn, unharmed } from '../support/refused.ts';
import { assertLetGo } from '../support/unharmed.ts';
import { startWriter } from '../support/writer.ts';

const launcher = join(import.meta.dirname, '../../bin/livecore');
const skip = process.getuid!() === 0 ? buildTarget('writer').skip : 'needs root';

/** What a dump needs of a kernel, and the version that brought it. */
const NEEDED: readonly (readonly [feature: string, since: string])[] = [
  ['userfaultfd', '4.3'],
  ['write-protection', '5.7'],
  ['write-protection of untouched pages', '6.4'],
  ['notice before madvise', '4.11'],
  ['pagemap scan', '6.7'],
  ['descriptors of threads', '6.9'],
  ['descriptors of others', '5.6'],
  ['comparing tasks', '3.5'],
  ['own descriptor table', '5.9'],
];

/** Cures for what is a matter of the kernel's configuration. */
const CONFIGURED: Readonly<Record<string, string>> = {
  userfaultfd: 'use a kernel with CONFIG_USERFAULTFD',
  'comparing tasks': 'use a kernel with CONFIG_KCMP, and a seccomp profile that allows kcmp',
};

suite('a kernel that lacks something', { skip }, () => {
  test('each thing that is needed is named, with the kernel that brought it', async () => {
    await using writer = await startWriter({ mib: 4, threads: 1, rate: 100, pace: 'sleep' });
    await unharmed(writer, () => {
      for (const [feature, since] of NEEDED) {
        const { status, error } = refusedIn({ LIVECORE_TEST_LACKS: feature }, writer.pid);
        assert.deepEqual([status, error.code], [1, 'KERNEL_FEATURE'], feature);
        assert.ok(
          error.message.includes(`lacks "${feature}" (absent; since Linux ${since}); `),
          error.message,
        );
        assert.equal(error.cure, CONFIGURED[feature] ?? `use Linux ${since} or newer`);
      }
    });
  });

  test('several are told at once, with the newest kernel of theirs', async () => {
    await using writer = await startWriter({ mib: 4, threads: 1, rate: 100, pace: 'sleep' });
    const lacks = 'descriptors of threads,pagemap scan,write-protection of untouched pages';
    const { error } = refusedIn({ LIVECORE_TEST_LACKS: lacks }, writer.pid);
    for (const feature of lacks.split(',')) assert.ok(error.message.includes(`"${feature}"`), error.message);
    assert.equal(error.cure, 'use Linux 6.9 or newer');
  });

  test('another processor', async () => {
    await using writer = await startWriter({ mib: 4, threads: 1, rate: 100, pace: 'sleep' });
    const lacks = { LIVECORE_TEST_LACKS: 'x86-64' };
    const { status, error } = refusedIn(lacks, writer.pid);
    assert.deepEqual([status, error.code], [1, 'KERNEL_FEATURE']);
    assert.match(error.message, /this is x64, and livecore knows x86-64 only; run it on an x86-64 machine/);
    const doctor = spawnSync(launcher, ['doctor'], { encoding: 'utf8', env: { ...process.env, ...lacks } });
    assert.equal(doctor.status, 1);
    assert.match(doctor.stdout, /no {4}x86-64: this is x64/);
  });

  // What the calls themselves say where they are missing, or forbidden.
  for (const { fault, code, message } of [
    {
      fault: 'pidfd.openThreadPidfd.pidfd_open:EINVAL',
      code: 'KERNEL_FEATURE',
      message: /EINVAL; since Linux 6.9/,
    },
    {
      fault: 'pagemap.nextRegions.PAGEMAP_SCAN:ENOTTY',
      code: 'KERNEL_FEATURE',
      message: /ENOTTY; since Linux 6.7/,
    },
    {
      fault: 'pidfd.takeDescriptor.pidfd_getfd:ENOSYS',
      code: 'KERNEL_FEATURE',
      message: /ENOSYS; since Linux 5.6/,
    },
    {
      fault: 'pidfd.compareTasks.kcmp:EPERM',
      code: 'NO_RIGHT',
      message: /"comparing tasks" is refused \(EPERM\)/,
    },
  ]) {
    test(`${fault} is ${code}`, async () => {
      await using writer = await startWriter({ mib: 4, threads: 1, rate: 100, pace: 'sleep' });
      const injector = join(import.meta.dirname, '../faults/inject.ts');
      const env = { LIVECORE_FAULT: `${fault}:1+`, NODE_OPTIONS: `--import=${injector}` };
      const { status, error } = refusedIn(env, writer.pid);
      assert.deepEqual([status, error.code], [1, code], error.message);
      assert.match(error.message, message);
    });
  }
});

test('where one mapping cannot be asked for (before Linux 6.11), the dump is as exact', {
  skip,
}, async () => {
  using folder = new TestFolder();
  await using writer = await startWriter({ mib: 16, threads: 2, rate: 2000, pace: 'sleep' });
  const file = folder.file('core');
  const injector = join(import.meta.dirname, '../faults/inject.ts');
  const env = {
    ...process.env,
    LIVECORE_FAULT: 'mapping-query.#ask.PROCMAP_QUERY:ENOTTY:1+',
    NODE_OPTIONS: `--import=${injector}`,
  };
  const args = ['dump', `${writer.pid}`, '-o', file, '--max-stall', '10s', '--force', '--json'];
  const { status, stdout } = spawnSync(launcher, args, { encoding: 'utf8', env });
  assert.equal(status, 0, stdout);
  const { blocks } = JSON.parse(stdout.trim().split('\n').at(-1)!) as DumpSummary;
  assert.ok(
    blocks.initial < 1000,
    `${blocks.initial} blocks were copied in the hold: they were not protected`,
  );
  const { wrong, absent, brokenCounters } = checkWriterImage(writer.plan, file);
  assert.deepEqual([wrong, absent, brokenCounters], [0, 0, 0]);
  await assertLetGo(writer.pid);
  assert.equal((await writer.check()).wrong, 0);
});
