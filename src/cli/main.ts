/** Where bin/livecore starts. */
import { run } from './tree.ts';
import { Voice } from './voice.ts';

process.exitCode = await run(process.argv.slice(2), {
  voice: new Voice(process.stdout, process.stderr),
  loadDump: async () => (await import('../index.ts')).dump,
  ending: 'whole',
});
