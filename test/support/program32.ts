/** A running program of 32 bits, assembled here: no library of 32 bits is needed for it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { TestFolder } from './cores.ts';
import { requireProgram } from './packages.ts';
import { isRunning, until } from './unharmed.ts';

const source = join(import.meta.dirname, '../targets/tiny32.s');
const [as, ld] = [requireProgram('as', 'binutils'), requireProgram('ld', 'binutils')];

/** Starts one; undefined where the kernel runs none (CONFIG_IA32_EMULATION). */
export async function startProgram32(
  folder: TestFolder,
): Promise<(Disposable & { pid: number }) | undefined> {
  const [object, program] = [folder.file('tiny32.o'), folder.file('tiny32')];
  execFileSync(as.path, ['--32', source, '-o', object]);
  execFileSync(ld.path, ['-m', 'elf_i386', object, '-o', program]);
  const child: ChildProcess = spawn(program, { stdio: 'ignore' });
  const failed = once(child, 'error').then(() => true);
  if (child.pid === undefined && (await failed)) return undefined;
  const pid = child.pid!;
  await until(() => isRunning(pid), 'it runs');
  return { pid, [Symbol.dispose]: () => void child.kill('SIGKILL') };
}

/** Why none can be made here, or false. */
export const noProgram32: string | false = as.skip || ld.skip;
