import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeCommand, parseReply, RespConnection } from './resp.ts';

test('the small server answers as Redis does', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'livecore-server-'));
  const socketPath = join(folder, 's');
  const server = spawn(process.execPath, [join(import.meta.dirname, 'server.ts'), socketPath], {
    stdio: 'inherit',
  });
  try {
    while (!existsSync(socketPath)) await new Promise((resolve) => setTimeout(resolve, 10));
    const connection = await RespConnection.open(socketPath);
    assert.equal(await connection.send('GET', 'a'), null);
    assert.deepEqual(await connection.send('SET', 'a', 'one\r\ntwo'), Buffer.from('OK'));
    assert.deepEqual(await connection.send('GET', 'a'), Buffer.from('one\r\ntwo'));
    assert.equal(await connection.send('SETRANGE', 'b', '3', 'x'), 4);
    assert.equal(await connection.send('SETRANGE', 'b', '1', 'yz'), 4);
    assert.deepEqual(await connection.send('GET', 'b'), Buffer.from('\0yzx'));
    await assert.rejects(connection.send('FLUSHALL'), /unknown command/);
    // pipelined: replies keep their order, also when they come in pieces
    const large = Buffer.alloc(300_000, 'q');
    const replies = await Promise.all([
      connection.send('SET', 'c', large),
      connection.send('GET', 'c'),
      connection.send('GET', 'a'),
    ]);
    assert.deepEqual(replies.slice(1), [large, Buffer.from('one\r\ntwo')]);
    connection.close();
  } finally {
    server.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
});

test('a reply is taken only when it is whole', () => {
  const whole = Buffer.from('$5\r\nab\r\nc\r\n');
  for (let length = 0; length < whole.length; length++)
    assert.equal(parseReply(whole.subarray(0, length)), undefined);
  assert.deepEqual(parseReply(Buffer.concat([whole, whole])), {
    reply: Buffer.from('ab\r\nc'),
    length: whole.length,
  });
  assert.equal(encodeCommand(['A', Buffer.from('b')]).toString(), '*2\r\n$1\r\nA\r\n$1\r\nb\r\n');
});
