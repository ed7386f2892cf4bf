/** `livecore explain` on a real terminal, made by script(1): keys in, screen out; and what it writes for programs. */
/* oxlint-disable no-control-regex -- what a terminal is sent */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const launcher = join(import.meta.dirname, '../../bin/livecore');
const skip = spawnSync('script', ['--version']).status === 0 ? false : 'needs script(1)';
const PATIENCE_MS = 30_000;
const LEFT = '\u001b[?25h\u001b[?1049l';

interface Played {
  /** what is on the screen now: all since it was last cleared, without colours */
  readonly screen: () => string;
  /** waits until the screen shows something */
  readonly shows: (pattern: RegExp) => Promise<void>;
  readonly press: (keys: string) => void;
  /** all that was sent, when the program has ended */
  readonly ended: () => Promise<string>;
  /** how it ended, as a shell has it: 128 and the number of the signal, where one ended it */
  readonly status: () => number | null;
  /** all that was sent until now */
  readonly sent: () => string;
  /** the number of the process that runs on the terminal */
  readonly child: () => number;
}

interface Terminal {
  readonly args?: readonly string[];
  readonly columns?: number;
  readonly rows?: number;
  readonly env?: Record<string, string>;
  readonly program?: readonly string[];
}

async function withTerminal(
  { args = [], columns = 80, rows = 40, env = {}, program = [launcher, 'explain', '--seed', '1'] }: Terminal,
  act: (played: Played) => Promise<void>,
): Promise<void> {
  const command = `stty cols ${columns} rows ${rows}; exec ${[...program, ...args].join(' ')}`;
  const terminal = spawn('script', ['-qec', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, TERM: 'xterm', NO_COLOR: '', ...env },
  });
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
      status: () => terminal.exitCode,
      sent: () => sent,
      child: () =>
        Number(
          readFileSync(`/proc/${terminal.pid}/task/${terminal.pid}/children`, 'utf8').trim().split(' ')[0],
        ),
    });
  } finally {
    // Its end hangs up the terminal, which ends what runs on it.
    terminal.kill('SIGKILL');
    terminal.stdout.destroy();
  }
}

for (const [columns, rows] of [
  [40, 16],
  [60, 30],
  [80, 24],
  [140, 24],
] as const) {
  test(`steps forward and back on a terminal of ${columns} columns`, { skip }, async () => {
    await withTerminal(
      { args: ['--step'], columns, rows },
      async ({ shows, press, screen, ended, status }) => {
        await shows(/ 1\/\d+[\s\S]*paused.*quit/);
        const first = screen();
        for (const line of first.split('\r\n')) assert.ok(line.trimEnd().length <= columns, line);
        assert.ok(first.split('\r\n').length <= rows, first);
        press('\u001b[C');
        await shows(/ 2\/\d+[\s\S]*quit/);
        press('n');
        await shows(/ 3\/\d+[\s\S]*quit/);
        press('\u001b[D');
        await shows(/ 2\/\d+[\s\S]*quit/);
        press('p');
        await shows(/ 1\/\d+[\s\S]*quit/);
        assert.equal(screen(), first);
        press('p');
        press('nnnnnnnnnn');
        await shows(/ 11\/\d+[\s\S]*paused.*quit/);
        press(' ');
        await shows(/ 12\/\d+[\s\S]*playing/);
        press(' ');
        await shows(/paused/);
        press('q');
        assert.ok((await ended()).endsWith(LEFT));
        assert.equal(status(), 0);
      },
    );
  });
}

test('plays by itself; Ctrl-C leaves the terminal as it was', { skip }, async () => {
  await withTerminal({}, async ({ shows, press, ended, status }) => {
    await shows(/ 1\/\d+[\s\S]*playing/);
    // What a terminal sends for other keys begins with Escape, and ends nothing.
    press('\u001b[1;5C\u001b[F\u001b');
    press('n');
    await shows(/paused/);
    press('\u0003');
    assert.ok((await ended()).endsWith(LEFT));
    assert.equal(status(), 128 + constants.signals.SIGINT);
  });
});

for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) {
  test(`so does ${signal}`, { skip }, async () => {
    await withTerminal({}, async ({ shows, child, ended, status }) => {
      await shows(/ 1\/\d+[\s\S]*quit/);
      process.kill(child(), signal);
      const sent = await ended();
      assert.ok(sent.lastIndexOf(LEFT) > sent.lastIndexOf('\u001b[2J'), 'nothing is drawn after that');
      assert.equal(status(), 128 + constants.signals[signal]);
    });
  });
}

