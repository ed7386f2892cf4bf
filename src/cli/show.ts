/** `livecore show FILE`: what a core holds, and what in it can't be relied on. The words are in show-report.ts. */
import type { Command } from 'commander';
import type { Context } from './context.ts';
import { addExamples } from './help.ts';

/** Adds the command to the tree. */
export function addShow(program: Command, context: Context): void {
  const command = program
    .command('show')
    .description('what a core holds: threads, memory map, T0, pause, what is unreliable or lost')
    .argument('<FILE>', 'a core file, of livecore or of another tool')
    .option('--json', 'JSON lines on stdout, the last of type summary or error')
    .action(async (file: string, flags: { readonly json?: true }) => run(file, flags.json === true, context));
  addExamples(
    command,
    ['livecore show core.4711', 'all of it, for people'],
    [
      'livecore show core.4711 > /dev/null && echo whole',
      'the exit status is 3 where something is unreliable or lost',
    ],
    [`livecore show core.4711 --json | jq -r 'select(.type == "thread").name'`, 'the names of the threads'],
  );
}

async function run(file: string, json: boolean, context: Context): Promise<void> {
  const { voice } = context;
  voice.adopt({ json });
  const { Core } = await import('../formats/elf-core/core.ts');
  const { showRecords, showReport } = await import('./show-report.ts');
  await using core = await Core.open(file);
  for await (const part of json ? showRecords(core) : showReport(core)) {
    if (typeof part === 'string') voice.data(part);
    else voice.record(part);
    await voice.drained();
  }
  if (!core.complete) context.ending = 'incomplete';
}
