/**
 * `npm run verify -- [--dumps 50] [--mib 1024] [--threads 4] [--rate 200000]`: live dumps in a row of one target that
 * writes random words, each compared word for word with a replay of its writes. One line a dump, one with the sum;
 * status 1 if a single word is wrong.
 */
import { parseArgs } from 'node:util';
import { checkWriterImage } from '../test/support/check-writer.ts';
import { dumpLive } from '../test/support/live-dump.ts';
import { startWriter } from '../test/support/writer.ts';

const { values } = parseArgs({
  options: {
    dumps: { type: 'string', default: '50' },
    mib: { type: 'string', default: '1024' },
    threads: { type: 'string', default: '4' },
    rate: { type: 'string', default: '200000' },
  },
});
const [dumps, mib, threads, rate] = [values.dumps, values.mib, values.threads, values.rate].map(Number);

await using writer = await startWriter({
  mib: mib!,
  threads: threads!,
  rate: rate!,
  readyTimeoutMs: 300_000,
  answerTimeoutMs: 300_000,
});
const sum = { words: 0, wrong: 0, absent: 0, broken: 0, traps: 0 };
for (let count = 1; count <= dumps!; count++) {
  await writer.advance(1000);
  using core = await dumpLive(writer.pid);
  const check = checkWriterImage(writer.plan, core.file);
  const { traps, blocks, pauseMs } = core.summary;
  sum.words += check.words;
  sum.wrong += check.wrong;
  sum.absent += check.absent;
  sum.broken += check.brokenCounters;
  sum.traps += traps.count;
  const lost = blocks.lost + blocks.unreliable;
  console.log(
    `${count}: ${check.wrong} of ${check.words} words wrong, ${lost} blocks lost or unreliable; ` +
      `${traps.count} traps, pause ${pauseMs.toFixed(2)} ms`,
  );
  for (const example of check.examples) console.log(`   ${JSON.stringify(example)}`);
}
const live = await writer.check();
console.log(
  `${dumps} dumps: ${sum.wrong} of ${sum.words} words wrong, ${sum.absent} missing, ${sum.broken} threads without an ` +
    `instant, ${sum.traps} traps; in the target itself ${live.wrong} of ${live.words} wrong`,
);
process.exitCode = sum.wrong + sum.absent + sum.broken + live.wrong === 0 ? 0 : 1;
