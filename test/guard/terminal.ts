/** A real terminal, made by script(1), with a shell or a program on it. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { until } from '../support/unharmed.ts';

/** Why there can be none here, or false. */
export const noTerminal: string | false =
  spawnSync('script', ['--version']).status === 0 ? false : 'needs script(1)';
const PATIENCE_MS = 60_000;

export class Terminal implements Disposable {
  readonly #script: ChildProcess;
  /** all that was shown so far, as it was sent */
  shown = '';

  /** @param command for `sh -c`; its end is the terminal's */
  constructor(command: string) {
    this.#script = spawn('script', ['-qec', `stty cols 120; ${command}`, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TERM: 'xterm', NO_COLOR: '1', PS1: '$ ' },
    });
    this.#script.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.shown += text;
    });
  }

  press(keys: string): void {
    this.#script.stdin!.write(keys);
  }

  /** Waits until something is shown; what it matched. */
  async shows(pattern: RegExp): Promise<RegExpExecArray> {
    await until(() => pattern.test(this.shown), `${pattern} is shown`, PATIENCE_MS);
    return pattern.exec(this.shown)!;
  }

  /** Its end hangs up the terminal, which ends what runs on it. */
  [Symbol.dispose](): void {
    this.#script.kill('SIGKILL');
    this.#script.stdout!.destroy();
  }
}
