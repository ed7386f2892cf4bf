/** Runs named steps one after another, shows each with its time, and remembers whether one failed. */
import { spawnSync } from 'node:child_process';
import { styleText } from 'node:util';

/** One step: returns what is wrong, one line each; none when all is well. */
export type Step = () => string[] | Promise<string[]>;

/** Runs `steps` in order and returns whether all of them passed; the later ones run even if one fails. */
export async function runSteps(steps: Readonly<Record<string, Step>>): Promise<boolean> {
  const startMs = performance.now();
  const failed: string[] = [];
  for (const [name, step] of Object.entries(steps)) {
    const stepStartMs = performance.now();
    const faults = await step();
    const seconds = ((performance.now() - stepStartMs) / 1000).toFixed(1).padStart(6);
    const word = faults.length === 0 ? styleText('green', 'ok    ') : styleText('red', 'FAILED');
    console.log(`${word} ${seconds} s  ${name}`);
    for (const fault of faults) console.log(`         ${fault.trimEnd().replaceAll('\n', '\n         ')}`);
    if (faults.length > 0) failed.push(name);
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  console.log(
    failed.length === 0 ? `all well in ${seconds} s` : `failed: ${failed.join(', ')} (${seconds} s)`,
  );
  return failed.length === 0;
}

/** A step that runs a program, which is right when it exits with 0; its output is shown only otherwise. */
export function command(program: string, ...args: string[]): Step {
  return () => {
    const { status, signal, stdout, stderr, error } = spawnSync(program, args, {
      encoding: 'utf8',
      maxBuffer: 64 << 20,
    });
    if (status === 0) return [];
    return [
      `${program} ${args.join(' ')}: ${error?.message ?? signal ?? `exit ${status}`}`,
      `${stdout}${stderr}`,
    ];
  };
}
