import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatSize } from './format.ts';
import { parseDurationMs, parsePid, parseSize } from './parse.ts';

test('sizes', () => {
  assert.equal(parseSize('65536'), 65536);
  assert.equal(parseSize('64MiB'), 64 * 2 ** 20);
  assert.equal(parseSize('64m'), 64 * 2 ** 20);
  assert.equal(parseSize('1.5 GiB'), 1.5 * 2 ** 30);
  assert.equal(parseSize('4K'), 4096);
  for (const wrong of ['', '0', '-1', 'MiB', '1TB', '64 MB', '1e9', '0x10', '1..5', '9999999999GiB']) {
    assert.throws(() => parseSize(wrong), /such as 64MiB/, wrong);
  }
});

test('durations, in milliseconds', () => {
  assert.equal(parseDurationMs('20'), 20);
  assert.equal(parseDurationMs('0.5'), 0.5);
  assert.equal(parseDurationMs('20ms'), 20);
  assert.equal(parseDurationMs('2s'), 2000);
  assert.equal(parseDurationMs('500us'), 0.5);
  for (const wrong of ['', '0', '-1', 'ms', '1min', 'Infinity', '1 000'])
    assert.throws(() => parseDurationMs(wrong), wrong);
});

test('process ids', () => {
  assert.equal(parsePid('1'), 1);
  assert.equal(parsePid('4194304'), 4194304);
  for (const wrong of ['', '0', '-1', '4194305', '1.5', '0x10', '1e3', 'self', '12345678']) {
    assert.throws(() => parsePid(wrong), /such as 4711/, wrong);
  }
});

test('a size that was printed is read again, as far as it was printed', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1024, max: 2 ** 43 }), (bytes) => {
      const text = formatSize(bytes);
      if (text.endsWith('TiB')) return;
      assert.ok(Math.abs(parseSize(text) - bytes) / bytes < 0.01, text);
    }),
  );
});
