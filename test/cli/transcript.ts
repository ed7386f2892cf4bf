/**
 * Transcripts: what a user types, and what the terminal then shows.
 *
 *     # a comment
 *     $ livecore dump abc
 *     ! livecore: ...        a line on stderr
 *     whatever               a line on stdout
 *     [exit 2]               0 where nothing is said
 *
 * Commands are run by bash in an empty folder of the transcript's own, with bin/ in front of the PATH. $PID is a
 * sleeping process, in commands and in what is expected. In what is expected `{...}` stands for any text within a line,
 * and a line of `...` for any number of lines.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** One command of a transcript, and what it must do. */
export interface Command {
  readonly line: string;
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
  readonly status: number;
}

/** What a command did. */
export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}

const root = join(import.meta.dirname, '../..');
const TIMEOUT_MS = 120_000;

/** Reads the commands of a transcript. */
export function parseTranscript(text: string): Command[] {
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const [line = '', ...said] = part.split('\n').filter((each) => !each.startsWith('# '));
      const exit = said.map((each) => /^\[exit (\d+)\]$/.exec(each)).find((match) => match !== null);
      const lines = said
        .slice(0, said.findLastIndex((each) => each !== '') + 1)
        .filter((each) => !/^\[exit \d+\]$/.test(each));
      return {
        line,
        stdout: lines.filter((each) => !each.startsWith('!')),
        stderr: lines.filter((each) => each.startsWith('!')).map((each) => each.replace(/^! ?/, '')),
        status: Number(exit?.[1] ?? 0),
      };
    });
}

/** Runs all commands, in order, and hands each with its outcome to `judge`. */
export function runTranscript(
  text: string,
  judge: (command: Command, outcome: Outcome, pid: number) => void,
): void {
  const folder = mkdtempSync(join(tmpdir(), 'livecore-transcript-'));
  const target = spawn('sleep', ['1000'], { stdio: 'ignore' });
  try {
    for (const command of parseTranscript(text)) {
      const { pid, stdout, stderr, status } = spawnSync('setsid', ['-w', 'bash', '-c', command.line], {
        cwd: folder,
        env: {
          PATH: `${join(root, 'bin')}:${process.env['PATH']}`,
          HOME: folder,
          LANG: 'C.UTF-8',
          PID: String(target.pid),
        },
        encoding: 'utf8',
        timeout: TIMEOUT_MS,
      });
      endGroup(pid);
      judge(command, { stdout, stderr, status }, target.pid!);
    }
  } finally {
    target.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Ends what a command left running: all of it is in the process group that was made for the command. */
function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // nobody is left, as it should be
  }
}

/** Whether a stream said what was expected; trailing spaces and a last newline do not count. */
export function matches(expected: readonly string[], actual: string, pid: number): boolean {
  const pattern = expected
    .map((line) => (line === '...' ? '(?:.*\\n)*?' : `${escapeLine(line, pid)}[ ]*\\n`))
    .join('');
  const text = actual === '' || actual.endsWith('\n') ? actual : `${actual}\n`;
  return new RegExp(`^${pattern}\\n*$`).test(text);
}

function escapeLine(line: string, pid: number): string {
  return line
    .replaceAll('$PID', String(pid))
    .split('{...}')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*');
}
