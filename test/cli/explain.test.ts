/** `livecore explain` on a real terminal, made by script(1): keys in, screen out; and what it writes for programs. */
/* oxlint-disable no-control-regex -- what a terminal is sent */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const launcher = join(import.meta.dirname, '../../bin/livecore');
const skip = spawnSync('script', ['--version']).status === 0 ? false : 'needs script(1)';
const PATIENCE_MS = 30_000;
const LEFT = '\u001b[?25h\u001b[?1049l';

interface Played {
  /** what is on the screen now: all since it was last cleared, without colours */
  screen(): string;
  /** waits until the screen shows something */
  shows(pattern: RegExp): Promise<void>;
  press(keys: string): void;
  /** all that was sent, when the program has ended */
  ended(): Promise<string>;
  readonly pid: number;
}

async function withTerminal(
  { args = [], columns = 80 }: { args?: string[]; columns?: number },
  act: (played: Played) => Promise<void>,
): Promise<void> {
  const command = `stty cols ${columns} rows 40; exec ${[launcher, 'explain', '--seed', '1', ...args].join(' ')}`;
  const terminal = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  let sent = '';
  terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
    sent += text;
  });
  const exit = once(terminal, 'exit');
  const screen = (): string =>
    // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what a terminal is sent
    (sent.split('\u001b[2J').at(-1) ?? '').replaceAll(/\u001b\[[0-9;?]*[a-zA-Z]/g, '');
  try {
    await act({
      screen,
      press: (keys) => terminal.stdin.write(keys),
      async shows(pattern) {
        for (const end = Date.now() + PATIENCE_MS; !pattern.test(screen()); await sleep(20))
          assert.ok(Date.now() < end, `${String(pattern)} is not on the screen:\n${screen()}`);
      },
      async ended() {
        const ended = await Promise.race([exit.then(() => true), sleep(PATIENCE_MS, false, { ref: false })]);
        assert.ok(ended, `it has not ended:\n${sent.slice(-2000)}`);
        return sent;
      },
      pid: terminal.pid!,
    });
  } finally {
    // Its end hangs up the terminal, which ends what runs on it.
    terminal.kill('SIGKILL');
    terminal.stdout.destroy();
  }
}

for (const columns of [60, 140]) {
  test(`steps forward and back on a terminal of ${columns} columns`, { skip }, async () => {
    await withTerminal({ args: ['--step'], columns }, async ({ shows, press, screen, ended }) => {
      await shows(/ 1\/\d+[\s\S]*paused/);
      const first = screen();
      for (const line of first.split('\r\n')) assert.ok(line.trimEnd().length <= columns, line);
      press('\u001b[C');
      await shows(/ 2\/\d+/);
      press('n');
      await shows(/ 3\/\d+/);
      press('\u001b[D');
      await shows(/ 2\/\d+/);
      press('p');
      await shows(/ 1\/\d+/);
      assert.equal(screen(), first);
      press('p');
      press(' ');
      await shows(/playing/);
      await shows(/ 2\/\d+/);
      press('q');
      assert.ok((await ended()).endsWith(LEFT));
    });
  });
}

test('plays by itself; Ctrl-C leaves the terminal as it was', { skip }, async () => {
  await withTerminal({}, async ({ shows, press, ended }) => {
    await shows(/ 2\/\d+[\s\S]*playing/);
    press('\u0003');
    assert.ok((await ended()).endsWith(LEFT));
  });
});

test('so does a signal', { skip }, async () => {
  await withTerminal({}, async ({ shows, pid, ended }) => {
    await shows(/ 1\/\d+/);
    const own = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]!;
    process.kill(Number(own), 'SIGTERM');
    assert.ok((await ended()).endsWith(LEFT));
  });
});

test('the end stays until it is left', { skip }, async () => {
  await withTerminal({ args: ['--step'] }, async ({ shows, press, ended }) => {
    await shows(/ 1\/\d+/);
    const count = Number(/ 1\/(\d+)/.exec(await frames())![1]);
    press('n'.repeat(1));
    for (let index = 2; index <= count; index++) {
      await shows(new RegExp(` ${index}/${count}`));
      press('n');
    }
    await shows(/the end/);
    press('q');
    await ended();
  });
});

/** The first lines of the same, without a terminal. */
function frames(): Promise<string> {
  const { stdout } = spawnSync(launcher, ['explain', '--seed', '1'], { encoding: 'utf8' });
  return Promise.resolve(stdout);
}

test('without a terminal it is plain text, and colourless', () => {
  const { stdout, status } = spawnSync(launcher, ['explain'], { encoding: 'utf8' });
  assert.equal(status, 0);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what a terminal is sent
  assert.doesNotMatch(stdout, /\u001b/);
  for (const step of ['S1', 'S2', 'S3', 'S4', 'S5', 'S6', 'S7'])
    assert.match(stdout, new RegExp(`^.*\\[?${step}`, 'm'));
});

test('--json: an object a line, with all that the picture shows', () => {
  const { stdout } = spawnSync(launcher, ['explain', '--json'], { encoding: 'utf8' });
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(new Set(lines.map(({ type }) => type)), new Set(['frame', 'summary']));
  assert.equal(lines.at(-1)!['frames'], lines.length - 1);
  const last = lines.at(-2)! as unknown as { blocks: { copied: boolean }[]; processors: unknown[] };
  assert.equal(last.blocks.length, 10);
  assert.equal(last.processors.length, 2);
});

test('--svg: a picture a moment; a folder that can not be made is named', () => {
  const folder = mkdtempSync(join(tmpdir(), 'livecore-explain-'));
  try {
    const { status } = spawnSync(launcher, ['explain', '--svg', join(folder, 'a/b')], { encoding: 'utf8' });
    assert.equal(status, 0);
    const names = readdirSync(join(folder, 'a/b'));
    assert.ok(names.length > 40);
    for (const name of names)
      assert.match(readFileSync(join(folder, 'a/b', name), 'utf8'), /^<svg xmlns[\s\S]*<\/svg>\n$/);
    writeFileSync(join(folder, 'file'), '');
    const bad = spawnSync(launcher, ['explain', '--svg', join(folder, 'file/x')], { encoding: 'utf8' });
    assert.equal(bad.status, 1);
    assert.match(bad.stderr, /--svg .*file\/x.*name a folder that can be written to/s);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
