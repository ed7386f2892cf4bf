/**
 * `npm run faults`: dumps with a fault at every point of `src/linux` that a dump reaches, for each of its callers: every
 * error that it can give, once and for good, half of the bytes, a hang, SIGKILL before and after the call. Then SIGKILLs
 * at random calls (`--kills N`), or at random moments (`--moments N`), as many as wanted. A target must never notice, and a
 * core that is passed as whole must be.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Random } from '../conformance/random.ts';
import { ERRORS } from './errors.ts';
import { killAtRandomMoments } from './moments.ts';
import { findPoints, LENGTH_AT } from './points.ts';
import { SCENES, type Scene, Victims } from './trial.ts';

/** A point as one function of the tool reaches it. */
interface Reach {
  readonly scene: Scene;
  /** POINT@CALLER */
  readonly where: string;
  readonly point: string;
  /** how often in a dump without a fault */
  readonly count: number;
}

interface Trial {
  readonly reach: Reach;
  readonly fault: string;
}

/** What each scene reaches that none before it did. */
async function reaches(victims: Victims): Promise<Reach[]> {
  const folder = mkdtempSync(join(tmpdir(), 'livecore-reached-'));
  const found = new Map<string, Reach>();
  try {
    for (const scene of SCENES) {
      const counts = join(folder, scene.name);
      const { complaints, ended } = await victims.try(scene, undefined, counts);
      if (complaints.length > 0 || ended !== 0)
        throw new Error(`${scene.name}: ${ended}: ${complaints.join('; ')}`);
      for (const line of readFileSync(counts, 'utf8').trim().split('\n')) {
        const [where = '', count] = line.split(' ');
        const point = where.split('@')[0]!;
        if (!found.has(where)) found.set(where, { scene, where, point, count: Number(count) });
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return [...found.values()];
}

/** Every fault of every reach. */
function trialsOf(all: readonly Reach[]): Trial[] {
  const natives = new Map(findPoints().map(({ name, native }) => [name, native]));
  return all.flatMap((reach) => {
    const errors = (ERRORS[reach.point] ?? []).flatMap((error) =>
      // no signal comes at every call
      error === 'EINTR' ? ['EINTR:1'] : [`${error}:1`, `${error}:1+`],
    );
    const short = natives.get(reach.point)! in LENGTH_AT ? ['short:1', 'short:1+'] : [];
    return ['kill:1', 'killed:1', 'hang:1', ...errors, ...short].map((what) => ({
      reach,
      fault: `${reach.where}:${what}`,
    }));
  });
}

/** SIGKILLs at calls drawn by lot: each reach as likely, any of its calls. */
function* randomKills(all: readonly Reach[], seed: number): Generator<Trial> {
  const random = new Random(seed);
  for (;;) {
    const reach = random.pick(all);
    const what = random.pick(['kill', 'killed'] as const);
    yield { reach, fault: `${reach.where}:${what}:${1 + random.below(reach.count)}` };
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      what: { type: 'string' },
      kills: { type: 'string', default: '0' },
      moments: { type: 'string', default: '0' },
      seed: { type: 'string', default: '1' },
      every: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
    },
  });
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const moments = Number(values.moments);
  if (moments > 0) {
    const finished = await killAtRandomMoments(moments, Number(values.seed));
    say(`killed at ${moments} random moments, ${finished} after the end of the dump: nothing harmed`);
    return;
  }
  await using victims = await Victims.start();
  const all = await reaches(victims);
  const points = new Set(all.map(({ point }) => point));
  const unreached = findPoints().filter(({ name }) => !points.has(name));
  say(
    `${all.length} ways to ${points.size} points; to none by a dump: ${unreached.map(({ name }) => name).join(' ')}`,
  );
  const kills = Number(values.kills);
  const every = values.every || kills === 0 ? trialsOf(all) : [];
  const drawn = randomKills(all, Number(values.seed)).take(kills);
  const wanted = [...every, ...drawn].filter(
    ({ fault }) => fault.includes(values.only ?? '') && fault.includes(values.what ?? ''),
  );
  const ends = new Map<string, number>();
  let [reached, bad, slowest] = [0, 0, 0];
  for (const [index, trial] of wanted.entries()) {
    if (index > 0 && index % 100 === 0) say(`${index} of ${wanted.length}: ${bad} as they must not`);
    const outcome = await victims.try(trial.reach.scene, trial.fault);
    for (const complaint of outcome.complaints)
      say(`${trial.fault} (${trial.reach.scene.name}): ${complaint}`);
    const end = `${outcome.ended}${outcome.code === undefined ? '' : ` ${outcome.code}`}`;
    ends.set(end, (ends.get(end) ?? 0) + 1);
    if (values.verbose) say(`${trial.fault}: ${end}, ${Math.round(outcome.ms)} ms: ${outcome.message ?? ''}`);
    if (outcome.reached) reached++;
    if (outcome.complaints.length > 0) bad++;
    slowest = Math.max(slowest, outcome.ms);
  }
  const harm = await victims.end();
  for (const line of harm) say(line);
  for (const [end, count] of [...ends].sort((a, b) => b[1] - a[1])) say(`${count} ended with ${end}`);
  say(
    `${wanted.length} dumps with a fault, ${reached} of them met it, ${bad} as they must not; slowest ${Math.round(slowest)} ms`,
  );
  process.exitCode = bad + harm.length > 0 ? 1 : 0;
}

await main();
