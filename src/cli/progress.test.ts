import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import type { DumpProgress } from '../dump-types.ts';
import { describeProgress, ProgressLine } from './progress.ts';
import { type Stream, Voice } from './voice.ts';

/** A stream that keeps what was written to it. */
function keeper(isTTY: boolean): Stream & { text: string } {
  const stream = Object.assign(new Writable(), { text: '', isTTY, columns: 60 });
  stream._write = (chunk, _encoding, done) => {
    stream.text += String(chunk);
    done();
  };
  return stream;
}

const event = (blocksDone: number): DumpProgress => ({
  phase: 'copy',
  blocksDone,
  blocksTotal: 262144,
  bytesPerSecond: 2.1 * 2 ** 30,
  trapsPerSecond: 812.4,
  secondsLeft: 0.2,
});

test('one line tells blocks, rate, traps and the time that is left', () => {
  const text = describeProgress(event(118012));
  assert.equal(text, 'copying  45%  118,012 of 262,144 blocks  2.1 GiB/s  812 traps/s  1 s left');
});

test('on a terminal the line is written over again, and never wider than it', () => {
  process.env['TERM'] = 'xterm';
  const stderr = keeper(true);
  const voice = new Voice(keeper(false), stderr);
  const progress = new ProgressLine(voice);
  progress.show(event(1));
  progress.show(event(262144));
  voice.settle();
  const lines = stderr.text.split('\r').filter(Boolean);
  assert.equal(lines.length, 3);
  assert.ok(!stderr.text.includes('\n'));
  for (const line of lines) assert.ok(line.replace('\u001b[K', '').length < 60, line);
  assert.match(lines[1]!, /^█{20} copying {2}100%/);
});

test('elsewhere there is a plain line a phase, and one every ten seconds', () => {
  const stderr = keeper(false);
  let nowMs = 0;
  const progress = new ProgressLine(new Voice(keeper(false), stderr), () => nowMs);
  for (; nowMs < 25_000; nowMs += 100) progress.show(event(nowMs));
  progress.show({ ...event(262144), phase: 'finish' });
  assert.deepEqual(
    stderr.text.split('\n').map((line) => line.split('  ')[0]),
    ['copying', 'copying', 'copying', 'finishing the file', ''],
  );
  assert.ok(!stderr.text.includes('\u001b'));
});

test('in JSON there is a line a second, on stdout', () => {
  const [stdout, stderr] = [keeper(false), keeper(true)];
  let nowMs = 0;
  const voice = new Voice(stdout, stderr);
  voice.adopt({ json: true });
  const progress = new ProgressLine(voice, () => nowMs);
  for (; nowMs < 3000; nowMs += 100) progress.show(event(nowMs));
  const records = stdout.text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; blocksDone: number });
  assert.deepEqual(
    records.map(({ type, blocksDone }) => [type, blocksDone]),
    [
      ['progress', 0],
      ['progress', 1000],
      ['progress', 2000],
    ],
  );
  assert.equal(stderr.text, '');
});
