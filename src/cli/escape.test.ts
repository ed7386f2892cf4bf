import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { escapeJson, escapeText } from './escape.ts';

test('what a terminal obeys is spelt out', () => {
  assert.equal(escapeText('\u001b]0;owned\u0007'), '\\x1b]0;owned\\x07');
  assert.equal(escapeText('\u009b31m'), '\\x9b31m');
  assert.equal(escapeText('a\r\nb\tc\u007f'), 'a\\x0d\\x0ab\\x09c\\x7f');
});

test('what turns or hides text is spelt out', () => {
  assert.equal(escapeText('cod\u202egpj'), 'cod\\u{202e}gpj');
  assert.equal(escapeText('a\u200bb\u2028c\ufeff'), 'a\\u{200b}b\\u{2028}c\\u{feff}');
  assert.equal(escapeText('\u{e0041}'), '\\u{e0041}');
  assert.equal(escapeText('\ud800'), '\\u{d800}');
});

test('a name that spells an escape itself can be told from one', () => {
  assert.equal(escapeText('\\x1b'), '\\\\x1b');
});

test('letters of all scripts stay', () => {
  for (const name of ['redis-server', 'wörker', '线程', 'поток', '🧵', 'a b'])
    assert.equal(escapeText(name), name);
});

test('escaped JSON is the same value, and nothing unsafe is in it', () => {
  const property = fc.property(fc.string({ unit: 'binary' }), (text) => {
    const json = escapeJson(JSON.stringify({ text }));
    assert.deepEqual(JSON.parse(json), { text });
    assert.doesNotMatch(json, /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/u);
  });
  fc.assert(property, { seed: 20_261_124, numRuns: 2000 });
});
