import { DEFAULT_POLICY, type Policy } from '../../src/engine/policy.ts';
import type { Snapshot } from '../../src/engine/snapshot.ts';
import type { Bus } from '../../src/machines/ultrasparc/bus.ts';
import type { Computer } from '../../src/machines/ultrasparc/computer.ts';
import { Phase } from '../../src/machines/ultrasparc/processor.ts';
import type { Shape } from '../../src/machines/ultrasparc/shape.ts';
import { describe, encodeActor, shorten } from './describe.ts';
import { fingerprint } from './fingerprint.ts';
import { Graph } from './graph.ts';
import { Independence } from './independence.ts';
import { Judge } from './judge.ts';
import { Seen } from './seen.ts';
import { Hasher, Pool, pathOf, type Situation } from './situation.ts';
import type { Subject } from './subject.ts';

/** Small steps, so that a small machine already takes many. */
export const POLICY: Policy = {
  ...DEFAULT_POLICY,
  armStepBlocks: 16,
  chunkBlocks: 2,
  hotBlocks: 1,
  maxRounds: 2,
};

export interface ExploreOptions {
  /** `false`: a miss handler's last two steps are cut from one another */
  readonly fuse?: boolean;
  /**
   * Lets processors and devices go on before each turn that serves, although only the turn itself can be noticed: that
   * somebody who waits is served in it is seen only so.
   */
  readonly turns?: boolean;
  /** remembers how every situation came about, so that one from which nothing leads to the end can be shown */
  readonly trace?: boolean;
}

/** What an exploration found. */
export interface Findings {
  /** situations of the whole: machine, engine and snapshot program */
  readonly states: number;
  /** ways through them from start to end, each another order of events */
  readonly orders: number;
  /** how often the engine was run from its start */
  readonly runs: number;
  /** the shortest schedule of each thing that went wrong */
  readonly violations: readonly Violation[];
}

export interface Violation {
  readonly what: string;
  /** what happened, in order */
  readonly schedule: readonly string[];
  /** steps of processors and devices in it */
  readonly events: number;
}

type Access = readonly [op: number, a: number, b: number, c: number];

/** A position of the engine: which access it makes next, and what follows each result. */
class Position {
  readonly before: Position | undefined;
  /** the result that led here; undefined: the engine came to the end of a step */
  readonly result: number | undefined;
  access: Access | undefined;
  /** set where the step ends here */
  rest: Rest | undefined;
  readonly next: Map<number, Position> = new Map();

  constructor(before: Position | undefined, result: number | undefined) {
    this.before = before;
    this.result = result;
  }

  after(result: number): Position {
    let next = this.next.get(result);
    if (next === undefined) {
      next = new Position(this, result);
      this.next.set(result, next);
    }
    return next;
  }
}

/** The engine between two steps of its loop. */
interface Rest {
  readonly first: Position;
  readonly seen: Seen<number>;
  readonly ended: boolean;
  readonly failure: string | undefined;
  /** the step that ends here took the traps that waited */
  readonly served: boolean;
  /** of the engine that ended: what it lists about the snapshot */
  readonly lists: Pick<Snapshot, 'unreliable' | 'lost'> | undefined;
}

/** Ends a run of the engine: what it would do next is known, or of no interest. */
class Enough extends Error {}

/** situations that one exploration may take before it is given up as too large */
const MOST_STATES = 20_000_000;

/**
 * Goes through every order of events of one small machine: before each access of the snapshot program to the
 * machine, processors and devices may have made any number of their own steps, in any order.
 *
 * The engine can't be copied in the middle of a call, so it is learned: what it does next depends on the results of
 * its accesses alone, and these are kept as a tree. All situations of the machine that meet at one position of the
 * engine are carried on together. Where the tree is not known yet, the engine is run from its start, is given the
 * results that lead there, and goes on. Between two steps of its loop the engine's whole state is compared, so that
 * different pasts with one future are one.
 *
 * Accesses that nobody else can notice are not cut (independence.ts).
 */
