import assert from 'node:assert/strict';
import { test } from 'node:test';
import { someProvenance } from '../../../test/support/cores.ts';
import { Cursor } from '../../bytes/cursor.ts';
import { setField } from '../../bytes/struct.ts';
import {
  decodeLivecoreNote,
  LIVECORE_NOTE_HEAD,
  LIVECORE_NOTE_VERSION,
  livecoreNote,
} from './livecore-note.ts';

const decode = (payload: Uint8Array) =>
  decodeLivecoreNote(new Cursor(payload, 1000, (problem, position) => new Error(`${position}: ${problem}`)));

/** A payload with any JSON and any version. */
function payloadOf(json: string, version: number = LIVECORE_NOTE_VERSION): Uint8Array {
  const text = Buffer.from(json);
  const payload = new Uint8Array(LIVECORE_NOTE_HEAD.sizeBytes + text.length);
  const view = new DataView(payload.buffer);
  setField(LIVECORE_NOTE_HEAD, view, 0, 'version', version);
  setField(LIVECORE_NOTE_HEAD, view, 0, 'json_bytes', text.length);
  payload.set(text, LIVECORE_NOTE_HEAD.sizeBytes);
  return payload;
}

const GOOD = JSON.parse(
  Buffer.from(livecoreNote(someProvenance()).payload.subarray(LIVECORE_NOTE_HEAD.sizeBytes)).toString(),
);

test('numbers above 2^53 and names of all kinds come back exactly', () => {
  const note = someProvenance({
    t0: { wallNs: 1_795_491_234_123_456_789n, monotonicNs: (1n << 63n) + 1n },
    threads: [{ tid: 4_194_303, name: '線"\u0000\\\u001b' }],
    unreliable: [{ start: 0xffff_ffff_ff60_0000n, end: 1n << 64n, reason: '' }],
    complete: false,
  });
  assert.deepEqual(decode(livecoreNote(note).payload), note);
});

test('fields that are unknown do not matter', () => {
  assert.deepEqual(decode(payloadOf(JSON.stringify({ ...GOOD, later: { a: [1] } }))), someProvenance());
});

test('a version that is not known is refused at its place', () => {
  assert.throws(
    () => decode(payloadOf(JSON.stringify(GOOD), 2)),
    /^Error: 1000: version is 2, .* a newer one may read it$/,
  );
});

test('a payload that is not as described is refused with what is wrong', () => {
  const bad: [unknown, RegExp][] = [
    [null, /the whole is no object/],
    [[], /the whole is no object/],
    [{ ...GOOD, t0: undefined }, /t0 is no object/],
    [{ ...GOOD, t0: { wallNs: '1e5', monotonicNs: '0' } }, /t0.wallNs is no number/],
    [{ ...GOOD, pauseNs: '1' }, /pauseNs is no number/],
    [{ ...GOOD, complete: 1 }, /complete is no boolean/],
    [{ ...GOOD, threads: {} }, /threads is no list/],
    [{ ...GOOD, threads: [7] }, /threads is no list/],
    [{ ...GOOD, lost: [['0x1', '0xg', '']] }, /lost is no number/],
    [{ ...GOOD, lost: [['0x2', '0x1', '']] }, /a range of lost ends before it starts/],
    [{ ...GOOD, excluded: [['0x1', '0x2']] }, /excluded is no string/],
    [{ ...GOOD, lost: [[`0x${'f'.repeat(100_000)}`, '0x1', '']] }, /lost is no number/],
  ];
  for (const [value, message] of bad) assert.throws(() => decode(payloadOf(JSON.stringify(value))), message);
  assert.throws(
    () => decode(payloadOf('{')),
    /^Error: 1004: json_bytes leads to JSON in which something is no JSON$/,
  );
  assert.throws(
    () => decode(payloadOf('{}').subarray(0, 9)),
    /the JSON of the livecore note takes 2 bytes, 1 are left/,
  );
  assert.throws(() => decode(new Uint8Array(7)), /livecore note head takes 8 bytes, 7 are left/);
});
