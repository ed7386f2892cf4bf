/** docs/errors.md lists exactly the codes of src/errors.ts, each with the exit status that the command line gives it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endingOf, exitStatuses } from '../../src/cli/voice.ts';
import { type ErrorCode, LivecoreError } from '../../src/errors.ts';
import { read } from './sources.ts';

const [, union = ''] = /export type ErrorCode =([\s\S]*?);/.exec(read('src/errors.ts')) ?? [];
const codes = [...union.matchAll(/'([A-Z_]+)'/g)].map(([, code]) => code as ErrorCode);
const rows = [...read('docs/errors.md').matchAll(/^\| `([A-Z_]+)` \| (\d+) \| ([^|]+) \| ([^|]+) \|$/gm)];

test('every code has its row, in the same order', () => {
  assert.ok(codes.length > 20, 'the union was not found');
  assert.deepEqual(
    rows.map(([, code]) => code),
    codes,
  );
});

test('every row names the exit status of its code', () => {
  for (const [, code, status] of rows) {
    const ending = endingOf(new LivecoreError(code as ErrorCode, ''));
    assert.equal(Number(status), exitStatuses[ending][0], code);
  }
});
