/** What the help and the man page show of a command beyond its options: examples, kept with the command. */
import type { Command } from 'commander';

/** A command line and what it is for. */
export type Example = readonly [line: string, purpose: string];

const examples = new WeakMap<Command, readonly Example[]>();

/** Gives a command its examples; they end its help and its section of the man page. */
export function addExamples(command: Command, ...lines: readonly Example[]): void {
  examples.set(command, lines);
  const text = lines.map(([line, purpose]) => `  $ ${line}\n      ${purpose}`);
  command.addHelpText('after', `\nExamples:\n${text.join('\n')}`);
}

/** The examples of a command, none if it was given none. */
export function examplesOf(command: Command): readonly Example[] {
  return examples.get(command) ?? [];
}
