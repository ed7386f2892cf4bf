/**
 * Runs in the virtual machine: dumps the writer once, and compares the core with its plan. Says RESULT and JSON at the end.
 * The writer and the checker were compiled outside.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { release } from 'node:os';
import type { WriterCheck } from '../support/check-writer.ts';
import { startChild } from '../support/child.ts';
import { coreSegments } from '../support/segments.ts';
import type { Result } from './machine.ts';

const FILE = '/tmp/core';
/** emulated, a dump takes half a minute, and everything else as many times as long */
const TIMEOUT_MS = 180_000;

const livecore = (...args: string[]) =>
  spawnSync('/livecore/bin/livecore', args, { encoding: 'utf8', timeout: TIMEOUT_MS });

await using writer = await startChild<{ plan: string }>(
  '/targets/writer',
  ['--mib', 64, '--threads', 2, '--rate', 20_000, '--pace', 'sleep'],
  { readyTimeoutMs: TIMEOUT_MS, answerTimeoutMs: TIMEOUT_MS },
);
const doctor = livecore('doctor', `${writer.pid}`);
const { status, signal, stderr } = livecore(
  'dump',
  `${writer.pid}`,
  '-o',
  FILE,
  '--max-stall',
  '5s',
  '--force',
);
const result: Result = {
  release: release(),
  doctor: doctor.stdout,
  ended: signal ?? status,
  stderr,
  ...(status === 0 && { core: checkCore() }),
  target: await writer.ask<{ wrong: number }>('check'),
};
process.stdout.write(`\nRESULT ${JSON.stringify(result)}\n`);

function checkCore(): WriterCheck {
  const input = coreSegments(FILE).map((s) => `${s.address} ${s.offset} ${s.size}\n`);
  const args = ['--plan', writer.ready.plan, '--file', FILE];
  const output = execFileSync('/targets/check-writer', args, { input: input.join(''), encoding: 'utf8' });
  return JSON.parse(output) as WriterCheck;
}
