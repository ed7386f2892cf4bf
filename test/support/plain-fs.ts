/** A mounted file system without O_DIRECT, nameless files and punched holes (test/targets/plain-fs.c), as root only. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildTarget } from './build.ts';
import { type Child, startChild } from './child.ts';

export interface PlainFsOptions {
  /** what each write takes at least */
  readonly delayUs?: number;
  /** memory that a second thread writes to all the time, and the serving with each request */
  readonly beatMib?: number;
}

export interface PlainFs extends AsyncDisposable {
  readonly pid: number;
  /** where it is mounted */
  readonly path: string;
  /** where its files really are */
  readonly backing: string;
  /** from now on no write, and no close of a descriptor, is answered; who waits for one can't even be killed */
  hang(): Promise<void>;
  /** the same for opening and reading */
  mute(): Promise<void>;
  /** how many requests are held */
  held(): Promise<number>;
  /** answers all of them */
  go(): Promise<void>;
  /** with `beatMib`: how often the thread or the serving went on, and the longest that one did not, in the whole run */
  beats(): Promise<{ readonly count: number; readonly maxNs: number }>;
}

/** Mounts one in a folder of its own. Disposing of it unmounts and removes it. */
export async function mountPlainFs({ delayUs = 0, beatMib = 0 }: PlainFsOptions = {}): Promise<PlainFs> {
  const folder = mkdtempSync(join(tmpdir(), 'livecore-plain-'));
  const [path, backing] = [join(folder, 'mounted'), join(folder, 'files')];
  mkdirSync(path);
  mkdirSync(backing);
  const child: Child = await startChild(buildTarget('plain-fs').path, [
    ...['--mount', path, '--backing', backing],
    ...['--delay', delayUs],
    ...['--beat', beatMib],
  ]);
  return {
    pid: child.pid,
    path,
    backing,
    hang: async () => void (await child.ask('hang')),
    mute: async () => void (await child.ask('mute')),
    held: async () => (await child.ask<{ held: number }>('report')).held,
    go: async () => void (await child.ask('go')),
    beats: async () => (await child.ask<{ gaps: { count: number; maxNs: number } }>('report')).gaps,
    [Symbol.asyncDispose]: async () => {
      try {
        await child.quit();
      } finally {
        // One that does not answer is killed, which leaves the mount.
        await child[Symbol.asyncDispose]();
        spawnSync('umount', ['--lazy', path]);
        rmSync(folder, { recursive: true, force: true });
      }
    },
  };
}

/** Why none can be mounted here, or false. */
export const noPlainFs: string | false =
  process.getuid!() === 0 ? buildTarget('plain-fs').skip : 'needs root';
