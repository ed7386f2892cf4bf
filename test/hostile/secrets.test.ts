/** Nothing that the tool says tells what a target has in its arguments, its environment or its memory. */
import assert from 'node:assert/strict';
import { readFileSync, symlinkSync } from 'node:fs';
import { test } from 'node:test';
import { detach, interrupt, seize, WaitStatus } from '../../src/linux/ptrace.ts';
import { buildTarget } from '../support/build.ts';
import { startChild } from '../support/child.ts';
import { TestFolder } from '../support/cores.ts';
import { noLiveDump } from '../support/live-dump.ts';
import { type Said, Tool } from '../support/tool.ts';

const names = buildTarget('names');
const skip = noLiveDump || names.skip;
/** one for each place that a secret can be in; none is a part of another */
const SECRETS = ['canary-ARGUMENT-93b1', 'canary-ENVIRONMENT-93b1'] as const;

function assertSilent(said: Said, args: readonly unknown[], except: readonly string[] = []): void {
  for (const secret of SECRETS.filter((each) => !except.includes(each)))
    assert.equal((said.stdout + said.stderr).includes(secret), false, `${args.join(' ')} tells ${secret}`);
}

test('no secret of a target is told, whether it succeeds or fails', { skip }, async () => {
  using folder = new TestFolder();
  const [argument, environment] = SECRETS;
  // A short path, since a core keeps 79 bytes of the command line.
  const program = folder.file('p');
  symlinkSync(names.path, program);
  await using target = await startChild(program, ['--password', argument], {
    env: { PASSWORD: environment },
    cwd: folder.path,
  });
  const { pid } = target;
  assert.ok(readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(argument));
  assert.ok(readFileSync(`/proc/${pid}/environ`, 'utf8').includes(environment));
  const core = folder.file('core');
  const say = async (args: (string | number)[], options: { env?: NodeJS.ProcessEnv } = {}): Promise<Said> => {
    const said = await new Tool(args, { cwd: folder.path, ...options }).ended;
    assertSilent(said, args);
    return said;
  };
  const force = ['--force', '--max-stall', '10s'];
  assert.equal((await say(['dump', pid, '-o', core, ...force])).status, 0);
  assert.ok(readFileSync(core).includes(environment), 'the core itself holds all of it');
  for (const json of [[], ['--json']]) {
    await say(['dump', pid, '-o', `${core}.${json.length}`, ...force, ...json]);
    await say(['doctor', pid, ...json]);
    // What goes wrong: the name is taken, no such folder, a pause that is too long, no memory to stage in.
    await say(['dump', pid, '-o', core, ...json]);
    await say(['dump', pid, '-o', '/nowhere/core', ...json]);
    await say(['dump', pid, '-o', `${core}.none`, '--max-pause', '0.000001', ...json]);
    const show = await new Tool(['show', core, ...json]).ended;
    // `show` tells the command line, as ps does and the kernel's own cores do.
    assertSilent(show, ['show'], [argument]);
    assert.ok(show.stdout.includes(argument));
  }
  await refusedWhileTraced(pid, say);
});

async function refusedWhileTraced(
  pid: number,
  say: (args: (string | number)[]) => Promise<Said>,
): Promise<void> {
  assert.equal(seize(pid, 0), 0);
  try {
    assert.equal((await say(['dump', pid])).status, 1);
    assert.equal((await say(['doctor', pid, '--json'])).status, 1);
  } finally {
    interrupt(pid);
    const status = new WaitStatus();
    while (status.wait(pid) === 0);
    detach(pid);
  }
}
