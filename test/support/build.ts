/** The C targets, compiled when they are first needed and kept until a source changes. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Program, requireProgram } from './packages.ts';

export interface BuildOptions {
  /** static against musl: another libc and loader, no vDSO surprises of glibc, another thread layout */
  readonly musl?: boolean;
  /** further compiler options, after the standard ones */
  readonly flags?: readonly string[];
}

const SOURCES = join(import.meta.dirname, '../targets');
const CACHE = join(import.meta.dirname, '../../node_modules/.cache/livecore-targets');

/**
 * The path of `test/targets/NAME.c` compiled, or the reason to skip where there is no compiler.
 * A source that does not compile without a warning throws: that is a fault of ours.
 *
 * @example
 * const writer = buildTarget('writer');
 * test('...', { skip: writer.skip }, async () => { await using child = await startChild(writer.path); });
 */
export function buildTarget(name: string, options: BuildOptions = {}): Program {
  const compiler = options.musl ? requireProgram('musl-gcc', 'musl-tools') : requireProgram('gcc', 'gcc');
  if (compiler.skip !== false) return compiler;
  return { path: compileCached(compiler.path, join(SOURCES, `${name}.c`), options), skip: false };
}

/** Compiles a C source from anywhere with the options of the targets; `buildTarget` is the usual way. */
export function compileCached(compiler: string, source: string, options: BuildOptions): string {
  const flags = ['-std=gnu17', '-O2', '-g', '-Wall', '-Wextra', '-Werror', '-pthread', `-I${SOURCES}`];
  // the kernel's headers are the same for every libc, but musl-gcc does not look where Debian keeps them
  const kernelHeaders = ['-idirafter', '/usr/include', '-idirafter', '/usr/include/x86_64-linux-gnu'];
  if (options.musl) flags.push('-static', ...kernelHeaders);
  flags.push(...(options.flags ?? []));
  const hash = createHash('sha256');
  hash.update(JSON.stringify([compiler, flags]));
  for (const file of [source, ...headers()]) hash.update(basename(file)).update(readFileSync(file));
  const name = basename(source, '.c');
  const program = join(CACHE, hash.digest('hex').slice(0, 16), name);
  if (existsSync(program)) return program;
  mkdirSync(join(program, '..'), { recursive: true });
  // test files run side by side and may compile the same target: each writes its own, the rename is atomic
  const unfinished = `${program}.${process.pid}`;
  try {
    execFileSync(compiler, ['-o', unfinished, source, ...flags], { encoding: 'utf8', stdio: 'pipe' });
    renameSync(unfinished, program);
  } finally {
    rmSync(unfinished, { force: true });
  }
  return program;
}

function headers(): string[] {
  const names = readdirSync(SOURCES).filter((name) => name.endsWith('.h'));
  return names.sort().map((name) => join(SOURCES, name));
}
