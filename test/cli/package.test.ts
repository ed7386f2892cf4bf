/** What a user installs: the package that npm makes, in an empty folder, with whatever Node is there. */
import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const folder = mkdtempSync(join(tmpdir(), 'livecore-package-'));
const hadDist = existsSync(join(root, 'dist'));

/** npm of the Node that started us may be missing from the PATH of a test; its own folder is first. */
function npm(cwd: string, ...args: string[]): string {
  const result = spawnSync('npm', args, { cwd, encoding: 'utf8' });
  assert.equal(result.status, 0, `npm ${args.join(' ')}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

/** Runs the installed launcher as a shell would: through the link that npm made. */
function launch(env: Record<string, string>, ...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(join(folder, 'node_modules/.bin/livecore'), args, { cwd: folder, encoding: 'utf8', env });
}

before(() => {
  const packed = npm(root, 'pack', '--silent', '--pack-destination', folder).trim().split('\n').at(-1)!;
  writeFileSync(join(folder, 'package.json'), '{}');
  npm(folder, 'install', '--no-audit', '--no-fund', '--prefer-offline', '--silent', join(folder, packed));
});

after(() => {
  rmSync(folder, { recursive: true, force: true });
  if (!hadDist) rmSync(join(root, 'dist'), { recursive: true, force: true });
});

test('the package holds what it needs and nothing else', () => {
  const installed = join(folder, 'node_modules/livecore');
  for (const file of [
    'bin/livecore',
    'dist/index.d.ts',
    'dist/index.js',
    'man/livecore.1',
    'LICENSE',
    'README.md',
  ]) {
    assert.ok(existsSync(join(installed, file)), `${file} is missing`);
  }
  for (const file of ['src', 'test', 'bench', 'scripts', 'tsconfig.json'])
    assert.ok(!existsSync(join(installed, file)), file);
});

test('a TypeScript program of a user compiles against it, as strict as it may be', () => {
  const program = `
    import { Core, dump, LivecoreError, type DumpSummary, type ErrorCode } from 'livecore';
    export async function take(pid: number, signal: AbortSignal): Promise<ErrorCode | number> {
      try {
        const summary: DumpSummary = await dump(pid, { output: 'x', signal, onProgress: ({ blocksDone }) => void blocksDone });
        await using core = await Core.open(summary.file);
        const bytes: Uint8Array = await core.read(0x1000n, 16);
        return bytes.length;
      } catch (error) {
        if (error instanceof LivecoreError) return error.code;
        throw error;
      }
    }`;
  writeFileSync(join(folder, 'user.mts'), program);
  const flags = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--noEmit'];
  const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')];
  const target = ['--target', 'esnext', '--module', 'nodenext', '--skipLibCheck', 'false'];
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const args = [compiler, ...flags, ...types, ...target, 'user.mts'];
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  assert.equal(status, 0, stdout);
});

test('what was installed dumps', { skip: process.getuid!() === 0 ? false : 'needs root' }, () => {
  const target = spawn('sleep', ['1000'], { stdio: 'ignore' });
  try {
    const env = { PATH: process.env['PATH']!, LIVECORE_NODE: process.execPath };
    const dump = launch(env, 'dump', String(target.pid), '--max-stall', '5s', '-q');
    assert.equal(dump.status, 0, dump.stderr);
    const show = launch(env, 'show', `core.${target.pid}`);
    assert.match(show.stdout, /^core\.\d+: core of sleep, pid \d+\n/, show.stderr);
  } finally {
    target.kill('SIGKILL');
  }
});

test('npx runs it, where a Node that is new enough is on the PATH', () => {
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH']}` };
  const { stdout, stderr } = spawnSync('npx', ['livecore', '--version'], {
    cwd: folder,
    encoding: 'utf8',
    env,
  });
  assert.equal(stdout, `${version}\n`, stderr);
});

test('without a Node it says what to install', () => {
  // a PATH with the tools of the launcher and nothing else
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  for (const tool of ['sh', 'readlink', 'dirname']) symlinkSync(`/usr/bin/${tool}`, join(bin, tool));
  const nothing = launch({ PATH: bin }, '--version');
  assert.equal(nothing.status, 1);
  assert.match(
    nothing.stderr,
    /^livecore: Node 24 or newer is needed; found: no Node at all\n.*npm install -g node@24/,
  );

  writeFileSync(join(bin, 'node'), '#!/bin/sh\necho v20.20.2\n', { mode: 0o755 });
  const old = launch({ PATH: bin }, '--version');
  assert.equal(old.status, 1);
  assert.match(old.stderr, /found: \/.*\/bin\/node \(v20\.20\.2\)\n/);

  const named = launch({ PATH: bin, LIVECORE_NODE: process.execPath }, '--version');
  assert.equal(named.stdout, `${version}\n`, named.stderr);

  // `npm install node@24` beside it
  mkdirSync(join(folder, 'node_modules/node/bin'), { recursive: true });
  symlinkSync(process.execPath, join(folder, 'node_modules/node/bin/node'));
  const beside = launch({ PATH: bin }, '--version');
  assert.equal(beside.stdout, `${version}\n`, beside.stderr);
});
