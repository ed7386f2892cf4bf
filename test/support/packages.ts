/**
 * The programs that tests and benches need beside Node: found, installed from Debian where that is possible,
 * or else a reason to skip.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface Program {
  /** absolute path; the bare name where the program is missing, so that starting it says ENOENT */
  readonly path: string;
  /** for node:test's `skip`: false, or why the program is not here and what would bring it */
  readonly skip: string | false;
}

/**
 * Finds a program, installing its Debian package when that can be done (root, apt-get), which it says on
 * stderr first. Never throws for a program that can't be had.
 *
 * @example
 * const gdb = requireProgram('gdb', 'gdb');
 * test('gdb reads the core', { skip: gdb.skip }, () => { spawnSync(gdb.path, ['--version']); });
 */
export function requireProgram(name: string, debianPackage: string): Program {
  const found = findProgram(name);
  if (found !== undefined) return { path: found, skip: false };
  const failure = install(debianPackage);
  const installed = findProgram(name);
  if (installed !== undefined) return { path: installed, skip: false };
  const why = failure ?? `package ${debianPackage} was installed but holds no ${name}`;
  return { path: name, skip: `${name} is missing (${why}); the cure: apt-get install ${debianPackage}` };
}

/** The path of a program, or undefined. Debian's own folders come before PATH: the tests know Debian's builds. */
export function findProgram(name: string): string | undefined {
  const folders = ['/usr/bin', '/usr/sbin', '/bin', '/sbin', ...postgresqlFolders()];
  folders.push(...(process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder.startsWith('/')));
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** PostgreSQL's servers live outside PATH, one folder a version, the newest last. */
function postgresqlFolders(): string[] {
  const root = '/usr/lib/postgresql';
  try {
    const versions = readdirSync(root).sort((a, b) => Number(b) - Number(a));
    return versions.map((version) => join(root, version, 'bin'));
  } catch {
    return [];
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * One installation at a time on this machine (test files run side by side). A server's package would start the
 * server: policy-rc.d answering 101 is Debian's way to forbid that (deb-systemd-invoke, invoke-rc.d(8)); one
 * that is there already is left alone, ours is taken away again.
 */
const INSTALL = `
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM
  printf '#!/bin/sh\\nexit 101\\n' >"$policy" && chmod 755 "$policy"
fi
get() { apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq "$@"; }
get install -y --no-install-recommends "$1" || { get update && get install -y --no-install-recommends "$1"; }
`;

/** Installs a package; returns why it could not. */
function install(debianPackage: string): string | undefined {
  if (process.getuid?.() !== 0) return 'not root, so nothing is installed';
  if (findProgram('apt-get') === undefined) return 'no apt-get on this machine';
  process.stderr.write(`livecore: installing the Debian package ${debianPackage} (apt-get, as root)\n`);
  const result = spawnSync(
    'flock',
    ['/run/livecore-apt.lock', 'sh', '-c', INSTALL, 'install', debianPackage],
    {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
      timeout: 900_000,
    },
  );
  if (result.error !== undefined) return result.error.message;
  if (result.status === 0) return undefined;
  const last = result.stderr.trim().split('\n').at(-1) ?? '';
  return `apt-get ended with ${result.status ?? result.signal}: ${last}`;
}
