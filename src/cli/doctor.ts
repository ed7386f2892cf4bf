/** `livecore doctor [PID]`: what this kernel, user and container allow, and the cure for each "no". */
import { release } from 'node:os';
import { styleText } from 'node:util';
import { Argument, type Command } from 'commander';
import type { Context } from './context.ts';
import type { Answer, Check } from './doctor-checks.ts';
import { addExamples } from './help.ts';
import { parsePid } from './parse.ts';
import { record } from './voice.ts';

/** Adds the command to the tree. */
export function addDoctor(program: Command, context: Context): void {
  const command = program
    .command('doctor')
    .description('what this kernel, user and container allow, and the cure for each "no"')
    .addArgument(new Argument('[PID]', 'also whether this process can be dumped').argParser(parsePid))
    .option('--json', 'JSON lines on stdout, the last of type summary or error')
    .action(async (pid: number | undefined, flags: { readonly json?: true }) =>
      run(pid, flags.json === true, context),
    );
  addExamples(
    command,
    ['livecore doctor', 'on a new machine, or in a container'],
    [
      'livecore doctor 4711 > /dev/null && livecore dump 4711',
      'the exit status is 1 where a dump would be refused',
    ],
  );
}

async function run(pid: number | undefined, json: boolean, context: Context): Promise<void> {
  const { voice } = context;
  voice.adopt({ json });
  const { checkKernel, checkProcess, checkUser, describeUser, nameOf } = await import('./doctor-checks.ts');
  const { escapeText } = await import('./escape.ts');
  const groups: [title: string, checks: readonly Check[]][] = [
    [`this kernel (Linux ${release()})`, checkKernel()],
    [`this user (${describeUser()})`, checkUser()],
  ];
  // What holds for one process stands above what holds for most.
  if (pid !== undefined) {
    const ofProcess = checkProcess(pid);
    groups[1] = [`process ${pid} (${escapeText(nameOf(pid))})`, ofProcess];
  }
  const checks = groups.flatMap(([, each]) => each);
  const refused = checks.filter(({ answer }) => answer === 'no');
  const isPossible = refused.length === 0;
  for (const check of checks) voice.record(record('check', check));
  voice.record(record('summary', { ok: isPossible, ...(pid !== undefined && { pid }) }));
  if (!json) {
    for (const [title, each] of groups)
      voice.data([title, ...each.map((check) => describe(escapeText, check)), '', ''].join('\n'));
    voice.data(conclude(pid, refused));
  }
  if (!isPossible) context.ending = 'failed';
}

const COLOURS: Readonly<Record<Answer, 'green' | 'yellow' | 'red'>> = {
  yes: 'green',
  less: 'yellow',
  no: 'red',
};

function describe(escapeText: (text: string) => string, { name, answer, text, cure }: Check): string {
  const word = styleText(COLOURS[answer], answer.padEnd(4), { stream: process.stdout });
  const advice = answer === 'yes' || cure === undefined ? '' : `\n        ${escapeText(cure)}`;
  // Who traces the process is told by name.
  return `  ${word}  ${name}: ${escapeText(text)}${advice}`;
}

function conclude(pid: number | undefined, refused: readonly Check[]): string {
  const what = pid === undefined ? 'processes of this user' : `process ${pid}`;
  if (refused.length === 0) return `${what} can be dumped`;
  return `${what} cannot be dumped: ${refused.map(({ name }) => name).join(', ')}`;
}
