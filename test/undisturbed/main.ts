/**
 * `npm run undisturbed`: each target that notices what a dump could disturb is dumped as often as its scene says, or as
 * `--dumps` does; `--only` takes those whose name holds a word.
 */
import { parseArgs } from 'node:util';
import { targetSkip } from '../support/targets.ts';
import { disturb, SCENES } from './scenes.ts';

const { values } = parseArgs({
  options: { dumps: { type: 'string' }, only: { type: 'string', default: '' } },
});
const say = (line: string): void => void process.stdout.write(`${line}\n`);
let harmed = 0;
for (const scene of SCENES.filter(({ name }) => name.includes(values.only))) {
  const skip = targetSkip(scene.target, { musl: scene.musl ?? false });
  if (skip !== false) {
    say(`${scene.name}: left out, ${skip}`);
    continue;
  }
  const dumps = Number(values.dumps ?? scene.dumps);
  const pauses: number[] = [];
  const remarks: string[] = [];
  let complaints: string[];
  try {
    complaints = await disturb(scene, dumps, {
      each: (pauseMs) => pauses.push(pauseMs),
      remark: (text) => remarks.push(text),
    });
  } catch (error) {
    complaints = [error instanceof Error ? error.message : String(error)];
  }
  const verdict = complaints.length === 0 ? 'undisturbed' : 'DISTURBED';
  say(
    `${scene.name}: ${pauses.length} of ${dumps} dumps, ${verdict}; longest pause ${Math.max(0, ...pauses).toFixed(1)} ms`,
  );
  for (const remark of remarks) say(`  ${remark}`);
  for (const complaint of complaints) say(`  ${complaint}`);
  if (complaints.length > 0) harmed++;
}
process.exitCode = harmed === 0 ? 0 : 1;
