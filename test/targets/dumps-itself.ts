/**
 * Dumps itself by the library, and hears nothing of that until the core is there: it writes all over its memory without
 * once coming back to its event loop. Tells the longest time between two rounds of writes, and how many there were.
 */
import { existsSync } from 'node:fs';
import { dump } from '../../src/index.ts';

const [, , output, maxStallMs] = process.argv;
const MEMORY_BYTES = 64 * 2 ** 20;
const PATIENCE_MS = 60_000;
const memory = Buffer.alloc(MEMORY_BYTES, 1);

const dumped = dump(process.pid, { output: output!, maxStallMs: Number(maxStallMs), force: true });
dumped.catch(() => {});
// The loop process is asked for its work in this turn; from here on nothing of what it says is read.
const begin = performance.now();
let [last, longestMs, rounds] = [begin, 0, 0];
while (!existsSync(output!) && last - begin < PATIENCE_MS) {
  for (let write = 0; write < 100; write++) memory[Math.floor(Math.random() * MEMORY_BYTES)] = rounds & 255;
  const now = performance.now();
  longestMs = Math.max(longestMs, now - last);
  last = now;
  rounds++;
}
const { pauseMs } = await dumped;
process.stdout.write(JSON.stringify({ longestMs, rounds, pauseMs }));
