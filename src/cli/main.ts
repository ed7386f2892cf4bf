/** Where bin/livecore starts. */
import type { Dump } from '../dump-types.ts';
import { run } from './tree.ts';
import { Voice } from './voice.ts';

process.exitCode = await run(process.argv.slice(2), {
  voice: new Voice(process.stdout, process.stderr),
  loadDump: async () => {
    const library: string = '../index.ts';
    return ((await import(library)) as { dump: Dump }).dump;
  },
  ending: 'whole',
});
