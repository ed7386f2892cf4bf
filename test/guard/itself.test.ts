/** The library dumps the process that called it, which does not listen. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { TestFolder } from '../support/cores.ts';
import { until, wholeCoreOrNone } from '../support/unharmed.ts';
import { MAX_STALL_MS, noGuardTest as skip } from './guarded.ts';

const program = join(import.meta.dirname, '../targets/dumps-itself.ts');

test('a process that computes gets its own core', { skip }, async (context) => {
  using folder = new TestFolder();
  const core = folder.file('core');
  const child = spawn(process.execPath, [program, core, String(MAX_STALL_MS)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  try {
    await until(() => child.exitCode !== null && said !== '', 'it ends', 100_000);
    assert.equal(child.exitCode, 0);
    const { longestMs, rounds } = JSON.parse(said) as { longestMs: number; rounds: number };
    context.diagnostic(`longest stall ${longestMs.toFixed(0)} ms in ${rounds} rounds`);
    assert.ok(longestMs <= MAX_STALL_MS, `it waited for ${longestMs} ms`);
    assert.ok(await wholeCoreOrNone(core));
  } finally {
    child.kill('SIGKILL');
  }
});
