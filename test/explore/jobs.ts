/** Explores combinations in several processes at once: each takes the next when it has done one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describeVariants, type Variants } from '../../src/machines/ultrasparc/variants.ts';
import { type Course, courses, exploreOne, type Totals } from './main.ts';

/** One combination of one course, by their places. */
interface Job {
  readonly course: number;
  readonly variants: Variants;
}

/** What a process answers, as a line of JSON. */
interface Done {
  readonly states: number;
  readonly orders: number;
  readonly violations: readonly { readonly what: string; readonly schedule: readonly string[] }[];
}

/** States of one combination take up to some GiB. */
const HEAP_MIB = 6000;

/** A process of `jobs`: explores what it is given, a line each, until there is no more. */
export async function work(): Promise<void> {
  const all = courses(false);
  for await (const line of createInterface({ input: process.stdin })) {
    const { course, variants } = JSON.parse(line) as Job;
    const { shape, turns } = all[course]!;
    const { states, orders, violations } = await exploreOne(shape, variants, turns);
    const done: Done = { states, orders, violations };
    process.stdout.write(`${JSON.stringify(done)}\n`);
  }
}

/**
 * Explores courses in so many processes.
 *
 * @param program the script that calls `work` when it is given --work
 * @returns the totals of each course, in their order
 */
export async function exploreInProcesses(
  program: string,
  processes: number,
  chosen: readonly Course[],
  say: (line: string) => void,
): Promise<Totals[]> {
  const names = courses(false).map(({ name }) => name);
  const jobs = chosen.flatMap(({ name, variants }) =>
    variants.map((one): Job => ({ course: names.indexOf(name), variants: one })),
  );
  const totals = chosen.map((): Totals => ({ combinations: 0, states: 0, orders: 0, violations: 0 }));
  let next = 0;
  const one = async (): Promise<void> => {
    using worker = new Worker(program);
    for (let job = jobs[next++]; job !== undefined; job = jobs[next++]) {
      const done = await worker.explore(job);
      const at = chosen.findIndex(({ name }) => name === names[job.course]);
      const [course, total] = [chosen[at]!, totals[at]!];
      count(total, `${course.name} ${describeVariants(job.variants)}`, done, say);
      if (total.combinations === course.variants.length) say(`${course.name}: ${describeTotals(total)}`);
    }
  };
  await Promise.all(Array.from({ length: processes }, one));
  return totals;
}

/** Adds what was found of one combination, and says the first thing that went wrong in it. */
export function count(
  totals: Totals,
  name: string,
  { states, orders, violations }: Done,
  say: (line: string) => void,
): void {
  totals.combinations++;
  totals.states += states;
  totals.orders += orders;
  totals.violations += violations.length;
  for (const { what, schedule } of violations.slice(0, 1)) {
    say(`${name}: ${what}`);
    for (const event of schedule) say(`    ${event}`);
  }
}

/** `768 combinations, 443972784 states, 3.0e+32 orders, 0 violations` */
export function describeTotals({ combinations, states, orders, violations }: Totals): string {
  return `${combinations} combinations, ${states} states, ${orders.toExponential(2)} orders, ${violations} violations`;
}

class Worker implements Disposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(program: string) {
    this.#child = spawn(process.execPath, [`--max-old-space-size=${HEAP_MIB}`, program, '--work'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async explore(job: Job): Promise<Done> {
    this.#child.stdin!.write(`${JSON.stringify(job)}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) {
      const status = this.#child.exitCode ?? this.#child.signalCode ?? (await once(this.#child, 'exit'))[0];
      throw new Error(`a process of it ended with ${status} at ${describeVariants(job.variants)}`);
    }
    return JSON.parse(value) as Done;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}
