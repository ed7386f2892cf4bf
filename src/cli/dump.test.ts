/** The command around `dump`: options in, words and exit status out. The dump itself is tested with real targets. */
import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import type { Dump, DumpOptions, DumpSummary } from '../dump-types.ts';
import { LivecoreError } from '../errors.ts';
import { run } from './tree.ts';
import { type Stream, Voice } from './voice.ts';

const memory = { rssBytes: 1, pssBytes: 1, vmPteBytes: 1, anonHugePagesBytes: 0, swapBytes: 0 };
const summary: DumpSummary = {
  type: 'summary',
  pid: 7,
  file: 'core.7',
  strategy: 'protect',
  t0: '2026-01-01T00:00:00.000000000Z',
  pauseMs: 0.21,
  attachMs: 0.4,
  totalMs: 900,
  memoryBytes: 2 ** 30,
  fileBytes: 2 ** 29,
  blocks: {
    total: 262144,
    initial: 400,
    early: 30,
    trapped: 800,
    swept: 260000,
    zero: 944,
    unreliable: 0,
    lost: 0,
  },
  traps: { count: 812, p50Us: 13, p99Us: 60, maxUs: 240 },
  courseNs: { attach: 1e9, arm: 2e9, hold: 3e9, copy: 4e9, release: 5e9, finish: 6e9, done: 7e9 },
  peakRssBytes: 2 ** 27,
  before: memory,
  after: memory,
};

interface Said {
  status: number;
  stdout: string;
  stderr: string;
  options: DumpOptions | undefined;
}

/** Runs a command line over a dump that ends as told. */
async function runWith(args: string[], end: () => DumpSummary): Promise<Said> {
  const said: Said = { status: -1, stdout: '', stderr: '', options: undefined };
  const stream = (name: 'stdout' | 'stderr'): Stream =>
    new Writable({
      write: (chunk, _encoding, done) => {
        said[name] += String(chunk);
        done();
      },
    });
  const dump: Dump = async (_pid, options) => {
    said.options = options;
    options.onPlan?.({ type: 'plan', pid: 7, leftOut: [], forecastPauseMs: 0.3 });
    options.onNotice?.('arming did not converge');
    return end();
  };
  const voice = new Voice(stream('stdout'), stream('stderr'));
  said.status = await run(args, { voice, loadDump: async () => dump, ending: 'whole' });
  return said;
}

test('stdout is the name of the file, all else is talk', async () => {
  const { status, stdout, stderr } = await runWith(['dump', '7'], () => summary);
  assert.equal(status, 0);
  assert.equal(stdout, 'core.7\n');
  assert.equal(
    stderr,
    [
      'forecast pause 0.3 ms; by rule 0 ranges left out (0 bytes)',
      'note: arming did not converge',
      '1 GiB of memory as of 2026-01-01T00:00:00.000000000Z; the file takes 512 MiB',
      'pause 0.21 ms (at most 0.4 ms before it), 900 ms in all',
      '262,144 blocks: 400 in the pause, 800 just before a write, 260,000 in the background, 944 zero',
      'writes that waited for their copy: 812, median 13 µs, 99% within 60 µs, longest 0.24 ms',
      '',
    ].join('\n'),
  );
});

test('options reach the library with their units, and none that was not given', async () => {
  const { options } = await runWith(
    [
      'dump',
      '7',
      '-o',
      'x',
      '--all',
      '--max-pause',
      '1',
      '--max-stall',
      '1s',
      '--buffer',
      '64MiB',
      '--force',
    ],
    () => summary,
  );
  const { output, all, maxPauseMs, maxStallMs, bufferBytes, force, outputFd } = options!;
  assert.deepEqual(
    { output, all, maxPauseMs, maxStallMs, bufferBytes, force, outputFd },
    {
      output: 'x',
      all: true,
      maxPauseMs: 1,
      maxStallMs: 1000,
      bufferBytes: 2 ** 26,
      force: true,
      outputFd: undefined,
    },
  );
  const bare = (await runWith(['dump', '7'], () => summary)).options!;
  assert.deepEqual(Object.keys(bare).sort(), ['onNotice', 'onPlan', 'onProgress', 'signal']);
});

test('--quiet leaves the file and what needs care', async () => {
  const { stdout, stderr } = await runWith(['dump', '7', '-q'], () => summary);
  assert.equal(stdout, 'core.7\n');
  assert.equal(stderr, 'note: arming did not converge\n');
});

test('--json: lines with a type, the summary last, nothing on stderr', async () => {
  const { stdout, stderr } = await runWith(['dump', '7', '--json'], () => summary);
  const records = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string });
  assert.deepEqual(
    records.map(({ type }) => type),
    ['plan', 'notice', 'summary'],
  );
  assert.deepEqual(records[2], summary);
  assert.equal(stderr, '');
});

test('-o -: the core has stdout, so JSON lines go to stderr', async () => {
  const { stdout, stderr, options } = await runWith(['dump', '7', '-o', '-', '--json'], () => ({
    ...summary,
    file: '-',
  }));
  assert.equal(options?.outputFd, 1);
  assert.equal(options?.output, undefined);
  assert.equal(stdout, '');
  assert.match(stderr, /^\{"type":"plan".*\n\{"type":"notice".*\n\{"type":"summary".*\n$/);
});

test('3: something is unreliable or lost', async () => {
  const blocks = { ...summary.blocks, unreliable: 16, lost: 2 };
  const { status, stderr, stdout } = await runWith(['dump', '7'], () => ({ ...summary, blocks }));
  assert.equal(status, 3);
  assert.equal(stdout, 'core.7\n');
  assert.match(stderr, /note: 16 blocks unreliable, 2 lost; `livecore show` lists them\n/);
});

const endings: [error: Error, status: number, expected: RegExp][] = [
  [
    new LivecoreError('CANCELLED', 'dump process 7: cancelled'),
    130,
    /^livecore: dump process 7: cancelled$/m,
  ],
  [new LivecoreError('USAGE', 'dump: no'), 2, /^livecore: dump: no$/m],
  [
    new LivecoreError('NO_RIGHT', 'dump process 7: no', { cure: 'be root' }),
    1,
    /^livecore: dump process 7: no; be root$/m,
  ],
  [new LivecoreError('ALREADY_TRACED', 'by \u001b[31mevil'), 1, /^livecore: by \\x1b\[31mevil$/m],
  [
    new TypeError('x is not a function'),
    1,
    /^livecore: this should not have happened, please report it: TypeError: x/m,
  ],
];
for (const [error, status, expected] of endings) {
  test(`${status}: ${error instanceof LivecoreError ? error.code : error.name}`, async () => {
    const fail = (): never => {
      throw error;
    };
    const words = await runWith(['dump', '7'], fail);
    assert.equal(words.status, status);
    assert.match(words.stderr, expected);
    assert.equal(words.stdout, '');
    const { stdout, stderr } = await runWith(['dump', '7', '--json'], fail);
    const last = JSON.parse(stdout.trim().split('\n').at(-1)!) as { type: string; code: string };
    assert.equal(last.type, 'error');
    assert.equal(last.code, error instanceof LivecoreError ? error.code : 'UNEXPECTED');
    assert.equal(stderr, '');
  });
}
