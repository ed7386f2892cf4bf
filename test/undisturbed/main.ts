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
  let done = 0;
  let complaints: string[];
  try {
    complaints = await disturb(scene, dumps, () => done++);
  } catch (error) {
    complaints = [error instanceof Error ? error.message : String(error)];
  }
  say(`${scene.name}: ${done} of ${dumps} dumps, ${complaints.length === 0 ? 'undisturbed' : 'DISTURBED'}`);
  for (const complaint of complaints) say(`  ${complaint}`);
  if (complaints.length > 0) harmed++;
}
process.exitCode = harmed === 0 ? 0 : 1;
