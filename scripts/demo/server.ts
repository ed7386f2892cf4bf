/**
 * A small server with Redis' protocol, for where Redis can't be had: GET, SET and SETRANGE, in one Node process.
 * Values live outside V8's heap, and SETRANGE writes in place.
 */
import { createServer, type Socket } from 'node:net';

const values = new Map<string, Buffer>();

/** The words of the first command in a buffer and its length; undefined while it is not whole. */
function parseCommand(buffer: Buffer): { words: Buffer[]; length: number } | undefined {
  let at = 0;
  const line = (): number | undefined => {
    const end = buffer.indexOf('\r\n', at);
    if (end < 0) return undefined;
    const value = Number(buffer.toString('latin1', at + 1, end));
    at = end + 2;
    return value;
  };
  const count = line();
  if (count === undefined) return undefined;
  const words: Buffer[] = [];
  for (let index = 0; index < count; index++) {
    const bytes = line();
    if (bytes === undefined || buffer.length < at + bytes + 2) return undefined;
    words.push(buffer.subarray(at, at + bytes));
    at += bytes + 2;
  }
  return { words, length: at };
}

function execute([name, key, ...rest]: Buffer[], socket: Socket): void {
  const keyText = key?.toString() ?? '';
  switch (name?.toString().toUpperCase()) {
    case 'GET': {
      const value = values.get(keyText);
      if (value === undefined) socket.write('$-1\r\n');
      else socket.write(Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from('\r\n')]));
      return;
    }
    case 'SET': {
      // copied out of the buffer that it came in
      values.set(keyText, Buffer.from(rest[0]!));
      socket.write('+OK\r\n');
      return;
    }
    case 'SETRANGE': {
      const offset = Number(rest[0]);
      const end = offset + rest[1]!.length;
      let value = values.get(keyText) ?? Buffer.alloc(0);
      if (value.length < end) {
        // allocUnsafeSlow: memory of its own, not a slice of a shared pool
        value = Buffer.concat([value, Buffer.allocUnsafeSlow(end - value.length).fill(0)]);
        values.set(keyText, value);
      }
      rest[1]!.copy(value, offset);
      socket.write(`:${value.length}\r\n`);
      return;
    }
    default:
      socket.write('-ERR unknown command\r\n');
  }
}

createServer((socket) => {
  let received: Buffer = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    for (;;) {
      const parsed = parseCommand(received);
      if (parsed === undefined) return;
      received = received.subarray(parsed.length);
      execute(parsed.words, socket);
    }
  });
}).listen(process.argv[2]);
