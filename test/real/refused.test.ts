/** What can't be dumped, and outputs that can't be written: a message with the cure, an exit status, and nothing else. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { detach, interrupt, seize, WaitStatus } from '../../src/linux/ptrace.ts';
import { buildTarget } from '../support/build.ts';
import { type Child, startChild } from '../support/child.ts';
import { TestFolder } from '../support/cores.ts';
import { noProgram32, startProgram32 } from '../support/program32.ts';
import { type Refused, refused, unharmed } from '../support/refused.ts';
import { stopped } from '../support/segments.ts';
import { until, wholeCoreOrNone } from '../support/unharmed.ts';
import { startWriter } from '../support/writer.ts';
import { startZombie } from '../support/zombie.ts';

const launcher = join(import.meta.dirname, '../../bin/livecore');
const skip = process.getuid!() === 0 ? buildTarget('writer').skip : 'needs root';
const TIMEOUT_MS = 60_000;
const NOBODY = 65534;
const spawning = buildTarget('spawning');

/** A folder in which a tmpfs can be mounted. */
class Folder extends TestFolder {
  #mounted: string | undefined;

  mount(options: string): string {
    const path = this.file('mounted');
    mkdirSync(path);
    const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'livecore-test', path], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    this.#mounted = path;
    return path;
  }

  override [Symbol.dispose](): void {
    if (this.#mounted !== undefined) spawnSync('umount', [this.#mounted]);
    super[Symbol.dispose]();
  }
}

suite('no process that can be dumped', { skip }, () => {
  test('there is none', async () => {
    const gone = spawn('true');
    await new Promise((resolve) => gone.once('exit', resolve));
    const { status, error } = refused(gone.pid!);
    assert.deepEqual([status, error.code], [1, 'NO_SUCH_PROCESS']);
    assert.match(error.message, new RegExp(`dump process ${gone.pid}: `));
  });

  test('a thread: its process is named', async () => {
    await using writer = await startWriter({ mib: 4, threads: 1, rate: 100, pace: 'sleep' });
    const tid = readdirSync(`/proc/${writer.pid}/task`)
      .map(Number)
      .find((id) => id !== writer.pid)!;
    await unharmed(writer, () => {
      const { status, error } = refused(tid);
      assert.deepEqual([status, error.code], [1, 'THREAD_ID']);
      assert.match(
        error.message + error.cure,
        new RegExp(`is a thread of process ${writer.pid}.*name the process`),
      );
    });
  });

  test('a thread of the kernel', {
    skip: existsSync('/proc/2/exe') && 'process 2 is no kernel thread here',
  }, () => {
    const { status, error } = refused(2);
    assert.deepEqual([status, error.code], [1, 'KERNEL_THREAD']);
  });

  test('one with a thread that nothing stops: it waits in vfork', { skip: spawning.skip }, async () => {
    // Of nobody: others are held while there is a descriptor that they could take, and not of who may take ours anyway.
    await using target = await startChild(spawning.path, [], { uid: NOBODY, gid: NOBODY, cwd: '/' });
    const { status, error } = refused(target.pid);
    assert.deepEqual([status, error.code], [1, 'HOLD_FAILED'], error.message);
    await target.quit();
  });

  test('one that has ended', async () => {
    using zombie = await startZombie();
    const { status, error } = refused(zombie.pid);
    assert.deepEqual([status, error.code], [1, 'ZOMBIE']);
  });

  test('one that is traced: by whom', async () => {
    await using writer = await startWriter({ mib: 4, threads: 1, rate: 100, pace: 'sleep' });
    assert.equal(seize(writer.pid, 0), 0);
    try {
      const { status, error } = refused(writer.pid);
      assert.deepEqual([status, error.code], [1, 'ALREADY_TRACED']);
      const name = readFileSync('/proc/self/comm', 'utf8').trim();
      assert.ok(error.message.includes(`process ${process.pid} (${name}) traces it already`), error.message);
      assert.match(error.cure!, new RegExp(`detach process ${process.pid}`));
    } finally {
      interrupt(writer.pid);
      const status = new WaitStatus();
      while (status.wait(writer.pid) === 0);
      detach(writer.pid);
    }
    await writer.advance(100);
  });
});

function stateOf(pid: number): string | undefined {
  return /^State:\t(\w)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
}

/** What a child of this file has done so far. */
async function beats(child: Child): Promise<number> {
  return (await child.ask<{ beats: number }>('report')).beats;
}

