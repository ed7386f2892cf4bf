/** Ctrl-Z; and targets that the command's own terminal depends on: the shell that has started it, and tmux. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestFolder } from '../support/cores.ts';
import { requireProgram } from '../support/packages.ts';
import { mountPlainFs, noPlainFs } from '../support/plain-fs.ts';
import { assertLetGo, isRunning, loopsOf, until, wholeCoreOrNone } from '../support/unharmed.ts';
import {
  GUARD,
  Guarded,
  isStopped,
  launcher,
  MAX_STALL_MS,
  noGuardTest,
  SLOW_FILES,
  SLOWLY,
  SMALL_BUFFER,
  type Subject,
  Watched,
} from './guarded.ts';
import { noTerminal, Terminal } from './terminal.ts';

const PATIENCE_MS = 60_000;
const bash = requireProgram('bash', 'bash');
const tmux = requireProgram('tmux', 'tmux');
const skip = noGuardTest || noTerminal || bash.skip;
const SHELL = `exec ${bash.path} --norc --noprofile --noediting -i`;
const dumpOf = (pid: number | string, file: string, ...args: string[]): string =>
  [launcher, 'dump', pid, ...GUARD, '-o', file, ...args].join(' ');

test('Ctrl-Z stops the command, and nothing else', { skip: skip || noPlainFs }, async (context) => {
  await using files = await mountPlainFs(SLOW_FILES);
  await using target = await Guarded.start(SLOWLY);
  using terminal = new Terminal(SHELL);
  const core = join(files.path, 'core');
  terminal.press(`${dumpOf(target.pid, core, ...SMALL_BUFFER)}\n`);
  await terminal.shows(/copying/);
  const [loop] = loopsOf(target.pid);
  terminal.press('\u001a');
  await terminal.shows(/Stopped/);
  assert.ok(isRunning(loop!), 'the dump was over too early to show anything');
  const command = Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${loop}/status`, 'utf8'))![1]);
  assert.ok(isStopped(command));
  await until(() => !isRunning(loop!), 'the loop ends by itself', PATIENCE_MS);
  await target.unharmed(context, 'none');
  assert.ok(await wholeCoreOrNone(core), 'the core is there while the command stands still');
  assert.ok(isStopped(command));
  terminal.press('fg\n');
  await terminal.shows(/\r?\n[^\n]*mounted\/core\r?\n/);
  terminal.press('echo "status=$?"\n');
  await terminal.shows(/status=0/);
  await target.end();
});

test('a shell that reads what the command that dumps it says', { skip }, async () => {
  using folder = new TestFolder();
  const core = folder.file('core');
  const script = `said=$(${dumpOf('$$', core)} --json); echo "status=$?"; echo "$said"`;
  const { status, stdout } = spawnSync('sh', ['-c', script], { encoding: 'utf8', timeout: PATIENCE_MS });
  assert.equal(status, 0);
  assert.match(stdout, /^status=0\n(\{.*\}\n)*\{"type":"summary".*\}\n$/);
  assert.ok(await wholeCoreOrNone(core));
});

/** Writes to its memory, and tells the longest time between two rounds, in us. */
const MEASURES = `
measure() {
  local -a words; local round=0 longest=0 last=\${EPOCHREALTIME/./} now
  while [ -d /proc/$1 ]; do
    words[round % 5000]=$round; round=$((round + 1))
    now=\${EPOCHREALTIME/./}; (( now - last > longest )) && longest=$((now - last)); last=$now
  done
  echo "longest=$longest rounds=$round"
}
`;

test('an interactive shell that works while it is dumped, and waits for that', { skip }, async (context) => {
  using folder = new TestFolder();
  const [script, first, second] = [folder.file('measure'), folder.file('first'), folder.file('second')];
  writeFileSync(script, MEASURES);
  using terminal = new Terminal(SHELL);
  terminal.press(`. ${script}; echo "pid=$$"\n`);
  const pid = Number((await terminal.shows(/pid=(\d+)\r?\n/))[1]);
  // In the foreground of the terminal whose keys the target reads.
  terminal.press(`${dumpOf('$$', first)}; echo "first=$?"\n`);
  await terminal.shows(/first=0/);
  terminal.press(`${dumpOf('$$', second)} --quiet & measure $!; wait $!; echo "second=$?"\n`);
  const longest = Number((await terminal.shows(/longest=(\d+) rounds=\d+/))[1]) / 1000;
  context.diagnostic(`longest stall ${longest.toFixed(0)} ms`);
  await terminal.shows(/second=0/);
  assert.ok(longest <= MAX_STALL_MS, `it waited for ${longest} ms`);
  for (const core of [first, second]) assert.ok(await wholeCoreOrNone(core));
  await assertLetGo(pid);
  assert.ok(!isStopped(pid));
  terminal.press('echo "goes $((40 + 2)) on"\n');
  await terminal.shows(/goes 42 on/);
});

/** A tmux server of its own, with one window. What it holds up is seen by its clients. */
class Multiplexer implements Disposable, Subject {
  readonly pid: number;
  readonly #name = `livecore-${process.pid}`;
  #asked = 0;
  #longestMs = 0;

  constructor() {
    this.do(
      '-f',
      '/dev/null',
      'new-session',
      '-d',
      '-x',
      '120',
      '-y',
      '40',
      bash.path,
      '--norc',
      '--noprofile',
    );
    this.pid = Number(this.do('display-message', '-p', '#{pid}'));
  }

  do(...args: string[]): string {
    const begin = performance.now();
    const said = execFileSync(tmux.path, ['-L', this.#name, ...args], {
      encoding: 'utf8',
      timeout: PATIENCE_MS,
      env: { ...process.env, TMUX: '', PS1: '$ ' },
    });
    this.#longestMs = Math.max(this.#longestMs, performance.now() - begin);
    this.#asked++;
    return said;
  }

  type(line: string): void {
    this.do('send-keys', line, 'Enter');
  }

  async beats(): Promise<number> {
    // Each answer counts for many: it takes a process.
    this.do('display-message', '-p', '#{pid}');
    return this.#asked * 100;
  }

  async longestStallMs(): Promise<number> {
    return this.#longestMs;
  }

  [Symbol.dispose](): void {
    spawnSync(tmux.path, ['-L', this.#name, 'kill-server']);
  }
}

test('tmux, dumped from a window of its own that is full of what it must show', {
  skip: skip || tmux.skip,
}, async (context) => {
  using folder = new TestFolder();
  const [core, status] = [folder.file('core'), folder.file('status')];
  using target = new Multiplexer();
  await using watched = await Watched.start(target);
  // The terminal takes no more as soon as tmux does not read: then the command waits for tmux.
  target.type('while :; do seq 1 300; done &');
  target.type(`${dumpOf(target.pid, core)}; echo $? > ${status}`);
  while (!existsSync(status) || readFileSync(status, 'utf8') === '') {
    await target.beats();
    await sleep(10);
  }
  target.type('kill %1');
  assert.equal(readFileSync(status, 'utf8'), '0\n');
  // Clients come and go.
  await watched.unharmed(context, [/^fd \d+: /, /^FDSize: /, /^map /, /^VmSize: /, /^VmData: /, /^VmPTE: /]);
  assert.ok(await wholeCoreOrNone(core));
});
