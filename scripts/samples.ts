/**
 * Runs the samples of the documents: fenced blocks of Markdown files and doc comments that are marked `run`
 * (```sh run, ```ts run; `run root` where it takes root).
 *
 * Each runs in an empty folder, with `livecore` on the PATH, `import ... from 'livecore'` meaning this checkout,
 * and a process to dump, whose number is $PID in the shell and the first argument of a program.
 */
import { spawn, spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A block of a document that is to be run. */
export interface Sample {
  /** file and line of its first line */
  readonly place: string;
  readonly language: 'sh' | 'ts';
  readonly needsRoot: boolean;
  readonly code: string;
}

const root = join(import.meta.dirname, '..');

/** The samples in one file, in order. */
export function samplesIn(file: string, text: string): Sample[] {
  // In a doc comment each line starts with ` * `.
  const fence = /^([ \t]*(?:\* )?)```(sh|ts) run( root)?\n([\s\S]*?)^[ \t]*(?:\* )?```$/gm;
  return [...text.matchAll(fence)].map((match) => {
    const [, margin = '', language, needsRoot, body = ''] = match;
    const lineNumber = text.slice(0, match.index).split('\n').length + 1;
    const lines = body
      .split('\n')
      .map((line) => (line.startsWith(margin) ? line.slice(margin.length) : line.trim().replace(/^\*$/, '')));
    return {
      place: `${file}:${lineNumber}`,
      language: language as 'sh' | 'ts',
      needsRoot: needsRoot !== undefined,
      code: lines.join('\n'),
    };
  });
}

/** Runs them all; returns what failed. */
export function runSamples(): string[] {
  const files = globSync(['*.md', 'docs/**/*.md', 'src/**/*.ts'], { cwd: root }).sort();
  const samples = files.flatMap((file) => samplesIn(file, readFileSync(join(root, file), 'utf8')));
  const isRoot = process.getuid?.() === 0;
  const runnable = samples.filter((sample) => isRoot || !sample.needsRoot);
  if (runnable.length < samples.length)
    console.log(`         not root: ${samples.length - runnable.length} samples skipped`);
  return runnable.flatMap(runSample);
}

function runSample({ place, language, code }: Sample): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'livecore-sample-'));
  // A real target that is still: the samples show how to call livecore, not what it withstands.
  const target = spawn('sleep', ['600'], { stdio: 'ignore' });
  try {
    const env = {
      ...process.env,
      PID: String(target.pid),
      PATH: `${join(root, 'bin')}:${process.env['PATH']}`,
    };
    const file = join(folder, `sample.${language}`);
    writeFileSync(file, code);
    const result =
      language === 'sh'
        ? spawnSync('bash', ['-euo', 'pipefail', file], {
            cwd: folder,
            env,
            encoding: 'utf8',
            timeout: 120_000,
          })
        : spawnSync(
            process.execPath,
            ['--import', join(root, 'scripts/self-import.ts'), file, String(target.pid)],
            { cwd: folder, env, encoding: 'utf8', timeout: 120_000 },
          );
    if (result.status === 0) return [];
    return [`${place}: exit ${result.status ?? result.signal}`, `${result.stdout}${result.stderr}`];
  } finally {
    target.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}