suite('a process that can be dumped, but not by us', { skip }, () => {
  test('a program of 32 bits', { skip: noProgram32 }, async (context) => {
    using folder = new TestFolder();
    using program = await startProgram32(folder);
    if (program === undefined) return context.skip('this kernel runs no programs of 32 bits');
    const { status, error } = refused(program.pid);
    assert.deepEqual([status, error.code], [1, 'UNSUPPORTED_TARGET']);
    assert.match(error.message, /it is a 32-bit program; gcore can dump it/);
  });

  test('one whose first thread has ended', async () => {
    await using headless = await startChild(buildTarget('headless').path);
    await headless.ask('end');
    await until(() => stateOf(headless.pid) === 'Z', 'its first thread has ended');
    const { status, error } = refused(headless.pid);
    assert.deepEqual([status, error.code], [1, 'UNSUPPORTED_TARGET']);
    assert.match(error.message, /its first thread has ended while others go on/);
    const before = await beats(headless);
    while ((await beats(headless)) < before + 10);
  });

  test('one that serves its own page faults', async () => {
    await using child = await startChild(buildTarget('faults-itself').path);
    const { status, error } = refused(child.pid);
    assert.deepEqual([status, error.code], [1, 'UNSUPPORTED_TARGET']);
    assert.match(error.message, /memory at 0x[0-9a-f]+ belongs to a userfaultfd already/);
    assert.match(error.cure!, /the program manages its own page faults/);
    const { status: doctor, stdout } = spawnSync(launcher, ['doctor', `${child.pid}`], { encoding: 'utf8' });
    assert.equal(doctor, 1);
    assert.match(stdout, /no {4}own userfaultfd: it manages faults of its memory itself/);
    const before = await beats(child);
    while ((await beats(child)) < before + 1000);
    assert.equal((await child.quit<{ wrong: number }>()).wrong, 0);
  });

  test('a userfaultfd that has no memory is no reason', async () => {
    using folder = new TestFolder();
    await using child = await startChild(buildTarget('faults-itself').path, ['--registers', 'no']);
    const file = folder.file('core');
    const { status, stderr } = spawnSync(launcher, ['dump', `${child.pid}`, '-o', file], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    assert.ok(await wholeCoreOrNone(file));
  });

  test('the process that would dump it; and the command, which can be', async () => {
    using folder = new TestFolder();
    const loop = join(import.meta.dirname, '../../src/loop/main.ts');
    const request = `{"pid":'$$',"all":false,"maxStallMs":250,"bufferBytes":8388608,"force":false,"output":"core"}`;
    // A shell that becomes the loop knows its number.
    const script = `exec "$0" "$1" '${request}' 3>&1`;
    const own = spawnSync('sh', ['-c', script, process.execPath, loop], {
      cwd: folder.path,
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
    });
    const error = JSON.parse(own.stdout.trim()) as Refused['error'];
    assert.deepEqual([own.status, error.code], [1, 'OWN_PROCESS']);
    assert.match(error.cure!, /name another process/);
    assert.deepEqual(readdirSync(folder.path), []);
    const command = spawnSync('sh', ['-c', 'exec "$0" dump $$ -o core --force', launcher], {
      cwd: folder.path,
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
    });
    assert.equal(command.status, 0, command.stderr);
    assert.ok(await wholeCoreOrNone(folder.file('core')));
  });
});

suite('no output that can be written', { skip }, () => {
  test('it exists, its folder is missing, it is in a file, it is a folder: each is told, and left as it is', async () => {
    using folder = new Folder();
    await using writer = await startWriter({ mib: 4, threads: 1, rate: 100, pace: 'sleep' });
    const taken = join(folder.path, 'taken');
    writeFileSync(taken, 'precious');
    await unharmed(writer, () => {
      const exists = refused(writer.pid, '-o', taken);
      assert.deepEqual([exists.status, exists.error.code], [1, 'FILE_EXISTS']);
      assert.match(exists.error.cure!, /remove it, or choose another name with -o/);
      for (const output of ['missing/core', 'taken/core', '.']) {
        const { status, error } = refused(writer.pid, '-o', join(folder.path, output));
        assert.equal(status, 1);
        assert.ok(error.message.includes(join(folder.path, output)), error.message);
      }
    });
    assert.equal(readFileSync(taken, 'utf8'), 'precious');
    assert.deepEqual(readdirSync(folder.path), ['taken']);
  });

  test('a file system that is read-only', async () => {
    using folder = new Folder();
    const path = folder.mount('ro,size=1m');
    await using writer = await startWriter({ mib: 4, threads: 1, rate: 100, pace: 'sleep' });
    await unharmed(writer, () => {
      const { status, error } = refused(writer.pid, '-o', join(path, 'core'));
      assert.equal(status, 1);
      assert.match(error.message, /EROFS|read-only/);
    });
    assert.deepEqual(readdirSync(path), []);
  });

  // From the first block that does not fit to the last page of the tail.
  for (const kib of [16, 1024, 8 * 1024]) {
    test(`a disk that is full after ${kib} KiB`, async () => {
      using folder = new Folder();
      const path = folder.mount(`size=${kib}k`);
      await using writer = await startWriter({ mib: 16, threads: 2, rate: 1000, pace: 'sleep' });
      await unharmed(writer, () => {
        const { status, error } = refused(writer.pid, '-o', join(path, 'core'), '--max-stall', '5s');
        assert.deepEqual([status, error.code], [1, 'NO_SPACE']);
        assert.match(error.message, /no space left/);
        assert.match(error.cure!, /write elsewhere with -o/);
      });
      assert.deepEqual(readdirSync(path), []);
    });
  }
});

test('a process that is stopped by a signal is dumped, and stays stopped', { skip }, async () => {
  using folder = new Folder();
  await using writer = await startWriter({ mib: 8, threads: 2, rate: 1000, pace: 'sleep' });
  await writer.advance(100);
  process.kill(writer.pid, 'SIGSTOP');
  const states = () =>
    readdirSync(`/proc/${writer.pid}/task`).map(
      (tid) => /^State:\t(\w)/m.exec(readFileSync(`/proc/${writer.pid}/task/${tid}/status`, 'utf8'))![1],
    );
  await stopped(writer.pid);
  const file = join(folder.path, 'core');
  const { status, stderr } = spawnSync(
    launcher,
    ['dump', String(writer.pid), '-o', file, '--max-stall', '5s'],
    {
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
    },
  );
  assert.equal(status, 0, stderr);
  assert.deepEqual([...new Set(states())], ['T']);
  process.kill(writer.pid, 'SIGCONT');
  await writer.advance(100);
  assert.equal((await writer.check()).wrong, 0);
});
