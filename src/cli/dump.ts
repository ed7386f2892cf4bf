/** `livecore dump PID`: the library's `dump`, with words around it. */
import { constants, readFileSync, readlinkSync } from 'node:fs';
import { Argument, type Command, Option } from 'commander';
import type { DumpOptions, DumpPlan, DumpSummary } from '../dump-types.ts';
import { LivecoreError } from '../errors.ts';
import type { Context } from './context.ts';
import { formatCount, formatMs, formatSize } from './format.ts';
import { addExamples } from './help.ts';
import { Interruption } from './interruption.ts';
import { parseDurationMs, parsePid, parseSize } from './parse.ts';
import { ProgressLine } from './progress.ts';

interface Flags {
  readonly output?: string;
  readonly all?: true;
  readonly maxPause?: number;
  readonly maxStall?: number;
  readonly buffer?: number;
  readonly spool?: number;
  readonly readerTimeout?: number;
  readonly force?: true;
  readonly json?: true;
  readonly quiet?: true;
}

const STDOUT_FD = 1;

/** Adds the command to the tree. */
export function addDump(program: Command, context: Context): void {
  const command = program
    .command('dump')
    .description('write a core file of a running process as it stands at one instant; the process goes on')
    .addArgument(new Argument('<PID>', 'the process').argParser(parsePid))
    .option(
      '-o, --output <FILE>',
      'file to write (default: core.PID), never overwritten; - streams to stdout',
    )
    .option('--all', 'also what coredump_filter and MADV_DONTDUMP leave out')
    .addOption(
      new Option('--max-pause <MS>', 'do nothing when the forecast pause is longer').argParser(
        parseDurationMs,
      ),
    )
    .addOption(
      new Option(
        '--max-stall <MS>',
        'give up when a writer waits longer for its copy (default: 250)',
      ).argParser(parseDurationMs),
    )
    .addOption(new Option('--buffer <SIZE>', 'memory to stage copies in, such as 64MiB').argParser(parseSize))
    .addOption(
      new Option(
        '--spool <SIZE>',
        'with -o -: what may wait in $TMPDIR for the reader (default: 1GiB)',
      ).argParser(parseSize),
    )
    .addOption(
      new Option(
        '--reader-timeout <MS>',
        'with -o -: give up when the reader takes nothing for so long (default: 60s)',
      ).argParser(parseDurationMs),
    )
    .option('--force', 'go on although the forecast pause is above 20 ms')
    .option('--json', 'JSON lines on stdout, the last of type summary or error')
    .option('-q, --quiet', 'only the name of the file, warnings and errors')
    .action(async (pid: number, flags: Flags) => run(pid, flags, context));
  addExamples(
    command,
    ['livecore dump 4711', 'writes core.4711; then: gdb -c core.4711 /proc/4711/exe'],
    [
      'livecore dump 4711 -o /var/cores/db.core --max-pause 1',
      'nothing happens if the pause would be over 1 ms',
    ],
    ['ssh db1 livecore dump 4711 -o - > db1.core', 'leaves no file on the machine that is dumped'],
    ['livecore dump 4711 --json | tail -n 1', 'the summary: pause, traps, blocks, memory before and after'],
  );
}

async function run(pid: number, flags: Flags, context: Context): Promise<void> {
  const { voice } = context;
  const coreOnStdout = flags.output === '-';
  voice.adopt({ json: flags.json === true, quiet: flags.quiet === true, coreOnStdout });
  if (coreOnStdout && process.stdout.isTTY) {
    throw new LivecoreError('USAGE', 'dump: a core is not for a terminal', {
      cure: 'send stdout to a file or a pipe',
    });
  }
  if (coreOnStdout && isClosed(STDOUT_FD)) {
    throw new LivecoreError('USAGE', 'dump: stdout is closed, and the core would go nowhere', {
      cure: 'send stdout to a file or a pipe',
    });
  }
  using interruption = new Interruption(voice);
  const progress = new ProgressLine(voice);
  const dump = await context.loadDump();
  try {
    const summary = await dump(pid, {
      ...optionsOf(flags),
      signal: interruption.signal,
      onProgress: (event) => progress.show(event),
      onPlan: (plan) => {
        voice.record(plan);
        voice.say(describePlan(plan));
      },
      onNotice: (text) => voice.warn(text),
    });
    voice.settle();
    report(summary, context);
  } finally {
    voice.settle();
  }
}

/**
 * Whether we were started without this descriptor: Node then opens /dev/null in its place, for reading too (src/node.cc,
 * PlatformInit), so that no file that is opened later takes it.
 */
function isClosed(fd: number): boolean {
  const opened = /^flags:\t0*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? '0';
  const access = Number.parseInt(opened, 8) & (constants.O_RDWR | constants.O_WRONLY);
  return access === constants.O_RDWR && readlinkSync(`/proc/self/fd/${fd}`) === '/dev/null';
}

function optionsOf(flags: Flags): DumpOptions {
  const { output, all, maxPause, maxStall, buffer, spool, readerTimeout, force } = flags;
  return {
    ...(output === '-' ? { outputFd: STDOUT_FD } : output !== undefined && { output }),
    ...(all && { all }),
    ...(maxPause !== undefined && { maxPauseMs: maxPause }),
    ...(maxStall !== undefined && { maxStallMs: maxStall }),
    ...(buffer !== undefined && { bufferBytes: buffer }),
    ...(spool !== undefined && { spoolBytes: spool }),
    ...(readerTimeout !== undefined && { readerTimeoutMs: readerTimeout }),
    ...(force && { force }),
  };
}

function report(summary: DumpSummary, context: Context): void {
  const { voice } = context;
  const { unreliable, lost } = summary.blocks;
  context.core = 'written';
  for (const line of describeSummary(summary)) voice.say(line);
  if (unreliable + lost > 0) {
    context.ending = 'incomplete';
    const what = `${formatCount(unreliable)} blocks unreliable, ${formatCount(lost)} lost`;
    voice.warn(`${what}; \`livecore show\` lists them`);
  }
  voice.record(summary);
  // The one thing on stdout, so that $(livecore dump PID) is the file.
  if (!voice.isJson && summary.file !== '-') voice.data(summary.file);
}

function describePlan({ leftOut, forecastPauseMs }: DumpPlan): string {
  const bytes = leftOut.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const ranges = leftOut.length === 1 ? '1 range' : `${leftOut.length} ranges`;
  return `forecast pause ${formatMs(forecastPauseMs)}; by rule ${ranges} left out (${formatSize(bytes)})`;
}

function describeSummary({
  t0,
  pauseMs,
  attachMs,
  totalMs,
  memoryBytes,
  fileBytes,
  blocks,
  traps,
}: DumpSummary): string[] {
  const copied = [
    `${formatCount(blocks.initial)} in the pause`,
    `${formatCount(blocks.trapped)} just before a write`,
    `${formatCount(blocks.swept)} in the background`,
    `${formatCount(blocks.zero)} zero`,
  ];
  return [
    `${formatSize(memoryBytes)} of memory as of ${t0}; the file takes ${formatSize(fileBytes)}`,
    `pause ${formatMs(pauseMs)} (at most ${formatMs(attachMs)} before it), ${formatMs(totalMs)} in all`,
    `${formatCount(blocks.total)} blocks: ${copied.join(', ')}`,
    traps.count === 0
      ? 'no write had to wait'
      : `writes that waited for their copy: ${formatCount(traps.count)}, median ${formatMs(traps.p50Us / 1000)}, ` +
        `99% within ${formatMs(traps.p99Us / 1000)}, longest ${formatMs(traps.maxUs / 1000)}`,
  ];
}
