import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Histogram } from './statistics.ts';

test('a quantile is not below the true one, and at most 1/16 above it', () => {
  const durations = fc.array(fc.oneof(fc.nat(100), fc.nat(1_000_000), fc.nat(2 ** 31 - 1)), { minLength: 1 });
  const share = fc.constantFrom(0.01, 0.5, 0.9, 0.99, 1);
  fc.assert(
    fc.property(durations, share, (all, wanted) => {
      const histogram = new Histogram();
      for (const ns of all) histogram.add(ns);
      const sorted = [...all].sort((a, b) => a - b);
      const exact = sorted[Math.ceil(all.length * wanted) - 1]!;
      const found = histogram.quantile(wanted);
      assert.ok(found >= exact, `${found} >= ${exact}`);
      assert.ok(found <= exact * (1 + 1 / 16), `${found} is near ${exact}`);
      assert.equal(histogram.max, sorted.at(-1));
      assert.equal(histogram.count, all.length);
    }),
    { numRuns: 2000 },
  );
});

test('a histogram of nothing gives zeros', () => {
  const histogram = new Histogram();
  assert.equal(histogram.quantile(0.5), 0);
  assert.equal(histogram.max, 0);
});

test('durations past the last bucket, and what a clock may do wrong, are counted', () => {
  const histogram = new Histogram();
  histogram.add(2 ** 52);
  histogram.add(-1);
  assert.equal(histogram.count, 2);
  assert.equal(histogram.quantile(0.5), 0);
  assert.equal(histogram.quantile(1), 2 ** 52);
});
