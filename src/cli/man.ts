/** `livecore man`: the manual page, made from the tree of commands, so that it cannot tell another story. */
import type { Argument, Command, Option } from 'commander';
import type { Context } from './context.ts';
import { examplesOf } from './help.ts';
import { exitStatuses } from './voice.ts';

/** Adds the command to the tree. */
export function addMan(program: Command, { voice }: Context): void {
  program
    .command('man')
    .description('print the manual page (livecore man | man -l -)')
    .action(() => voice.data(renderMan(program)));
}

/** The page in roff, man(7) macros: they work with man-db and with mandoc alike. */
export function renderMan(program: Command): string {
  const help = program.createHelp();
  const commands = help.visibleCommands(program).filter((command) => command.name() !== 'help');
  const lines = [
    `.\\" Made from the tree of commands by scripts/man.ts; not to be edited.`,
    `.TH LIVECORE 1 "" "livecore ${program.version()}" "User Commands"`,
    '.SH NAME',
    `livecore \\- ${text(lowerFirst(program.description()).replace(/\.$/, ''))}`,
    '.SH SYNOPSIS',
    ...commands.flatMap((command, index) => [...(index > 0 ? ['.br'] : []), ...synopsisOf(command, program)]),
    '.SH DESCRIPTION',
    text(program.description()),
    'The memory is write-protected while the process runs; a page is copied just before its first write, and the',
    'rest in the background. The process stands still only for the moment in which the registers are read.',
    '.SH COMMANDS',
    ...commands.flatMap((command) => sectionOf(command, help.visibleOptions(command))),
    '.SH OPTIONS',
    ...help.visibleOptions(program).flatMap(describeOption),
    '.SH EXIT STATUS',
    ...Object.values(exitStatuses).flatMap(([status, meaning]) => ['.TP', `.B ${status}`, text(meaning)]),
    '.SH ENVIRONMENT',
    '.TP',
    '.B NO_COLOR',
    'If set, nothing is coloured.',
    '.TP',
    '.B LIVECORE_NODE',
    'The Node.js to run on (24 or newer), before the ones that the launcher finds by itself.',
    '.SH SEE ALSO',
    '.BR gcore (1),',
    '.BR gdb (1),',
    '.BR core (5),',
    '.BR userfaultfd (2)',
  ];
  return `${lines.join('\n')}\n`;
}

function sectionOf(command: Command, options: readonly Option[]): string[] {
  return [
    `.SS livecore ${text(command.name())}`,
    `${text(upperFirst(command.description()))}.`,
    ...command.registeredArguments.flatMap((argument) => [
      '.TP',
      `.I ${text(argument.name())}`,
      text(describeArgument(argument)),
    ]),
    ...options.filter(({ long }) => long !== '--help').flatMap(describeOption),
    ...examplesOf(command).flatMap(([line, purpose]) => [
      '.PP',
      `${text(upperFirst(purpose))}:`,
      '.PP',
      '.RS 4',
      '.nf',
      `$ ${text(line)}`,
      '.fi',
      '.RE',
    ]),
  ];
}

/** `livecore dump PID [-o FILE] [--all]`: the command in bold, then arguments, then options. */
function synopsisOf(command: Command, program: Command): string[] {
  const shown = program
    .createHelp()
    .visibleOptions(command)
    .filter(({ long }) => long !== '--help');
  const required = command.registeredArguments.map((argument) =>
    argument.required ? argument.name() : `[${argument.name()}]`,
  );
  const optional = shown.map(({ short, long, flags }) => {
    const value = /<(.*)>/.exec(flags)?.[1];
    return `[${short ?? long}${value === undefined ? '' : ` ${value}`}]`;
  });
  return [`.B livecore ${text(command.name())}`, text([...required, ...optional].join(' '))].filter(Boolean);
}

function describeOption({ flags, description }: Option): string[] {
  return ['.TP', `.B ${text(flags.replace(/[<>]/g, ''))}`, text(description)];
}

function describeArgument({ description, argChoices }: Argument): string {
  return argChoices ? `${description}: ${argChoices.join(', ')}` : description;
}

/** Text for roff: a backslash is \\e, a hyphen that is typed is \\-, and a dot at the start is no request. */
function text(plain: string): string {
  return plain
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(['.])/, '\\&$1');
}

function upperFirst(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

function lowerFirst(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}