export class Explorer {
  readonly #subject: Subject;
  readonly #computer: Computer;
  readonly #judge: Judge;
  readonly #bus: Bus;
  readonly #independence: Independence;
  readonly #hasher: Hasher;
  readonly #pool = new Pool();
  readonly #graph = new Graph();
  readonly #rests = new Map<string, Rest>();
  readonly #todo: [Position, Situation[]][] = [];
  readonly #violations = new Map<string, Violation>();
  readonly #fuse: boolean;
  readonly #turns: boolean;
  readonly #trace: Situation[] | undefined;
  #runs = 0;

  constructor(subject: Subject, shape: Shape, options: ExploreOptions = {}) {
    this.#subject = subject;
    // oxlint-disable-next-line typescript/unbound-method -- a static function without `this`
    this.#computer = new subject.Computer(shape, { witnessWords: Judge.words });
    this.#judge = new Judge(this.#computer, subject.storedContent);
    this.#bus = new subject.Bus(this.#computer);
    this.#independence = new Independence(this.#computer);
    this.#hasher = new Hasher(this.#independence.varying());
    this.#trace = options.trace === true ? [] : undefined;
    this.#fuse = options.fuse ?? true;
    this.#turns = options.turns ?? false;
  }

  explore(): Findings {
    const start: Situation = {
      words: this.#computer.state.words.slice(),
      id: this.#graph.add(),
      from: undefined,
      what: 0,
      events: 0,
    };
    this.#todo.push([new Position(undefined, undefined), [start]]);
    for (let next = this.#todo.pop(); next !== undefined; next = this.#todo.pop()) {
      this.#carry(next[0], next[1]);
    }
    if (this.#violations.size === 0) this.#allEnd();
    const violations = [...this.#violations.values()];
    violations.sort((a, b) => a.events - b.events || a.schedule.length - b.schedule.length);
    const orders = violations.length > 0 ? 0 : this.#graph.orders();
    return { states: this.#graph.size, orders, runs: this.#runs, violations };
  }

  /** Carries situations on from a position, as far as it is known what the engine does there. */
  #carry(position: Position, here: Situation[]): void {
    if (position.rest !== undefined) {
      const fresh = this.#fresh(position.rest, here);
      if (fresh.length === 0) return;
      if (position.rest.ended) this.#end(fresh);
      else this.#todo.push([position.rest.first, fresh]);
    } else if (position.access === undefined) {
      this.#learn(position, here);
    } else {
      for (const [result, there] of this.#pass(position.access, here))
        this.#todo.push([position.after(result), there]);
    }
  }

  /** Runs the engine from its start to a position where it is not known what it does, and on from there. */
  #learn(target: Position, situations: Situation[]): void {
    this.#runs++;
    const { results, rests } = pathTo(target);
    let position = target;
    let here = situations;
    let replayed = 0;
    let rested = 0;
    const bus = new this.#subject.Bus(this.#computer);
    bus.access = (op, a, b, c): number => {
      if (replayed < results.length) return results[replayed++]!;
      if (position.access !== undefined || here.length === 0) {
        if (here.length > 0) this.#todo.push([position, here]);
        here = [];
        throw new Enough();
      }
      position.access = [op, a, b, c];
      const [first, ...others] = this.#pass(position.access, here);
      for (const [result, there] of others) this.#todo.push([position.after(result), there]);
      if (first === undefined) {
        here = [];
        throw new Enough();
      }
      position = position.after(first[0]);
      here = first[1];
      return first[0];
    };
    const snapshot = this.#start(bus);
    while (here.length > 0) {
      const step = snapshot.step();
      if (here.length === 0) return;
      if (rested < rests) {
        rested++;
        continue;
      }
      const known = this.#restAt(position, snapshot, step === 'ended' || snapshot.phase === 'ended');
      const fresh = this.#fresh(known, here);
      if (known.ended) this.#end(fresh);
      else if (known.first.before === position && known.first.access === undefined) {
        position = known.first;
        here = fresh;
        continue;
      } else if (fresh.length > 0) this.#todo.push([known.first, fresh]);
      return;
    }
  }

  #start(bus: Bus): Snapshot {
    const { Snapshot: SnapshotClass, UltrasparcMachine, UltrasparcStorage, copyMapMemory } = this.#subject;
    const machine = new UltrasparcMachine(bus);
    const storage = new UltrasparcStorage(bus);
    return new SnapshotClass(machine, storage, POLICY, machine.clock, { leaves: copyMapMemory(bus) });
  }

  /** Where the engine rests now, known from before or new. */
  #restAt(position: Position, snapshot: Snapshot, ended: boolean): Rest {
    const { unreliable, lost } = snapshot;
    const key = ended
      ? `ended ${snapshot.failure?.message} ${JSON.stringify([[...unreliable], [...lost]])}`
      : fingerprint(snapshot);
    let rest = this.#rests.get(key);
    if (rest === undefined) {
      const failure = ended ? snapshot.failure?.message : undefined;
      // Steps serve and act in turns; the field is named in subject.ts.
      const served = !ended && !(snapshot as unknown as { _serveNext: boolean })._serveNext;
      const lists = ended ? { unreliable, lost } : undefined;
      rest = { first: new Position(position, undefined), seen: new Seen(), ended, failure, served, lists };
      this.#rests.set(key, rest);
    }
    position.rest = rest;
    return rest;
  }

