import assert from 'node:assert/strict';
import { readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { requireProgram } from '../packages.ts';
import type { LoadOptions, Server, ServerOptions } from '../servers.ts';
import { startLoad } from './load.ts';
import { accepts, childrenOf, roundTrip, serverFolder, startServerProcess } from './process.ts';

/** nginx: a master (root where we are) and one worker (www-data then); the worker is what answers. */
export async function startNginx({ mib = 16 }: ServerOptions = {}): Promise<Server> {
  const root = process.getuid?.() === 0;
  const folder = serverFolder('nginx', root ? { uid: 33, gid: 33 } : undefined);
  const socket = join(folder, 'socket');
  writeFileSync(join(folder, 'nginx.conf'), configuration(folder, socket, root, mib));
  const server = await startServerProcess({
    program: requireProgram('nginx', 'nginx-light').path,
    args: ['-p', folder, '-e', join(folder, 'error.log'), '-c', join(folder, 'nginx.conf')],
    folder,
    endSignal: 'SIGTERM',
    ready: () => accepts({ path: socket }),
  });
  const worker = childrenOf(server.pid)[0]!;
  return {
    name: 'nginx',
    pid: worker,
    program: readlinkSync(`/proc/${worker}/exe`),
    others: () => Promise.resolve({ master: server.pid }),
    startLoad: ({ rate = 2000, connections = 16 }: LoadOptions = {}) =>
      startLoad({ address: { unix: socket }, protocol: 'http', rate, connections, path: '/echo' }),
    async check() {
      const request = 'GET /echo/check HTTP/1.1\r\nHost: check\r\nConnection: close\r\n\r\n';
      assert.match(
        await roundTrip(socket, request, () => false),
        /^HTTP\/1.1 200[\s\S]*\r\n\r\n\/echo\/check/,
      );
      assert.deepEqual(childrenOf(server.pid), [worker], 'the master has replaced its worker');
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** The answer begins with the request's path; the rest makes it some KiB long. The zone is memory that is shared. */
function configuration(folder: string, socket: string, root: boolean, mib: number): string {
  const filler = 'nginx '.repeat(500);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `daemon off;
${root ? 'user www-data;' : ''}
worker_processes 1;
pid ${folder}/pid;
events { worker_connections 1024; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  limit_req_zone $request_uri zone=seen:${mib}m rate=1000000r/s;
  server {
    listen unix:${socket};
    limit_req zone=seen;
    location / { return 200 "$uri ${filler}"; }
  }
}
`;
}
