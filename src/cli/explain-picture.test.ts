/* oxlint-disable no-control-regex -- what a terminal is sent */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { demonstrate, type Frame } from '../machines/ultrasparc/demonstration.ts';
import { CHOICES, type Variants } from '../machines/ultrasparc/variants.ts';
import { readingMs } from './explain.ts';
import { asSvg, asText, pictureOf, WIDE } from './explain-picture.ts';

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

test('the picture fits narrow, wide and low terminals, and says without colours what it says with them', () => {
  for (const shown of [demonstrate({}, 1), demonstrate({ pages: 'whole', dma: 'mark' }, 2)]) {
    for (const [columns, rows] of [
      [40, Infinity],
      [60, 28],
      [80, 22],
      [WIDE, 20],
      [140, 38],
    ] as const) {
      for (const index of shown.frames.keys()) {
        const picture = pictureOf(shown, index, columns, rows);
        const plain = asText(picture, false, columns);
        assert.ok(picture.length <= rows, `${picture.length} rows:\n${plain}`);
        for (const line of picture)
          assert.ok(
            line
              .map(([text]) => text)
              .join('')
              .trimEnd().length <= columns,
            plain,
          );
        const coloured = asText(picture, true, columns);
        assert.notEqual(coloured, plain);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what a terminal is sent
        assert.equal(coloured.replaceAll(/\u001b\[[0-9;]*m/g, '').replaceAll(/ +$/gm, ''), plain);
        const { what, why, block } = shown.frames[index]!;
        assert.ok(plain.replaceAll(/\s+/g, ' ').includes(`${what} ${why}`), 'all that is said');
        if (block >= 0) assert.match(plain, new RegExp(`^> +${block} `, 'm'), 'the block that it is about');
      }
    }
  }
});

test('a terminal too low for all says so, and shows what is said before what is drawn', () => {
  const shown = demonstrate({}, 1);
  const drawn = (columns: number, rows: number, index = 1): string[] =>
    asText(pictureOf(shown, index, columns, rows), false, columns).split('\n');
  const { what, why } = shown.frames[1]!;
  for (const [columns, rows, notes, devices, blocks] of [
    [80, 21, false, 1, 10],
    [80, 19, true, 1, 9],
    [80, 13, true, 1, 3],
    [40, 18, true, 0, 3],
    [40, 10, true, 0, 0],
    [WIDE, 16, false, 1, 10],
    [WIDE, 10, true, 1, 4],
  ] as const) {
    const lines = drawn(columns, rows);
    const text = lines.join('\n');
    assert.ok(lines.length <= rows, text);
    assert.equal(/^livecore explain {2}2\/62 {2}too low for all$/.test(lines[0]!), notes, text);
    assert.equal(text.match(/slot open/g)?.length ?? 0, devices, text);
    assert.equal(text.match(/^ +\d+ .*\[ \]/gm)?.length ?? 0, blocks, text);
    assert.ok(text.replaceAll(/\s+/g, ' ').includes(`${what} ${why}`), text);
  }
  for (const rows of [0, 1, 4]) {
    const lines = drawn(20, rows);
    assert.equal(lines.length, Math.max(1, rows));
    assert.match(lines[0]!, /^livecore explain {2}2/);
  }
});

test('the step that runs is named, however narrow the terminal', () => {
  const shown = demonstrate({}, 1);
  for (const columns of [20, 30, 39, 41, 72, 84, 140]) {
    for (const [index, { step }] of shown.frames.entries()) {
      const line = asText(pictureOf(shown, index, columns), false, columns).split('\n')[1]!;
      assert.match(line, new RegExp(`\\[${step} [a-z ]+\\??\\]`));
      if (columns > 40) assert.match(line, /S1.*S2.*S3.*S4.*S5.*S6.*S7/);
      assert.equal(/S1 start.*S2 protect.*S7 all/.test(line), columns >= 84);
    }
  }
});

test('processors, TLBs, storage buffers, copy map, both storages and slots are in the picture', () => {
  const shown = demonstrate({}, 1);
  const trap = shown.frames.findIndex(({ what }) => /Processor 0 wants to write to block 4/.test(what));
  for (const columns of [60, 80, 140]) {
    const before = asText(pictureOf(shown, trap, columns), false, columns);
    assert.match(before, /\[S5 trap\]/);
    assert.match(
      before,
      /^> {5}4 application {7}10050000 .* traps {3}\[ \] {4}-$|^> {5}4 .*traps {3}\[ \] {4}-/m,
    );
    assert.match(before, /processor 0 {2}waits for 4 +store: block 4/);
    const last = asText(pictureOf(shown, shown.frames.length - 1, columns), false, columns);
    assert.match(
      last,
      /^ {6}4 application {7}000000a3 .*\* {2}W {7}\[x\] {4}10050000|^ {6}4 .*000000a3\* {2}W {7}\[x\] {4}10050000/m,
    );
    assert.match(last, /buffer 0 {2}TLB 4:W 5:W 7:W 6:W/);
    assert.match(last, /copy map .*\[ \] {4}left out/);
    assert.match(last, /device 0 {5}slot open {6}DMA: 3/);
  }
});

test('a block that is being copied is there in part, and in whole before it is marked', () => {
  for (const content of CHOICES.content) {
    const shown = demonstrate({ content }, 1);
    const rowOf = (block: number, index: number): string =>
      asText(pictureOf(shown, index, 80), false, 80).split('\n')[4 + block]!;
    const at = shown.frames.findIndex(
      ({ what }) => what === 'Block 5 is copied, because a processor waits to write to it.',
    );
    const before = shown.frames[at - 1]!.what;
    assert.equal(
      before,
      'Processor 0 wants to write to block 5, and W is cleared: a trap.',
      'while it is copied',
    );
    assert.match(rowOf(5, at - 1), /10060000 .*\[ \] {4}in part$/);
    assert.match(rowOf(5, at), /10060000 .*\[ \] {4}10060000$/);
    assert.match(rowOf(5, at + 1), /10060000 .*\[x\] {4}10060000$/);
    for (const index of shown.frames.keys())
      assert.doesNotMatch(rowOf(0, index), /in part/, 'the tables change after they are copied');
  }
});

test('going back shows what was shown', () => {
  const shown = demonstrate({}, 3);
  const at = (index: number): string => asText(pictureOf(shown, index, WIDE), false, WIDE);
  const forward = [...shown.frames.keys()].map(at);
  for (let index = shown.frames.length - 1; index >= 0; index--) assert.equal(at(index), forward[index]);
  assert.match(forward.at(-1)!, /\[S7/);
});

test('the last words tell how it came out: each block is compared with memory at T0', () => {
  const last = (variants: Partial<Variants>, seed: number): Frame =>
    demonstrate(variants, seed).frames.at(-1)!;
  assert.match(last({}, 1).why, /Left out on purpose: block 3\./);
  assert.doesNotMatch(last({ map: 'separate' }, 1).why, /Left out|unreliable/);
  assert.match(last({ dma: 'exclude' }, 1).why, /Left out on purpose: blocks 3, 9\./);
  assert.match(last({ dma: 'mark' }, 3).why, /Listed as unreliable: block 9\./);
  const risk = Array.from({ length: 8 }, (_, seed) => last({ dma: 'risk' }, seed));
  const wrong = risk.filter(({ what }) => /block 9 in the snapshot is not as it was at T0/.test(what));
  assert.ok(wrong.length > 0 && wrong.length < risk.length, 'some orders show why it is a risk');
  for (const frame of risk) assert.match(frame.what + frame.why, /not as it was at T0|that was luck/);
});

test('it says when processors stand still, as it is under the choice of arming', () => {
  const started = (variants: Partial<Variants>): string =>
    demonstrate(variants, 1).frames.find(({ what }) => what === 'The snapshot program is started.')!.why;
  assert.match(started({}), /stand still in S2 and S3;/);
  assert.match(started({ arming: 'live' }), /stand still at the end of S2 and in S3;/);
});

test('it says what becomes of a large page; and that TLBs forget, whatever is chosen', () => {
  const said = (variants: Partial<Variants>): string[] =>
    demonstrate(variants, 1).frames.map(({ what }) => what);
  const split = said({ pages: 'split' });
  const order = [
    'The page of blocks 8 to 15 is split into pages of one block each.',
    'W is cleared for the page of block 8.',
    'W is set again for a page of block 8: the write goes on.',
    'The page of blocks 8 to 15 is put together again.',
    'All is copied: the snapshot is done.',
  ].map((what) => split.indexOf(what));
  assert.ok(!order.includes(-1), split.join('\n'));
  assert.deepEqual(
    order,
    order.toSorted((left, right) => left - right),
  );
  assert.ok(said({ pages: 'whole' }).includes('W is cleared for the page of blocks 8 to 15.'));
  for (const [name, choices] of Object.entries(CHOICES))
    for (const choice of choices)
      assert.ok(
        said({ [name]: choice }).includes('The TLB of each processor forgets the page.'),
        `${name}=${choice}`,
      );
});

test('it can be read while it plays, and takes two minutes', () => {
  const { frames } = demonstrate({}, 1);
  const totalMs = frames.reduce((sum, frame) => sum + readingMs(frame), 0);
  assert.ok(totalMs > 90_000 && totalMs < 120_000, `${totalMs} ms`);
});

test('SVG is well-formed XML that holds the text of the same picture', () => {
  const shown = demonstrate({}, 1);
  for (const index of shown.frames.keys()) {
    const picture = pictureOf(shown, index, WIDE);
    const texts = textsOf(asSvg(picture));
    assert.deepEqual(
      texts,
      picture.map((line) => line.map(([text]) => text).join('')),
    );
  }
  assert.deepEqual(textsOf(asSvg([[['a < b & "c" > d', 'title']]])), ['a < b & "c" > d']);
});

/** The content of each text element; fails where the XML is not well-formed: tags in pairs, nothing unescaped. */
function textsOf(xml: string): string[] {
  const texts: string[] = [];
  const open: string[] = [];
  for (const [piece] of xml.matchAll(/<[^>]*>|[^<]+|</g)) {
    const tag = /^<(\/?)([a-z]+)((?: [a-zA-Z:-]+="[^"<&]*")*)(\/?)>$/.exec(piece);
    if (tag === null) {
      assert.doesNotMatch(piece, /<|>|&(?!(?:amp|lt|gt);)/, piece);
      const text = piece.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
      if (open.includes('text')) texts.push(`${texts.pop()}${text}`);
      else assert.equal(text, '\n', 'text outside of elements');
      continue;
    }
    const [, closes, name, attributes, alone] = tag;
    const names = [...attributes!.matchAll(/ ([a-zA-Z:-]+)=/g)].map((match) => match[1]);
    assert.equal(new Set(names).size, names.length, piece);
    if (closes === '/') assert.equal(open.pop(), name);
    else if (alone !== '/') open.push(name!);
    if (closes === '' && name === 'text') texts.push('');
  }
  assert.deepEqual(open, []);
  return texts;
}
