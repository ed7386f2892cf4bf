/** Each server answers its load without an error, and each kind of trouble that tests look for is seen by the load. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startRedis } from './servers/redis.ts';
import { servers } from './servers.ts';
import { monotonicNs } from './writer.ts';

for (const [name, kind] of Object.entries(servers)) {
  test(`${name} under load: no error, right answers, healthy`, { skip: kind.skip() }, async () => {
    let pid = 0;
    {
      await using server = await kind.start({ mib: 16 });
      pid = server.pid;
      assert.ok(existsSync(server.program), server.program);
      await using load = await server.startLoad();
      await sleep(500);
      for (const other of Object.values(await server.others())) assert.ok(existsSync(`/proc/${other}`));
      const report = await load.stop();
      assert.deepEqual([report.errors, report.reconnects, report.messages], [0, 0, []]);
      assert.ok(report.requests > 10, String(report.requests));
      assert.ok(report.p50Us > 0 && report.p50Us <= report.p99Us && report.p99Us <= report.maxUs);
      await server.check();
    }
    assert.equal(existsSync(`/proc/${pid}`), false);
  });
}

const { skip } = { skip: servers.redis.skip() };

test('a stop of the server is in the latency of every request that was due in it', { skip }, async () => {
  await using server = await startRedis({ mib: 1 });
  await using load = await server.startLoad({ rate: 1000, connections: 4 });
  await sleep(100);
  process.kill(server.pid, 'SIGSTOP');
  const from = monotonicNs();
  await sleep(200);
  const to = monotonicNs();
  process.kill(server.pid, 'SIGCONT');
  const whole = await load.stop();
  const due = await load.report(from + 2e6, to);
  const scheduled = (to - from - 2e6) / 1e6;
  assert.ok(Math.abs(due.requests - scheduled) <= 1, `${due.requests} of ${scheduled}`);
  assert.ok(due.maxUs >= scheduled * 1000 - 2000);
  assert.ok(
    due.p50Us >= scheduled * 500 - 2000,
    `${due.p50Us}: half of them waited half of the stop or longer`,
  );
  assert.equal(whole.errors, 0);
});

test('a damaged value is an error', { skip }, async () => {
  await using server = await startRedis({ mib: 1 });
  await using load = await server.startLoad({ rate: 2000, writes: 0 });
  const socket = connect({ path: server.socket });
  for (let key = 0; key < 300; key++) socket.write(`SETRANGE key:${key} 500 X\r\n`);
  await sleep(500);
  socket.destroy();
  const report = await load.stop();
  assert.ok(report.errors > 0);
  assert.match(report.messages[0] ?? '', /^wrong answer to request/);
});

test('a broken connection is an error and a reconnect', { skip }, async () => {
  await using server = await startRedis({ mib: 1 });
  await using load = await server.startLoad({ rate: 500, connections: 4 });
  const socket = connect({ path: server.socket });
  socket.write('CLIENT KILL TYPE normal SKIPME yes\r\n');
  await sleep(200);
  socket.destroy();
  const report = await load.stop();
  assert.ok(report.errors > 0);
  assert.equal(report.reconnects, 4);
});
