import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { boottimeNs, monotonicNs, realtimeNs } from './clock.ts';

test('the monotonic clock is the one that Node reads', () => {
  let before = process.hrtime.bigint();
  for (let round = 0; round < 1000; round++) {
    const now = BigInt(monotonicNs());
    const later = process.hrtime.bigint();
    assert.ok(before <= now && now <= later, `${before} ${now} ${later}`);
    before = later;
  }
});

test('the wall clock is the one that Node reads', () => {
  const before = Date.now();
  const now = realtimeNs();
  const after = Date.now();
  assert.ok(BigInt(before) * 1_000_000n <= now && now <= BigInt(after + 1) * 1_000_000n);
});

test('the time since boot is the one of /proc/uptime', () => {
  const before = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  const now = boottimeNs();
  // uptime is cut to hundredths
  assert.ok(now / 1e9 >= before);
  assert.ok(now / 1e9 <= Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) + 0.01);
});
