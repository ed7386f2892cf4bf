/** A mounted file system without O_DIRECT, nameless files and punched holes (test/targets/plain-fs.c), as root only. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildTarget } from './build.ts';
import { type Child, startChild } from './child.ts';

export interface PlainFs extends AsyncDisposable {
  /** where it is mounted */
  readonly path: string;
  /** where its files really are */
  readonly backing: string;
  /** from now on no write is answered; who waits for one can't even be killed */
  hang(): Promise<void>;
  /** the same for opening and reading */
  mute(): Promise<void>;
  /** how many requests are held */
  held(): Promise<number>;
  /** answers all of them */
  go(): Promise<void>;
}

/** Mounts one in a folder of its own. Disposing of it unmounts and removes it. */
export async function mountPlainFs(options: { delayUs?: number } = {}): Promise<PlainFs> {
  const folder = mkdtempSync(join(tmpdir(), 'livecore-plain-'));
  const [path, backing] = [join(folder, 'mounted'), join(folder, 'files')];
  mkdirSync(path);
  mkdirSync(backing);
  const child: Child = await startChild(buildTarget('plain-fs').path, [
    ...['--mount', path, '--backing', backing],
    ...['--delay', options.delayUs ?? 0],
  ]);
  return {
    path,
    backing,
    hang: async () => void (await child.ask('hang')),
    mute: async () => void (await child.ask('mute')),
    held: async () => (await child.ask<{ held: number }>('report')).held,
    go: async () => void (await child.ask('go')),
    [Symbol.asyncDispose]: async () => {
      await child.quit();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Why none can be mounted here, or false. */
export const noPlainFs: string | false =
  process.getuid!() === 0 ? buildTarget('plain-fs').skip : 'needs root';
