/* oxlint-disable no-control-regex -- what a terminal is sent */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { demonstrate } from '../machines/ultrasparc/demonstration.ts';
import { CHOICES } from '../machines/ultrasparc/variants.ts';
import { asSvg, asText, pictureOf } from './explain-picture.ts';

test('a demonstration goes through S1 to S7, under every choice and any seed', () => {
  for (const [name, choices] of Object.entries(CHOICES)) {
    for (const [seed, choice] of choices.entries()) {
      const { frames, failure } = demonstrate({ [name]: choice }, seed);
      assert.equal(failure, undefined, `${name}=${choice}`);
      assert.deepEqual([...new Set(frames.map((frame) => frame.step))].sort(), [
        'S1',
        'S2',
        'S3',
        'S4',
        'S5',
        'S6',
        'S7',
      ]);
      const order = ['S1', 'S2', 'S3', 'S4', 'S6', 'S7'].map((step) =>
        frames.findIndex((frame) => frame.step === step),
      );
      assert.deepEqual(
        order,
        order.toSorted((a, b) => a - b),
        'in their order',
      );
    }
  }
});

test('the same seed gives the same order, another one another', () => {
  const said = (seed: number): string[] => demonstrate({}, seed).frames.map((frame) => frame.what);
  assert.deepEqual(said(1), said(1));
  assert.notDeepEqual(said(1), said(2));
});

test('the picture fits narrow and wide terminals, and says without colours what it says with them', () => {
  const shown = demonstrate({}, 1);
  for (const columns of [40, 72, 120]) {
    for (const index of shown.frames.keys()) {
      const picture = pictureOf(shown, index, columns);
      const plain = asText(picture, false, columns);
      for (const line of plain.split('\n')) assert.ok(line.length <= columns, line);
      const coloured = asText(picture, true, columns);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what a terminal is sent
      assert.equal(coloured.replaceAll(/\u001b\[[0-9;]*m/g, '').replaceAll(/ +$/gm, ''), plain);
    }
  }
});

test('going back shows what was shown', () => {
  const shown = demonstrate({}, 3);
  const forward = [...shown.frames.keys()].map((index) => asText(pictureOf(shown, index, 110), false, 110));
  for (let index = shown.frames.length - 1; index >= 0; index--) {
    assert.equal(asText(pictureOf(shown, index, 110), false, 110), forward[index]);
  }
  assert.match(forward.at(-1)!, /\[S7/);
});

test('SVG holds the text of the same picture', () => {
  const shown = demonstrate({}, 1);
  const svg = asSvg(pictureOf(shown, 20, 110));
  assert.match(svg, /^<svg xmlns/);
  assert.ok(svg.includes(shown.frames[20]!.what.replaceAll('&', '&amp;')));
});
