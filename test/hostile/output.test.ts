/** Where the core goes: whoever else may write in its folder gets neither the core nor another file overwritten. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { suite, test } from 'node:test';
import { OutputFile } from '../../src/loop/output-file.ts';
import { buildTarget } from '../support/build.ts';
import { startChild } from '../support/child.ts';
import { TestFolder } from '../support/cores.ts';
import { noLiveDump } from '../support/live-dump.ts';
import { mountPlainFs, noPlainFs } from '../support/plain-fs.ts';
import { lastRecord, runTool } from '../support/tool.ts';

const NOBODY = 65534;
const still = buildTarget('crowd');

/** A folder like /tmp: everybody may write, nobody removes what is another's. */
function publicFolder(folder: TestFolder): string {
  const path = folder.file('public');
  mkdirSync(path);
  chmodSync(path, 0o1777);
  return path;
}

/** What others have planted under the name of the core, and how to see that it is as it was. */
const planted: readonly [name: string, plant: (path: string, victim: string) => void][] = [
  ['a symbolic link to a file', (path, victim) => symlinkSync(victim, path)],
  ['a symbolic link to nothing', (path, victim) => symlinkSync(`${victim}.none`, path)],
  ['a symbolic link to a folder', (path) => symlinkSync('/', path)],
  ['a hard link', (path, victim) => linkSync(victim, path)],
  ['a pipe', (path) => execFileSync('mkfifo', [path])],
  ['a folder', (path) => mkdirSync(path)],
  ['a file', (path) => writeFileSync(path, 'planted')],
];

suite('a name that is taken', { skip: noLiveDump || still.skip }, () => {
  for (const [name, plant] of planted) {
    test(`${name}: refused before the target is touched, and when it comes during the dump`, () => {
      using folder = new TestFolder();
      const path = publicFolder(folder);
      const victim = folder.file('victim');
      writeFileSync(victim, 'precious', { mode: 0o644 });
      const output = `${path}/core.1`;
      {
        using file = new OutputFile(output);
        plant(output, victim);
        assert.throws(() => file.publish(), { code: 'FILE_EXISTS' });
      }
      const before = lstatSync(output);
      assert.throws(() => new OutputFile(output), { code: 'FILE_EXISTS' });
      const after = lstatSync(output);
      assert.deepEqual([after.ino, after.mtimeMs, after.size], [before.ino, before.mtimeMs, before.size]);
      assert.equal(readFileSync(victim, 'utf8'), 'precious');
      assert.equal(existsSync(`${victim}.none`), false);
      assert.deepEqual(readdirSync(path), ['core.1']);
    });
  }
});

test('a core is its caller’s alone, whatever the umask and whoever owns the folder', {
  skip: noLiveDump || still.skip,
}, async () => {
  using folder = new TestFolder();
  await using target = await startChild(still.path, [], { uid: NOBODY, gid: NOBODY, cwd: '/' });
  const path = folder.file('theirs');
  mkdirSync(path);
  chownSync(path, NOBODY, NOBODY);
  chmodSync(path, 0o2777);
  const umask = process.umask(0);
  try {
    // The default name, in the working folder.
    const said = await runTool(['dump', target.pid, '--json', '--force'], { cwd: path });
    assert.equal(said.status, 0, said.stdout);
    const { mode, uid, nlink } = statSync(`${path}/core.${target.pid}`);
    assert.deepEqual([mode & 0o7777, uid, nlink], [0o600, process.getuid!(), 1]);
  } finally {
    process.umask(umask);
  }
});

test('a link under the default name is not followed', { skip: noLiveDump || still.skip }, async () => {
  using folder = new TestFolder();
  await using target = await startChild(still.path);
  const path = publicFolder(folder);
  const victim = folder.file('victim');
  symlinkSync(victim, `${path}/core.${target.pid}`);
  const said = await runTool(['dump', target.pid, '--json'], { cwd: path });
  assert.deepEqual([said.status, lastRecord(said)['code']], [1, 'FILE_EXISTS']);
  assert.equal(existsSync(victim), false);
  assert.equal(readlinkSync(`${path}/core.${target.pid}`), victim);
});

/** A folder that somebody puts another in the place of while the core is written. */
function swapFolder(path: string, into: string): void {
  renameSync(path, `${path}.away`);
  symlinkSync(into, path);
}

test('the core goes where its folder went, not where another leads that took its place', {
  skip: noLiveDump,
}, () => {
  using folder = new TestFolder();
  const [path, other] = [folder.file('theirs'), folder.file('secret')];
  mkdirSync(path);
  mkdirSync(other);
  using file = new OutputFile(`${path}/core`);
  swapFolder(path, other);
  file.publish();
  assert.deepEqual(readdirSync(other), []);
  assert.deepEqual(readdirSync(`${path}.away`), ['core']);
});

test('the same on a file system without nameless files; the hidden name can’t be guessed', {
  skip: noPlainFs,
}, async () => {
  await using files = await mountPlainFs();
  using folder = new TestFolder();
  const link = folder.file('link');
  symlinkSync(files.path, link);
  const other = folder.file('secret');
  mkdirSync(other);
  const hidden = new Set<string>();
  for (let count = 0; count < 3; count++) {
    using file = new OutputFile(`${files.path}/core.${count}`);
    const [name = ''] = readdirSync(files.backing).filter((each) => each.endsWith('.partial'));
    assert.match(name, /^\.core\.\d\.[0-9a-f]{8,}\.partial$/);
    hidden.add(name.split('.')[3]!);
    assert.equal(statSync(`${files.backing}/${name}`).mode & 0o7777, 0o600);
    file.publish();
  }
  assert.equal(hidden.size, 3);
  {
    using file = new OutputFile(`${link}/core`);
    swapFolder(link, other);
    file.publish();
  }
  assert.deepEqual(readdirSync(other), []);
  assert.deepEqual(readdirSync(files.backing).sort(), ['core', 'core.0', 'core.1', 'core.2']);
});