test('and an exception, which is told after that', { skip }, async () => {
  const player = join(import.meta.dirname, '../../src/cli/explain-player.ts');
  const folder = mkdtempSync(join(tmpdir(), 'livecore-explain-'));
  try {
    const file = join(folder, 'fails.mjs');
    writeFileSync(
      file,
      `import { play } from ${JSON.stringify(player)};
       const pictureAt = (index) => { if (index === 1) throw new Error('it broke'); return 'whole'; };
       await play({ count: 2, pictureAt, durationMs: () => 1e6, playing: false });`,
    );
    await withTerminal({ program: [process.execPath, file] }, async ({ shows, press, ended }) => {
      await shows(/whole[\s\S]*quit/);
      press('n');
      const sent = await ended();
      assert.ok(sent.includes(LEFT), sent);
      assert.match(sent.slice(sent.indexOf(LEFT)), /it broke/);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a terminal that changes its size gets a picture of that size', { skip }, async () => {
  await withTerminal({ args: ['--step'], columns: 140 }, async ({ shows, child, press, ended }) => {
    await shows(/S1 start\] S2 protect[\s\S]*quit/);
    const tty = readlinkSync(`/proc/${child()}/fd/0`);
    assert.equal(spawnSync('stty', ['-F', tty, 'cols', '60']).status, 0);
    await shows(/S1 start\] S2 {2}S3[\s\S]*quit/);
    press('q');
    await ended();
  });
});

test('colours; without them where NO_COLOR says so; plain lines where the terminal is dumb', {
  skip,
}, async () => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what a terminal is sent
  const colour = /\u001b\[\d+m/;
  await withTerminal({ args: ['--step'] }, async ({ shows, sent }) => {
    await shows(/ 1\/\d+[\s\S]*quit/);
    assert.match(sent(), colour);
  });
  await withTerminal({ args: ['--step'], env: { NO_COLOR: '1' } }, async ({ shows, sent }) => {
    await shows(/ 1\/\d+[\s\S]*quit/);
    assert.doesNotMatch(sent(), colour);
  });
  await withTerminal({ env: { TERM: 'dumb' } }, async ({ ended }) => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what a terminal is sent
    assert.doesNotMatch(await ended(), /\u001b/);
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

test('without a terminal it keeps to COLUMNS, where that is narrow', () => {
  for (const [columns, widest] of [
    ['40', 40],
    ['200', 72],
    ['x', 72],
  ] as const) {
    const env = { ...process.env, COLUMNS: columns };
    const { stdout } = spawnSync(launcher, ['explain'], { encoding: 'utf8', env });
    const found = Math.max(...stdout.split('\n').map((line) => line.length));
    assert.ok(found <= widest && found > widest - 8, `${found} at ${columns}`);
  }
});

test('--json: an object a line, with all that the picture shows', () => {
  const { stdout } = spawnSync(launcher, ['explain', '--json'], { encoding: 'utf8' });
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(
    lines.map(({ type }) => type),
    [...Array.from({ length: lines.length - 1 }, () => 'frame'), 'summary'],
  );
  assert.equal(lines.at(-1)!['frames'], lines.length - 1);
  assert.deepEqual(
    lines.slice(0, -1).map(({ index }) => index),
    Array.from({ length: lines.length - 1 }, (_, index) => index),
  );
  const last = lines.at(-2)! as { step: string; blocks: object[]; processors: object[]; devices: object[] };
  assert.equal(last.step, 'S7');
  assert.equal(last.blocks.length, 10);
  assert.deepEqual(last.blocks[4], {
    block: 4,
    holds: 'application',
    memory: ['000000a3', '10050004'],
    write: 'W',
    copied: true,
    leftOut: false,
    snapshot: ['10050000', '10050004'],
    partly: false,
    changed: true,
  });
  assert.deepEqual(last.processors[1], {
    number: 1,
    stopped: false,
    next: 'done',
    buffered: 0,
    tlb: ['5', '7', '6'].map((blocks) => ({ blocks, writable: true })),
  });
  assert.deepEqual(last.devices, [{ slot: 0, open: true, begun: 3 }]);
});

test('--svg: a picture a moment; with --json the lines too; a folder that can not be made is named', () => {
  const folder = mkdtempSync(join(tmpdir(), 'livecore-explain-'));
  const explain = (...args: string[]): ReturnType<typeof spawnSync> & { stdout: string; stderr: string } =>
    spawnSync(launcher, ['explain', ...args], { encoding: 'utf8', timeout: PATIENCE_MS });
  try {
    const { status, stdout } = explain('--json', '--svg', join(folder, 'a/b'));
    assert.equal(status, 0);
    const { frames } = JSON.parse(stdout.trim().split('\n').at(-1)!) as { frames: number };
    const names = readdirSync(join(folder, 'a/b')).sort();
    assert.deepEqual(
      names,
      Array.from({ length: frames }, (_, index) => `frame-${String(index + 1).padStart(3, '0')}.svg`),
    );
    for (const name of names)
      assert.match(readFileSync(join(folder, 'a/b', name), 'utf8'), /^<svg xmlns[\s\S]*<\/svg>\n$/);
    writeFileSync(join(folder, 'file'), '');
    // Node's own mkdir never returns from the second.
    for (const bad of [join(folder, 'file/x'), '/proc/x/y']) {
      const refused = explain('--svg', bad);
      assert.equal(refused.status, 1, bad);
      assert.ok(refused.stderr.startsWith(`livecore: --svg ${bad}: `), refused.stderr);
      assert.match(refused.stderr, /name a folder that can be written to/);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
