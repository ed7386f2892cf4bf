/**
 * Where faults can be put in: every call of a C function in `src/linux`, found in its source. A point bears the name
 * `file.function.call`, where the call is the system call or the request that is made: `userfaultfd.writeProtect.UFFDIO_WRITEPROTECT`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Point {
  readonly name: string;
  /** of the C library's function */
  readonly native: string;
  /** file in src/linux, and the line of the call */
  readonly file: string;
  readonly line: number;
}

/** Position of the byte count among the arguments of functions that may do less than they were asked for. */
export const LENGTH_AT: Readonly<Record<string, number>> = { read: 2, write: 2, pread: 2, pwrite: 2 };

const FOLDER = join(import.meta.dirname, '../../src/linux');

/** `libc.ioctl(this.fd, UFFDIO_API`, `callLater('fallocate'`; up to the name of the request, if there is one */
const CALL =
  /\blibc\.(\w+)\((?:\s*(?:SYS_(\w+)|(?:[\w.#]+,\s*)?((?:[A-Z]+_)[A-Z_]+)))?|\bcallLater\('(\w+)'/g;
/** what begins at the first column: a function, a class, or another statement of the module */
const TOP = /^(?:export )?(?:(?:async )?function\*? (\w+)|((?:abstract )?class )|\w)/;
const METHOD = /^ {2}(?:static |async |get |set )*(#?\w+|\[Symbol\.dispose\])(?:<.*>)?\(.*(?:\{|\()$/;
const NAMED_BY_REQUEST = new Set(['ioctl', 'prctl']);

/** All points, in the order of the files. */
export function findPoints(): Point[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && file !== 'native.ts')
    .sort()
    .flatMap((file) => pointsIn(file, readFileSync(join(FOLDER, file), 'utf8')));
}

/** The points of one source text. */
export function pointsIn(file: string, text: string): Point[] {
  const lines = text.split('\n');
  const names = new Map<string, number>();
  return [...text.matchAll(CALL)]
    .map((match) => ({ match, line: text.slice(0, match.index).split('\n').length }))
    .filter(({ line }) => !isComment(lines[line - 1]!))
    .map(({ match: [, direct, systemCall, request, later], line }) => {
      const native = direct ?? later!;
      const call = systemCall ?? (NAMED_BY_REQUEST.has(native) && request ? request : native);
      const plain = `${file.slice(0, -3)}.${enclosing(lines, line)}.${call}`;
      const count = (names.get(plain) ?? 0) + 1;
      names.set(plain, count);
      return { name: count === 1 ? plain : `${plain}.${count}`, native, file, line };
    });
}

function isComment(line: string): boolean {
  return /^\s*(\/\/|\*|\/\*)/.test(line);
}

/** The function that a line stands in, without its class; a statement of the module itself stands in `module`. */
function enclosing(lines: readonly string[], line: number): string {
  const before = lines.slice(0, line);
  const top = TOP.exec(before.findLast((text) => TOP.test(text)) ?? '');
  if (top?.[2] === undefined) return top?.[1] ?? 'module';
  const method = METHOD.exec(before.findLast((text) => METHOD.test(text)) ?? '');
  return (method?.[1] ?? 'module').replace('[Symbol.dispose]', 'dispose');
}
