/** A target that maps, moves, protects and unmaps memory as fast as it can while it is dumped. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Core } from '../../src/index.ts';
import { buildTarget } from '../support/build.ts';
import { startChild } from '../support/child.ts';
import { TestFolder } from '../support/cores.ts';
import { noLiveDump } from '../support/live-dump.ts';
import { lastRecord, runTool } from '../support/tool.ts';
import { assertLetGo } from '../support/unharmed.ts';

const churner = buildTarget('churner');
const DUMPS = 2;
/** what may be told instead of a core: never a core that is wrong */
const REASONS = ['HOLD_FAILED', 'STALLED', 'PAUSE_TOO_LONG', 'KERNEL_FEATURE'];

const mask = (1n << 64n) - 1n;

/** splitmix64's finaliser, as target.h has it */
function mix64(input: bigint): bigint {
  let x = (input + 0x9e3779b97f4a7c15n) & mask;
  x = ((x ^ (x >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
  x = ((x ^ (x >> 27n)) * 0x94d049bb133111ebn) & mask;
  return x ^ (x >> 31n);
}

test('maps that change while they are read: a core that is right, or a reason', {
  skip: noLiveDump || churner.skip,
}, async () => {
  using folder = new TestFolder();
  await using target = await startChild<{ arena: number; words: number }>(churner.path, ['--threads', 2]);
  let cores = 0;
  for (let count = 0; count < DUMPS; count++) {
    const file = folder.file(`core.${count}`);
    const said = await runTool(['dump', target.pid, '-o', file, '--json', '--force', '--max-stall', '20s']);
    const last = lastRecord(said);
    if (said.status === 1) {
      assert.ok(REASONS.includes(String(last['code'])), said.stdout.slice(-500));
      continue;
    }
    assert.ok(said.status === 0 || said.status === 3, `${said.status} ${said.signal} ${said.stderr}`);
    cores++;
    await using core = await Core.open(file);
    assert.equal(core.complete, said.status === 0);
    const { arena, words } = target.ready;
    const bytes = Buffer.from(await core.read(BigInt(arena), words * 8));
    for (let word = 0; word < words; word += 97)
      assert.equal(bytes.readBigUInt64LE(word * 8), mix64(BigInt(word)), `word ${word}`);
    let end = 0n;
    for await (const segment of core.segments()) {
      assert.ok(segment.start >= end, 'no two segments overlap');
      end = segment.end;
    }
  }
  assert.ok(cores > 0, 'not one core in all');
  await assertLetGo(target.pid);
  const { changes, wrong } = await target.quit<{ changes: number; wrong: number }>();
  assert.equal(wrong, 0);
  assert.ok(changes > 1000, `${changes} changes`);
});
