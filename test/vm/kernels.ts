/** Kernels of Debian, by version, kept unpacked; none of them is installed. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../support/packages.ts';

/** What a kernel is called, and where its image lies once it is fetched. */
export interface Kernel {
  readonly version: string;
  readonly image: string;
}

const CACHE = join(import.meta.dirname, '../../node_modules/.cache/livecore-kernels');
const PACKAGE = /^linux-image-((\d+)\.(\d+)[\d.]*[-+\w.]*-cloud-amd64) /;

/** The small kernels for machines in a cloud, that apt can get here, the oldest first. */
function offered(): { name: string; version: string; number: number }[] {
  const { stdout } = spawnSync('apt-cache', ['search', '--names-only', '^linux-image-[0-9].*-cloud-amd64$'], {
    encoding: 'utf8',
  });
  return stdout
    .split('\n')
    .map((line) => PACKAGE.exec(line))
    .filter((match) => match !== null)
    .map(([, version, major, minor]) => ({
      name: `linux-image-${version}`,
      version: version!,
      number: Number(major) * 1000 + Number(minor),
    }))
    .sort((left, right) => left.number - right.number);
}

/**
 * The oldest kernel from `major.minor` on, or with `before` the newest one before that; fetched when it is first wanted.
 *
 * @returns the kernel, or why there is none
 */
export function findKernel(major: number, minor: number, before = false): Kernel | string {
  const wanted = major * 1000 + minor;
  const range = `${before ? 'before' : 'from'} ${major}.${minor}${before ? '' : ' on'}`;
  const kept = cached().filter(({ number }) => before === number < wanted);
  const found = before ? kept.at(-1) : kept[0];
  if (found !== undefined) return found;
  if (findProgram('apt-cache') === undefined) return `no Linux ${range}: this machine has no apt`;
  const candidates = offered().filter(({ number }) => before === number < wanted);
  // An archive may list versions that it keeps no more: the newest of a series is the one that it has.
  const series = before ? candidates.at(-1) : candidates[0];
  for (const { name } of candidates.filter(({ number }) => number === series?.number).reverse()) {
    fetch(name);
    const fetched = cached().find(({ image }) => image.includes(`/${name}/`));
    if (fetched !== undefined) return fetched;
  }
  return `no Linux ${range}: apt offers none here`;
}

function cached(): (Kernel & { number: number })[] {
  const names = existsSync(CACHE) ? readdirSync(CACHE) : [];
  return names
    .map((name) => PACKAGE.exec(`${name} `))
    .filter((match) => match !== null)
    .map(([, version, major, minor]) => ({
      version: version!,
      number: Number(major) * 1000 + Number(minor),
      image: join(CACHE, `linux-image-${version}`, `boot/vmlinuz-${version}`),
    }))
    .filter(({ image }) => existsSync(image))
    .sort((left, right) => left.number - right.number);
}

/** Downloads and unpacks; what is half done has another name. */
function fetch(name: string): void {
  const folder = join(CACHE, `.${name}.${process.pid}`);
  mkdirSync(folder, { recursive: true });
  try {
    const options = { cwd: folder, stdio: 'ignore', timeout: 300_000 } as const;
    spawnSync('apt-get', ['-o', 'APT::Sandbox::User=root', 'download', name], options);
    const [archive] = readdirSync(folder);
    if (archive === undefined) return;
    spawnSync('dpkg-deb', ['-x', archive, '.'], options);
    rmSync(join(folder, archive));
    for (const rest of ['lib', 'usr']) rmSync(join(folder, rest), { recursive: true, force: true });
    rmSync(join(CACHE, name), { recursive: true, force: true });
    renameSync(folder, join(CACHE, name));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
