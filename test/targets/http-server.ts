/**
 * A Node server as a target: objects, strings and buffers in V8's heap, half of them replaced all the time, so that the
 * collector works. GET /echo/N answers with its path; GET /check compares every record with what it must be.
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

interface Entry {
  version: number;
  text: string;
  bytes: Buffer;
}

const RECORD_BYTES = 4096;
const records: Entry[] = [];
const count = Math.floor((Number(process.argv[2] ?? 64) * 2 ** 20) / RECORD_BYTES);

function makeEntry(index: number, version: number): Entry {
  const text = `${index}.${version}.`.padEnd(
    RECORD_BYTES / 2,
    String.fromCharCode(97 + ((index + version) % 26)),
  );
  const bytes = Buffer.alloc(RECORD_BYTES / 2, createHash('sha256').update(text).digest());
  return { version, text, bytes };
}

function isRight(entry: Entry, index: number): boolean {
  const wanted = makeEntry(index, entry.version);
  return entry.text === wanted.text && entry.bytes.equals(wanted.bytes);
}

for (let i = 0; i < count; i++) records.push(makeEntry(i, 0));

const server = createServer((request, response) => {
  const index = Math.floor(Math.random() * count);
  const entry = records[index]!;
  if (request.url === '/check') {
    const wrong = records.filter((record, i) => !isRight(record, i)).length;
    response.end(`wrong=${wrong}`);
    return;
  }
  if (!isRight(entry, index)) response.statusCode = 500;
  records[index] = makeEntry(index, entry.version + 1);
  response.end(`${request.url} ${entry.text}`);
});
server.keepAliveTimeout = 3_600_000;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  console.log(`READY ${JSON.stringify({ port: address.port })}`);
});
createInterface({ input: process.stdin }).on('close', () => process.exit(0));
