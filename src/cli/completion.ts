/** `livecore completion SHELL`: a script for the shell, which asks the hidden `livecore complete -- WORDS`. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Argument, type Command, type Help } from 'commander';
import { addExamples } from './help.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/**
 * Names that a shell takes as they are. Bash expands what it is offered (`compgen -W`), so a file that is named like a
 * command substitution must never be.
 */
const PLAIN_NAME = /^[\p{L}\p{N}._,+@%=-]+$/u;

type Offer = (value: string, description: string) => void;

/** Adds the command, and the hidden one that it needs, to the tree. */
export function addCompletion(program: Command): void {
  const command = program
    .command('completion')
    .description('print the completion script of a shell')
    .addArgument(new Argument('<SHELL>', 'the shell').choices(SHELLS))
    .action(async (shell: (typeof SHELLS)[number]) => {
      const { default: tab } = await import('@bomb.sh/tab');
      tab.setup(program.name(), program.name(), shell);
    });
  addExamples(
    command,
    ['livecore completion bash > /etc/bash_completion.d/livecore', 'for everyone who uses bash'],
    ['source <(livecore completion zsh)', 'for this shell'],
  );
  program
    .command('complete [WORDS...]', { hidden: true })
    .allowUnknownOption()
    .action(async (words: string[]) => answer(program, words));
}

async function answer(program: Command, words: string[]): Promise<void> {
  const { default: tab } = await import('@bomb.sh/tab');
  const help = program.createHelp();
  const current = words.at(-1) ?? '';
  for (const command of help.visibleCommands(program)) {
    const node = tab.command(command.name(), command.description());
    for (const { long, short, description, required } of help.visibleOptions(command)) {
      if (long === undefined) continue;
      const alias = short?.slice(1);
      if (required)
        node.option(long.slice(2), description, (offer: Offer) => offerValues(long, current, offer), alias);
      else node.option(long.slice(2), description, alias);
    }
    for (const argument of command.registeredArguments) {
      node.argument(argument.name(), (offer: Offer) => {
        if (argument.argChoices) for (const choice of argument.argChoices) offer(choice, '');
        else offerValues(argument.name(), current, offer);
      });
    }
    addHelpTopics(command, help, node);
  }
  tab.parse(words);
}

/** `livecore help COMMAND` has no registered choices, but they are known. */
function addHelpTopics(
  command: Command,
  help: Help,
  node: { argument(name: string, handler: (offer: Offer) => void): unknown },
): void {
  if (command.name() !== 'help' || command.parent === null) return;
  const topics = help.visibleCommands(command.parent).filter((topic) => topic.name() !== 'help');
  node.argument('command', (offer) => {
    for (const topic of topics) offer(topic.name(), topic.description());
  });
}

function offerValues(name: string, current: string, offer: Offer): void {
  if (name === 'PID') offerProcesses(offer);
  if (name === 'FILE' || name === '--output') offerFiles(current, offer);
}

/** Processes by number, with their names; kernel threads have no command line and are left out. */
function offerProcesses(offer: Offer): void {
  for (const pid of readdirSync('/proc').filter((entry) => /^[0-9]+$/.test(entry))) {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`).length === 0) continue;
      offer(pid, printable(readFileSync(`/proc/${pid}/comm`, 'utf8')));
    } catch {
      // it ended in between
    }
  }
}

/** The directive of @bomb.sh/tab turns the shell's own completion of files off, so they are offered here. */
function offerFiles(current: string, offer: Offer): void {
  const word = current.replace(/^--[a-z]+=/, '');
  const folder = word.endsWith('/') ? word : dirname(word);
  const prefix = word.endsWith('/') ? word : word.includes('/') ? join(folder, '/') : '';
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (!PLAIN_NAME.test(entry.name)) continue;
      offer(`${prefix}${entry.name}${entry.isDirectory() ? '/' : ''}`, '');
    }
  } catch {
    // no such folder: nothing to offer
  }
}

/** A process chooses its name; what a terminal or the shell's reader would take for more than text is dropped. */
function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '');
}
