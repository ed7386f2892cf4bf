/** A live dump of a target by the library, into a folder of its own that is removed with it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DumpOptions, type DumpSummary, dump } from '../../src/index.ts';
import { OWN_CHANGES } from './unharmed.ts';
import { watched } from './watch.ts';

/** A core and what the tool says of it; disposing of it removes the file. */
export interface LiveDump extends Disposable {
  readonly file: string;
  readonly summary: DumpSummary;
}

/** On a machine that tests keep busy a writer may wait for the tool's CPU longer than the default allows. */
export const PATIENT: DumpOptions = { maxStallMs: 10_000, force: true };

/**
 * Dumps a process, and watches it: it must be the same after as before, and meanwhile nearly. What the tool refuses or gives up
 * is thrown.
 *
 * @param own what the process changes by itself, see watch.ts
 */
export async function dumpLive(
  pid: number,
  options: DumpOptions = {},
  own: readonly RegExp[] = OWN_CHANGES,
): Promise<LiveDump> {
  using resources = new DisposableStack();
  const dumped = await watched(pid, own, async () => resources.use(await dumpUnwatched(pid, options)));
  resources.move();
  return dumped;
}

/** The same of a process that may end meanwhile. */
export async function dumpUnwatched(pid: number, options: DumpOptions = {}): Promise<LiveDump> {
  const folder = mkdtempSync(join(tmpdir(), 'livecore-dump-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  const file = join(folder, `core.${pid}`);
  try {
    const summary = await dump(pid, { ...PATIENT, output: file, ...options });
    return { file, summary, [Symbol.dispose]: remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/** Why live dumps can't be tested here, or false. */
export const noLiveDump: string | false = process.getuid!() === 0 ? false : 'needs root';