  /** The situations that were not here before. */
  #fresh(rest: Rest, here: Situation[]): Situation[] {
    const fresh: Situation[] = [];
    const atTurn = this.#turns && !rest.served && !rest.ended;
    for (const one of atTurn ? this.#closure(here, undefined) : here) {
      this.#load(one);
      if (rest.served) this.#judge.afterServing();
      this.#judge.noteWaiting();
      one.words.set(this.#computer.state.words);
      if (this.#judged(one)) continue;
      const hash = this.#hasher.hash(one.words);
      const seen = rest.seen.get(hash);
      if (seen !== undefined) {
        this.#graph.edge(one.id, seen);
        this.#pool.giveBack(one.words);
        continue;
      }
      rest.seen.set(hash, one.id);
      this.#judge.atRest();
      if (rest.lists !== undefined && rest.failure === undefined)
        this.#judge.atLists(rest.lists.unreliable, rest.lists.lost);
      if (rest.failure !== undefined) this.#say(`the engine gave up: ${rest.failure}`, one);
      else if (!this.#judged(one)) fresh.push(one);
    }
    return fresh;
  }

  /** One access of the snapshot program, from every situation that can come about before it. */
  #pass(access: Access, here: Situation[]): Iterable<[number, Situation[]]> {
    const [op, a, b, c] = access;
    const { words } = this.#computer.state;
    const results = new Map<number, Situation[]>();
    const hidden = this.#independence.isPrivate(op, a, b);
    const noticed: Situation[] = [];
    for (const one of here) {
      this.#load(one);
      if (!hidden && this.#independence.before(op, a, b) !== 0) {
        noticed.push(one);
        continue;
      }
      const result = this.#bus.execute(op, a, b, c);
      one.words.set(words);
      if (!this.#judged(one)) push(results, result, one);
    }
    if (noticed.length === 0) return results;
    const seen = new Map<number, Seen<Situation>>();
    for (const one of this.#closure(noticed, access)) {
      this.#load(one);
      if (this.#bus.blocked(op, a)) {
        if (!this.#anyActs())
          this.#say(`the snapshot program waits for ever: ${describe(this.#computer, access)}`, one);
        continue;
      }
      const result = this.#bus.execute(op, a, b, c);
      let known = seen.get(result);
      if (known === undefined) {
        known = new Seen();
        seen.set(result, known);
      }
      const next = this.#enter(known, one, access, 0);
      if (next !== undefined) push(results, result, next);
      this.#pool.giveBack(one.words);
    }
    return results;
  }

  /** All that processors and devices can make of situations while the engine stands still, before an access. */
  #closure(here: Situation[], access: Access | undefined): Situation[] {
    const computer = this.#computer;
    const seen = new Seen<Situation>();
    const all: Situation[] = [];
    for (const one of here) {
      const hash = this.#hasher.hash(one.words);
      const same = seen.get(hash);
      if (same !== undefined) {
        this.#graph.edge(one.id, same.id);
        this.#pool.giveBack(one.words);
        continue;
      }
      seen.set(hash, one);
      all.push(one);
    }
    for (let index = 0; index < all.length; index++) {
      const one = all[index]!;
      this.#load(one);
      const tried =
        access === undefined
          ? this.#independence.alone()
          : this.#independence.before(access[0], access[1], access[2]);
      let loaded = true;
      for (let actor = 0; actor < computer.actors; actor++) {
        if ((tried & (1 << actor)) === 0) continue;
        if (!loaded) this.#load(one);
        loaded = true;
        if (!computer.canAct(actor)) continue;
        const what = encodeActor(computer, actor);
        this.#act(actor);
        loaded = false;
        const next = this.#enter(seen, one, what, 1);
        if (next !== undefined) all.push(next);
      }
    }
    return all;
  }

  /**
   * A step of an actor. A miss handler that holds its entry goes on to load it at once: until it has, it takes no
   * cross call, so that nobody can tell the two steps apart.
   */
  #act(actor: number): void {
    const computer = this.#computer;
    computer.act(actor);
    const processor = computer.processors[actor >> 1];
    if (this.#fuse && processor?.phase === Phase.fill && (actor & 1) === 0) computer.act(actor);
  }

  /** The engine is done: the programs go on to their end. */
  #end(here: Situation[]): void {
    for (const one of this.#closure(here, undefined)) {
      this.#load(one);
      if (!this.#anyActs()) {
        if (!this.#computer.done) this.#say('a processor or a device waits for ever', one);
        this.#judge.atEnd();
        if (!this.#judged(one)) this.#graph.final(one.id);
      }
      this.#pool.giveBack(one.words);
    }
  }

  /** From every situation the end can be reached: nobody waits for ever. */
  #allEnd(): void {
    const stuck = this.#graph.stuck();
    if (stuck.length === 0) return;
    const what = 'somebody waits for ever: from here nothing leads to the end';
    let shown: Situation | undefined;
    for (const id of stuck) {
      const one = this.#trace?.[id];
      if (one !== undefined && (shown === undefined || one.events < shown.events)) shown = one;
    }
    if (shown !== undefined) this.#say(what, shown);
    else this.#violations.set(what, { what, schedule: [], events: 0 });
  }

  #anyActs(): boolean {
    for (let actor = 0; actor < this.#computer.actors; actor++) if (this.#computer.canAct(actor)) return true;
    return false;
  }

  #load(one: Situation): void {
    this.#computer.state.words.set(one.words);
  }

  /** The machine's present state as a situation, if it is right and was not here before. */
  #enter(
    seen: Seen<Situation>,
    from: Situation,
    what: number | Access,
    events: number,
  ): Situation | undefined {
    const { words } = this.#computer.state;
    const wrong = this.#judge.take();
    if (wrong !== undefined) {
      this.#say(wrong, { words: from.words, id: 0, from, what, events: from.events + events });
      return undefined;
    }
    const hash = this.#hasher.hash(words);
    const same = seen.get(hash);
    if (same !== undefined) {
      this.#graph.edge(from.id, same.id);
      return undefined;
    }
    const id = this.#graph.add();
    const next = { words: this.#pool.copyOf(words), id, from, what, events: from.events + events };
    seen.set(hash, next);
    if (this.#trace !== undefined) this.#trace[id] = next;
    this.#graph.edge(from.id, id);
    if (id > MOST_STATES) throw new Error(`more than ${MOST_STATES} situations: too large to explore`);
    return next;
  }

  /** Whether the judge found something wrong, which is then kept. */
  #judged(one: Situation): boolean {
    const wrong = this.#judge.take();
    if (wrong !== undefined) this.#say(wrong, one);
    return wrong !== undefined;
  }

  #say(what: string, one: Situation): void {
    const known = this.#violations.get(what);
    if (known !== undefined && known.events <= one.events) return;
    this.#violations.set(what, {
      what,
      schedule: shorten(pathOf(one).map((event) => describe(this.#computer, event))),
      events: one.events,
    });
  }
}

function push(results: Map<number, Situation[]>, result: number, one: Situation): void {
  const list = results.get(result);
  if (list === undefined) results.set(result, [one]);
  else list.push(one);
}

/** The results of all accesses that lead to a position, and how many steps of the loop end on the way. */
function pathTo(target: Position): { results: number[]; rests: number } {
  const results: number[] = [];
  let rests = 0;
  for (let at = target; at.before !== undefined; at = at.before) {
    if (at.result === undefined) rests++;
    else results.push(at.result);
  }
  return { results: results.reverse(), rests };
}
