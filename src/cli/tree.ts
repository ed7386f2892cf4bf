/** The tree of commands, and how a run of it ends. Help, completion and the man page are made from this tree. */
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { Command, CommanderError } from 'commander';
import { LivecoreError } from '../errors.ts';
import { addCompletion } from './completion.ts';
import type { Context } from './context.ts';
import { addDoctor } from './doctor.ts';
import { addDump } from './dump.ts';
import { addExplain } from './explain.ts';
import { addMan } from './man.ts';
import { addShow } from './show.ts';
import { type Ending, endingOf, exitStatuses } from './voice.ts';

/** Builds the tree; nothing heavy is loaded before an action runs. */
export function buildTree(context: Context): Command {
  const program = new Command('livecore')
    .description('A core file of a running Linux process as it stood at one instant, without stopping it.')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print the help of a command')
    .addHelpText('after', () => `\nExit status:\n${exitStatusLines().join('\n')}`)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.voice.data(text),
      // Usage errors are thrown and told by `run`, in words or in JSON like every other error.
      outputError: () => {},
      writeErr: (text) => context.voice.say(text.trimEnd()),
    });
  addDump(program, context);
  addShow(program, context);
  addDoctor(program, context);
  addExplain(program, context);
  addCompletion(program);
  addMan(program, context);
  return program;
}

/** Runs one command line and returns its exit status; throws nothing. */
export async function run(args: readonly string[], context: Context): Promise<number> {
  const program = buildTree(context);
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    context.ending = tell(error, args, program, context);
  }
  // Errors of streams come in a turn of their own. Where there is a core, the status speaks of that.
  await setImmediate();
  if (context.voice.lost && context.ending === 'whole' && context.core !== 'written')
    context.ending = 'failed';
  return exitStatuses[context.ending][0];
}

function tell(error: unknown, args: readonly string[], program: Command, { voice }: Context): Ending {
  if (!(error instanceof CommanderError)) {
    voice.fail(error);
    return endingOf(error);
  }
  if (error.exitCode === 0) return 'whole';
  // Without a command the help is the message, and it was printed.
  if (error.code === 'commander.help') return 'usage';
  // The options were not parsed to their end, so whether JSON was asked for is read from the words.
  if (args.includes('--json')) voice.adopt({ json: true });
  const command = program.commands.find((candidate) => candidate.name() === args[0]);
  const name = command === undefined ? 'livecore' : `livecore ${command.name()}`;
  const message = error.message
    .replace(/^error: /, '')
    .replaceAll('\n', ' ')
    .replace(/\.$/, '');
  voice.fail(new LivecoreError('USAGE', message, { cure: `\`${name} --help\` shows the usage` }));
  return 'usage';
}

/** The lines of the help about exit statuses. */
export function exitStatusLines(): string[] {
  return Object.values(exitStatuses).map(([status, meaning]) => `  ${String(status).padEnd(4)} ${meaning}`);
}

/** The version of the package; src/cli and dist/cli are equally deep in it. */
export function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
