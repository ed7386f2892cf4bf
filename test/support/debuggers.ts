/** The programs that read cores, as one function each: arguments in, text out, no user configuration. */
import { spawnSync } from 'node:child_process';
import { type Program, requireProgram } from './packages.ts';

export const gdb: Program = requireProgram('gdb', 'gdb');
export const gcore: Program = requireProgram('gcore', 'gdb');
export const lldb: Program = requireProgram('lldb', 'lldb');
export const readelf: Program = requireProgram('readelf', 'binutils');
export const euReadelf: Program = requireProgram('eu-readelf', 'elfutils');
export const euStack: Program = requireProgram('eu-stack', 'elfutils');

export interface Output {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}

/** Runs a program to its end; English, and no symbols from the network. */
export function run(program: Program, args: readonly string[]): Output {
  const env = { ...process.env, LC_ALL: 'C.UTF-8', DEBUGINFOD_URLS: '', TERM: 'dumb' };
  const result = spawnSync(program.path, args, {
    encoding: 'utf8',
    env,
    maxBuffer: 1 << 28,
    timeout: 300_000,
  });
  if (result.error !== undefined) throw result.error;
  return { stdout: result.stdout, stderr: result.stderr, status: result.status };
}

/** gdb on a core; stdout and stderr together, since it complains in both. */
export function askGdb(core: string, commands: readonly string[], program?: string): string {
  const settings = [
    'set debuginfod enabled off',
    'set width 0',
    'set height 0',
    'set print thread-events off',
  ];
  const args = ['-nx', '-batch', '-q', ...settings.flatMap((setting) => ['-iex', setting])];
  if (program !== undefined) args.push('-ex', `file ${program}`);
  args.push('-ex', `core-file ${core}`, ...commands.flatMap((command) => ['-ex', command]));
  const { stdout, stderr } = run(gdb, args);
  return stdout + stderr;
}

/** lldb on a core. Debian's lldb 14 complains of a missing Python module on stderr, which says nothing of the core. */
export function askLldb(core: string, commands: readonly string[], program?: string): string {
  const args = ['--no-lldbinit', '--batch', '-c', core, ...commands.flatMap((command) => ['-o', command])];
  if (program !== undefined) args.push('--', program);
  const { stdout, stderr } = run(lldb, args);
  return (
    stdout +
    stderr
      .split('\n')
      .filter((line) => line.startsWith('error:'))
      .join('\n')
  );
}
