import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { requireProgram } from '../packages.ts';
import type { LoadOptions, Server, ServerOptions } from '../servers.ts';
import { startLoad } from './load.ts';
import { accepts, roundTrip, serverFolder, startServerProcess } from './process.ts';

const VALUE_BYTES = 1000;

/** memcached with its worker threads, on a unix socket, as the unprivileged user it takes by default. */
export async function startMemcached({ mib = 64 }: ServerOptions = {}): Promise<Server> {
  const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : undefined;
  const folder = serverFolder('memcached', user);
  const socket = join(folder, 'socket');
  const server = await startServerProcess({
    program: requireProgram('memcached', 'memcached').path,
    args: [
      '-s',
      socket,
      '-a',
      '0777',
      '-m',
      String(mib * 2 + 64),
      ...(user === undefined ? [] : ['-u', 'nobody']),
    ],
    folder,
    endSignal: 'SIGTERM',
    ready: () => accepts({ path: socket }),
  });
  const keys = Math.floor((mib * 2 ** 20) / VALUE_BYTES);
  return {
    name: 'memcached',
    pid: server.pid,
    program: readlinkSync(`/proc/${server.pid}/exe`),
    others: () => Promise.resolve({}),
    startLoad: ({ rate = 2000, connections = 16, writes = 20 }: LoadOptions = {}) =>
      startLoad({
        address: { unix: socket },
        protocol: 'memcached',
        rate,
        connections,
        writes,
        keys,
        valueBytes: VALUE_BYTES,
      }),
    async check() {
      const answer = await roundTrip(socket, 'stats\r\n', (text) => text.endsWith('END\r\n'));
      assert.match(answer, /STAT evictions 0\r\n/, answer);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
