import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { requireProgram } from '../packages.ts';
import type { LoadOptions, Server, ServerOptions } from '../servers.ts';
import { startLoad } from './load.ts';
import { accepts, roundTrip, serverFolder, startServerProcess } from './process.ts';

const VALUE_BYTES = 1000;

/** Redis on a unix socket, nothing persisted. The data comes with the load: `mib` of values, all read back and checked. */
export async function startRedis({
  mib = 64,
}: ServerOptions = {}): Promise<Server & { readonly socket: string }> {
  const folder = serverFolder('redis');
  const socket = join(folder, 'socket');
  const args = ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no', '--dir', folder];
  const server = await startServerProcess({
    program: requireProgram('redis-server', 'redis-server').path,
    args,
    folder,
    endSignal: 'SIGTERM',
    ready: () => accepts({ path: socket }),
  });
  const keys = Math.floor((mib * 2 ** 20) / VALUE_BYTES);
  return {
    name: 'Redis',
    pid: server.pid,
    program: readlinkSync(`/proc/${server.pid}/exe`),
    socket,
    others: () => Promise.resolve({}),
    startLoad: ({ rate = 2000, connections = 16, writes = 20 }: LoadOptions = {}) =>
      startLoad({
        address: { unix: socket },
        protocol: 'redis',
        rate,
        connections,
        writes,
        keys,
        valueBytes: VALUE_BYTES,
      }),
    async check() {
      // DEBUG RELOAD would be more, but changes the server; DBSIZE walks nothing, so every key is asked for by the load
      const answer = await roundTrip(socket, 'PING\r\n', (text) => text.endsWith('\r\n'));
      assert.equal(answer, '+PONG\r\n', server.log());
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
