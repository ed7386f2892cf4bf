/**
 * Puts one fault into the tool, for tests: loaded before it (`node --import`), this stands between the modules of
 * `src/linux` and the C library, in the command, in the loop process that it starts, and in the loop's second thread. The
 * project itself knows nothing of it.
 *
 * LIVECORE_FAULT=POINT:WHAT[:N[+]],...   the Nth call (the first) of the point, with + all from then on, where WHAT is
 *     the name of an error    the call is not made, and gives that
 *     short                   only half of the bytes asked for
 *     hang                    the thread waits for ever before the call
 *     stop                    the process stops (SIGSTOP) before the call; continued, it makes it
 *     wait                    the thread waits before the call until there is a file LIVECORE_FAULT_LOG.go
 *     kill, killed            the process gets SIGKILL before the call, after it
 *   POINT may end in @CALLER: only calls of that function outside `src/linux`, as V8 names it, and in @CALLER/live: of
 *   those only the calls after the loop has rehearsed on a child of its own.
 * LIVECORE_FAULT_LOG=FILE     a line is added for each fault that was put in
 * LIVECORE_FAULT_COUNT=FILE   at the end, a line for each point that was reached, with its caller and how often
 */
import childProcess from 'node:child_process';
import { appendFileSync, existsSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename } from 'node:path';
import { ERRNO } from '../../src/linux/errno.ts';
import { type Interposer, interpose } from '../../src/linux/native.ts';
import { findPoints, LENGTH_AT, type Point } from './points.ts';

const { LIVECORE_FAULT: spec, LIVECORE_FAULT_LOG: log, LIVECORE_FAULT_COUNT: counted } = process.env;

/** One fault, as LIVECORE_FAULT says it. */
interface Fault {
  readonly text: string;
  readonly point: string;
  readonly caller: string | undefined;
  readonly what: string;
  readonly first: number;
  readonly last: number;
}

function parseFault(text: string): Fault {
  const [where = '', what = '', which = '1'] = text.split(':');
  const [point = '', caller] = where.split('@');
  const first = Number.parseInt(which, 10);
  return { text, point, caller, what, first, last: which.endsWith('+') ? Number.POSITIVE_INFINITY : first };
}

/** whether the loop has raised its priority, which it does when all of its own is ready: then comes the target */
let rehearsed = false;

/** The same wrapping, which also notes when the rehearsal is over. */
function noting(wrap: Interposer): Interposer {
  return (name, original, fail) => {
    const wrapped = wrap(name, original, fail);
    if (name !== 'setpriority') return wrapped;
    return (...args) => {
      rehearsed = true;
      return wrapped(...args);
    };
  };
}

/** Where in src/linux the C function was called that is about to be, and for whom. */
function whence(points: ReadonlyMap<string, Point>): { point: Point | undefined; caller: string } {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 16;
  Error.prepareStackTrace = (_error, sites) => sites;
  const sites = new Error().stack as unknown as NodeJS.CallSite[];
  Reflect.deleteProperty(Error, 'prepareStackTrace');
  Error.stackTraceLimit = stackTraceLimit;
  let point: Point | undefined;
  const live = rehearsed ? '/live' : '';
  for (const site of sites) {
    const file = site.getFileName() ?? '';
    if (file.includes('/test/faults/') || file.endsWith('/linux/native.ts')) continue;
    if (!file.includes('/src/linux/'))
      return { point, caller: `${site.getFunctionName() ?? basename(file, '.ts')}${live}` };
    point ??= points.get(`${basename(file)}:${site.getLineNumber()}`);
  }
  return { point, caller: 'start' };
}

/** Never returns; SIGKILL ends it, as it would a call that hangs. */
function hang(): never {
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

function die(): never {
  process.kill(process.pid, 'SIGKILL');
  return hang();
}

/** @param natives the functions that the point calls: no other is slowed down */
function interposerOf(
  fault: Fault,
  points: ReadonlyMap<string, Point>,
  natives: ReadonlySet<string>,
): Interposer {
  let count = 0;
  return (name, original, fail) => {
    if (!natives.has(name)) return original;
    return (...args) => {
      const { point, caller } = whence(points);
      if (point?.name !== fault.point) return original(...args);
      if (fault.caller !== undefined && fault.caller !== caller) return original(...args);
      count++;
      if (count < fault.first || count > fault.last) return original(...args);
      if (log !== undefined && count === fault.first)
        appendFileSync(log, `${process.pid} ${fault.text} ${caller}\n`);
      switch (fault.what) {
        case 'hang':
          return hang();
        case 'stop':
          process.kill(process.pid, 'SIGSTOP');
          return original(...args);
        case 'wait':
          while (!existsSync(`${log}.go`)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
          return original(...args);
        case 'kill':
          return die();
        case 'killed':
          original(...args);
          return die();
        case 'short': {
          const at = LENGTH_AT[name]!;
          return original(...args.with(at, Math.ceil(Number(args[at]) / 2)));
        }
        default:
          return fail(ERRNO[fault.what as keyof typeof ERRNO]);
      }
    };
  };
}

/** Counts what is reached, and writes it to a file when the process ends. */
function counter(points: ReadonlyMap<string, Point>, file: string): Interposer {
  const counts = new Map<string, number>();
  process.on('exit', () => {
    const lines = [...counts].map(([where, count]) => `${where} ${count}\n`);
    appendFileSync(file, lines.join(''));
  });
  return (_name, original) =>
    (...args) => {
      const { point, caller } = whence(points);
      const where = `${point?.name ?? 'unknown'}@${caller}`;
      counts.set(where, (counts.get(where) ?? 0) + 1);
      return original(...args);
    };
}

/** The loop process is started with this file loaded as well. */
function followIntoLoop(): void {
  const { spawn } = childProcess;
  childProcess.spawn = ((command: string, args: readonly string[], options: childProcess.SpawnOptions) =>
    spawn(
      command,
      command === process.execPath ? [`--import=${import.meta.filename}`, ...args] : args,
      options,
    )) as typeof spawn;
  syncBuiltinESMExports();
}

if (spec !== undefined || counted !== undefined) {
  const all = findPoints();
  const points = new Map(all.map((point) => [`${point.file}:${point.line}`, point]));
  const wraps = (spec?.split(',') ?? []).map((one) => {
    const fault = parseFault(one);
    const natives = new Set(all.filter(({ name }) => name === fault.point).map(({ native }) => native));
    if (natives.size === 0) throw new Error(`LIVECORE_FAULT=${one}: no such point`);
    return interposerOf(fault, points, natives);
  });
  if (counted !== undefined) wraps.push(counter(points, counted));
  interpose(
    noting((name, original, fail) => wraps.reduce((inner, wrap) => wrap(name, inner, fail), original)),
  );
  followIntoLoop();
}
