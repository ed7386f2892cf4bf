/** Compiles a small C program against the system's headers and gives what it prints. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Evaluates C expressions of integer type.
 *
 * @param prologue includes and declarations
 * @param expressions each may be absent from the headers where `optional` names the macro that tells
 * @returns the values of those that exist, by expression
 */
export function evaluateC(
  prologue: string,
  expressions: readonly { readonly expression: string; readonly optional?: string }[],
): Map<string, bigint> {
  const lines = expressions.map(({ expression, optional }) => {
    const print = `  printf("%lld ${expression}\\n", (long long)(${expression}));`;
    return optional === undefined ? print : `#ifdef ${optional}\n${print}\n#endif`;
  });
  const source = `${prologue}\n#include <stdio.h>\n#include <stddef.h>\nint main(void) {\n${lines.join('\n')}\n  return 0;\n}\n`;
  const values = new Map<string, bigint>();
  for (const line of runC(source).split('\n')) {
    const match = /^(-?\d+) (.*)$/.exec(line);
    if (match !== null) values.set(match[2]!, BigInt(match[1]!));
  }
  return values;
}

/** Compiles and runs a C program; its standard output. A compiler's complaint is in the error. */
export function runC(source: string, flags: readonly string[] = []): string {
  const directory = mkdtempSync(join(tmpdir(), 'livecore-abi-'));
  try {
    const program = join(directory, 'program');
    writeFileSync(`${program}.c`, source);
    execFileSync('gcc', ['-Wall', '-O1', ...flags, '-o', program, `${program}.c`], { encoding: 'utf8' });
    return execFileSync(program, { encoding: 'utf8' });
  } finally {
    rmSync(directory, { recursive: true });
  }
}
