/**
 * The disk that the core goes to stands still, and is not asked to go on before the target has been looked at: a file system
 * that is served by a process, and one on a block device that is frozen.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireProgram } from '../support/packages.ts';
import { mountPlainFs, noPlainFs } from '../support/plain-fs.ts';
import { loopsOf, until } from '../support/unharmed.ts';
import { Guarded, noGuardTest, SLOW_FILES, SLOWLY, SMALL_BUFFER } from './guarded.ts';

const skip = noGuardTest || noPlainFs;

test('a file system that hangs for ever: the dump is given up', { skip }, async (context) => {
  await using files = await mountPlainFs(SLOW_FILES);
  await using target = await Guarded.start(SLOWLY);
  await using tool = target.dump({ args: ['-o', join(files.path, 'core'), ...SMALL_BUFFER] });
  await tool.copies();
  await files.hang();
  assert.deepEqual(await tool.ended(), { status: 1, code: 'STALLED' });
  assert.match(tool.told.find(({ type }) => type === 'notice')?.text ?? '', /still waits for a file system/);
  await target.unharmed(context, 'none');
  // Now its loop can end as well, and takes its unfinished file along.
  await files.go();
  await until(() => loopsOf(target.pid).length === 0, 'the loop ends');
  assert.deepEqual(readdirSync(files.backing), []);
  await target.end();
});

test('a file system that hangs, and a loop that stops', { skip }, async (context) => {
  await using files = await mountPlainFs(SLOW_FILES);
  await using target = await Guarded.start(SLOWLY);
  await using tool = target.dump({ args: ['-o', join(files.path, 'core'), ...SMALL_BUFFER] });
  await tool.copies();
  await files.hang();
  process.kill(await tool.loop(), 'SIGSTOP');
  assert.deepEqual(await tool.ended(), { status: 1, code: 'STALLED' });
  await target.unharmed(context, 'none');
  await files.go();
  await target.end();
});

test('a spool that hangs for ever: so is a stream', { skip }, async (context) => {
  await using files = await mountPlainFs(SLOW_FILES);
  await using target = await Guarded.start(SLOWLY);
  await using tool = target.dump({
    args: ['-o', '-', ...SMALL_BUFFER],
    env: { TMPDIR: files.path },
    told: 'stderr',
  });
  tool.process.stdout!.resume();
  await tool.copies();
  await files.hang();
  await target.unharmed(context, 'none');
  await files.go();
  assert.deepEqual(await tool.ended(), { status: 1, code: 'STALLED' });
  await target.end();
});

/** An ext4 of its own on a loop device, which freezes and thaws. */
class Ext4 implements Disposable {
  readonly path: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'livecore-ext4-'));

  constructor() {
    const image = join(this.#folder, 'image');
    this.path = join(this.#folder, 'mounted');
    mkdirSync(this.path);
    execFileSync('truncate', ['--size', '1G', image]);
    execFileSync('mkfs.ext4', ['-q', '-F', image]);
    execFileSync('mount', ['-o', 'loop', image, this.path]);
  }

  /** From now on who writes waits, uninterruptibly. */
  freeze(): void {
    execFileSync('fsfreeze', ['--freeze', this.path]);
  }

  thaw(): void {
    spawnSync('fsfreeze', ['--unfreeze', this.path]);
  }

  [Symbol.dispose](): void {
    this.thaw();
    spawnSync('umount', ['--lazy', this.path]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Why there can be none here, or false. */
function noExt4(): string | false {
  const missing = [requireProgram('mkfs.ext4', 'e2fsprogs'), requireProgram('fsfreeze', 'util-linux')].find(
    ({ skip: reason }) => reason !== false,
  );
  if (missing !== undefined) return missing.skip;
  try {
    using _disk = new Ext4();
    return false;
  } catch (error) {
    return `no loop device can be mounted here: ${(error as Error).message.split('\n')[0]}`;
  }
}

test('a disk that hangs for ever: the dump is given up', {
  skip: noGuardTest || noExt4(),
}, async (context) => {
  using disk = new Ext4();
  await using target = await Guarded.start({ ...SLOWLY, mib: 512 });
  await using tool = target.dump({ args: ['-o', join(disk.path, 'core'), ...SMALL_BUFFER] });
  await tool.copies();
  disk.freeze();
  assert.deepEqual(await tool.ended(), { status: 1, code: 'STALLED' });
  await target.unharmed(context, 'none');
  disk.thaw();
  await until(() => loopsOf(target.pid).length === 0, 'the loop ends');
  await target.end();
});
