import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';

const module = JSON.stringify(join(import.meta.dirname, 'watchdog.ts'));

/** Runs a program with a watchdog `dog` in a process of its own; how that ended. */
async function ended(body: string): Promise<{ code: number | null; signal: string | null; output: string }> {
  const script = `const { Watchdog } = await import(${module}); const dog = new Watchdog(); ${body}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (data: Buffer) => {
    output += data.toString();
  });
  const [code, signal] = await once(child, 'close');
  return { code, signal, output };
}

test('a process that is stopped is killed', async () => {
  const { signal, output } = await ended(`
    const { writeSync } = await import('node:fs');
    writeSync(1, String(dog.feed(3e8)));
    process.kill(process.pid, 'SIGSTOP');
    writeSync(1, 'woken');`);
  assert.deepEqual([signal, output], ['SIGKILL', '0']);
});

test('a process that is stuck in JavaScript is killed', async () => {
  const { signal } = await ended('dog.feed(2e8); for (;;);');
  assert.equal(signal, 'SIGKILL');
});

test('a process that feeds in time lives on, as does one that disarms', async () => {
  const fed = await ended('dog.feed(1e9); dog.feed(6e10); setTimeout(() => process.exit(5), 1500);');
  assert.deepEqual([fed.code, fed.signal], [5, null]);
  const disarmed = await ended('dog.feed(1e9); dog.feed(0); setTimeout(() => process.exit(6), 1500);');
  assert.deepEqual([disarmed.code, disarmed.signal], [6, null]);
});

test('a watchdog that is disposed of does not bite', async () => {
  const body =
    'dog.feed(1e9); dog[Symbol.dispose](); dog[Symbol.dispose](); setTimeout(() => process.exit(7), 1500);';
  const { code } = await ended(body);
  assert.equal(code, 7);
});

test('a watchdog that was never fed does not bite', async () => {
  const { code } = await ended('setTimeout(() => process.exit(8), 100);');
  assert.equal(code, 8);
});
