import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../src/engine/machine.ts';
import type { Policy } from '../../src/engine/policy.ts';
import { monotonicNs } from '../../src/linux/clock.ts';
import { MappedMemory } from '../../src/linux/memory.ts';
import { ProcessHandle } from '../../src/linux/pidfd.ts';
import { ProcessMemory } from '../../src/linux/process-memory.ts';
import { Attachment } from '../../src/machines/process/attach.ts';
import { ProcessMachine } from '../../src/machines/process/machine.ts';
import { PAGE_BYTES } from '../../src/machines/process/pages.ts';
import { buildTarget } from '../support/build.ts';
import { type Child, startChild } from '../support/child.ts';
import { tracers } from '../support/unharmed.ts';
import type { CheckedStorage } from './checked-storage.ts';
import { type Act, PLACES, type Subject, type SubjectKind, type SubjectOptions } from './subject.ts';

const WRITERS = 3;
const PAGES = 48;
const WORDS = PAGE_BYTES / 8;
/** how long the target gets to do what it was told, and to finish at the end */
const ACT_MS = 1;
const PATIENCE_MS = 20_000;

type Actors = Child<{ pid: number; arena: number }>;

/**
 * Not a child of ours: Node waits for its children whenever one changes (waitpid(2)), and would take the reports of threads
 * that have stopped for us.
 */
const AS_GRANDCHILD = ['-c', '"$0" "$@"; exit $?'];

/** What a writer was told to do. */
type Task =
  | { readonly kind: 'store'; readonly page: number; readonly word: number; readonly value: bigint }
  | { readonly kind: 'remove'; readonly page: number; readonly count: number };

export const linuxProcess: SubjectKind = {
  name: 'process',
  lacks: {
    heldArming: 'a process is always armed live',
    lockstep: 'a process runs by itself',
    past: 'no device writes to private memory',
    stick: 'no thread sleeps where nothing ends it, but for a device that fails',
    unstick: 'no thread sleeps where nothing ends it, but for a device that fails',
  },
  unreached: { absent: 'memory that is gone before T0 is in no list' },
  schedules: 3,
  faultPoints: 5,
  create: (options) => ProcessSubject.start(options),
};

/**
 * A real process (test/targets/actors.c), whose writers do what they are told while the snapshot is taken; it runs by
 * itself, also within a step. What was done at T0 is known from the image: its own counters are in it.
 */
export class ProcessSubject implements Subject {
  readonly machine: ProcessMachine;
  readonly storage: CheckedStorage;
  readonly clock: Clock = { now: monotonicNs };
  readonly writers: number = WRITERS;
  readonly knowsAll: boolean = false;
  /** a busy machine takes its time */
  readonly policy: Partial<Policy> = { holdNs: 2e9, holdRetryNs: 1e6, stallLimitNs: 4e8, pauseLimitNs: 60e9 };
  readonly #child: Actors;
  readonly #resources: DisposableStack;
  readonly #arena: number;
  readonly #tasks: Task[][] = Array.from({ length: WRITERS }, () => []);
  /** pages whose content others than their writers' stores decide */
  readonly #removed = new Set<number>();
  readonly #destroyed = new Set<number>();
  readonly #destroyedBeforeT0 = new Set<number>();
  #held = false;
  #told = false;
  #value = 0n;
  #appeared = PAGES + 1;

  static async start(options: SubjectOptions): Promise<ProcessSubject> {
    const { path } = buildTarget('actors');
    const args = [...AS_GRANDCHILD, path, '--writers', WRITERS, '--pages', PAGES];
    const child: Actors = await startChild('/bin/sh', args);
    try {
      return new ProcessSubject(child, options);
    } catch (error) {
      await child[Symbol.asyncDispose]();
      throw error;
    }
  }

  constructor(child: Actors, { storage }: SubjectOptions) {
    using building = new DisposableStack();
    this.#child = child;
    this.#arena = child.ready.arena;
    let staging: MappedMemory | undefined;
    this.storage = storage(PAGE_BYTES, (bytes) => {
      staging = building.use(new MappedMemory(bytes));
      return staging.bytes;
    });
    const target = building.use(new ProcessHandle(child.ready.pid));
    const attached = new Attachment(target, { all: true, staging: staging!, marker: 0n });
    this.machine = building.use(new ProcessMachine(attached));
    this.#resources = building.move();
  }

  act(act: Act): void {
    switch (act.kind) {
      case 'store':
      case 'kernelStore':
        this.#store(act.writer % WRITERS, act.place, act.kind === 'store' ? 'store' : 'kernel');
        break;
      case 'remove':
        // One at a time: of two whose events come in one moment the second may be let go uncopied, and listed as lost.
        this.#remove(0, act.place, act.blocks);
        break;
      case 'destroy':
        this.#destroy(act.place, act.blocks);
        break;
      case 'appear':
        if (this.#appeared + act.blocks < 2 * PAGES)
          this.#child.tell(`- appear ${this.#appeared} ${act.blocks}`);
        this.#appeared += act.blocks + 1;
        break;
      default:
        throw new Error(`no process does that: ${act.kind}`);
    }
    this.#told = true;
  }

  /** Time passes by itself; what was told has to reach the process, and be done. */
  async pass(): Promise<void> {
    if (this.#told) await sleep(ACT_MS);
    else await new Promise((resolve) => setImmediate(resolve));
    this.#told = false;
  }

  held(): void {
    this.#held = true;
  }

  expected(): readonly { readonly first: number; readonly count: number }[] {
    if (!this.#held) return [];
    const ranges: { first: number; count: number }[] = [];
    for (let page = 0; page < PAGES; page++) {
      if (!this.#destroyedBeforeT0.has(page)) ranges.push({ first: this.#block(page), count: 1 });
    }
    return ranges;
  }

  wrongAtT0(block: number, content: Uint8Array): string | undefined {
    const page = block - this.#block(0);
    const counted = this.storage.blocks.get(this.#block(0));
    if (page < 1 || page >= PAGES || counted === undefined) return undefined;
    const counters = new BigUint64Array(counted.slice().buffer);
    const ended = (writer: number): number => Number(counters[2 * writer + 1]!);
    const begun = (writer: number): number => Number(counters[2 * writer]!);
    return this.#wrong(page, new BigUint64Array(content.slice().buffer), ended, begun);
  }

  excuse(block: number, listed: 'lost' | 'absent' | 'unreliable'): string | undefined {
    const page = block - this.#block(0);
    return listed === 'lost' && this.#destroyed.has(page) ? 'unmapped' : undefined;
  }

  async settle(): Promise<readonly string[]> {
    const wrong: string[] = [];
    const wanted = this.#tasks.map((tasks) => tasks.length);
    let done: number[] = [];
    for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await sleep(5)) {
      done = (await this.#child.ask<{ done: number[] }>('report')).done;
      if (done.every((count, writer) => count === wanted[writer])) break;
    }
    for (const [writer, count] of done.entries())
      if (count !== wanted[writer]) wrong.push(`writer ${writer} did ${count} of ${wanted[writer]}`);
    if (tracers(this.#child.ready.pid).some((tracer) => tracer !== '0')) wrong.push('a thread is traced');
    using memory = new ProcessMemory(this.#child.ready.pid);
    using buffer = new MappedMemory(PAGE_BYTES);
    for (let page = 1; page < PAGES && wrong.length === 0; page++) {
      if (this.#destroyed.has(page)) continue;
      memory.read(this.#arena + page * PAGE_BYTES, buffer.address, PAGE_BYTES);
      const words = new BigUint64Array(buffer.bytes.slice().buffer);
      const fault = this.#wrong(
        page,
        words,
        (writer) => wanted[writer]!,
        (writer) => wanted[writer]!,
      );
      if (fault !== undefined) wrong.push(`page ${page}: ${fault}`);
    }
    return wrong;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#resources.dispose();
    process.kill(this.#child.ready.pid, 'SIGKILL');
    await this.#child[Symbol.asyncDispose]();
  }

  #store(writer: number, place: number, how: 'store' | 'kernel'): void {
    const page = this.#pageAt(place);
    if (this.#destroyed.has(page)) return;
    // Each writer has its own words in every page.
    const word = Number(this.#value % BigInt(Math.floor(WORDS / WRITERS))) * WRITERS + writer;
    const value = (1n << 62n) | ++this.#value;
    this.#tasks[writer]!.push({ kind: 'store', page, word, value });
    this.#child.tell(`${writer} ${how} ${page * PAGE_BYTES + word * 8} ${value}`);
  }

  #remove(writer: number, place: number, blocks: number): void {
    const page = this.#pageAt(place);
    const count = Math.min(blocks, PAGES - page);
    for (let each = page; each < page + count; each++) this.#removed.add(each);
    this.#tasks[writer]!.push({ kind: 'remove', page, count });
    this.#child.tell(`${writer} remove ${page} ${count}`);
  }

  /** Nobody may be on the way to a page that goes: only such as nobody was ever told of. */
  #destroy(place: number, blocks: number): void {
    const used = new Set(this.#tasks.flat().flatMap((task) => (task.kind === 'store' ? [task.page] : [])));
    const page = this.#pageAt(place);
    for (let each = page; each < Math.min(PAGES, page + blocks); each++) {
      if (used.has(each)) continue;
      this.#destroyed.add(each);
      if (!this.#held) this.#destroyedBeforeT0.add(each);
      this.#child.tell(`- destroy ${each} 1`);
    }
  }

  #pageAt(place: number): number {
    return 1 + Math.floor((place / PLACES) * (PAGES - 1));
  }
  #block(page: number): number {
    return this.#arena / PAGE_BYTES + page;
  }

  /** What is wrong with a page after the first so many tasks of each writer; one under way may be done or not. */
  #wrong(
    page: number,
    words: BigUint64Array,
    ended: (writer: number) => number,
    begun: (writer: number) => number,
  ): string | undefined {
    const allowed = Array.from(
      { length: WORDS },
      (_, word) => new Set([page % 4 === 0 ? 0n : originalOf(page, word)]),
    );
    const removed = this.#removed.has(page);
    if (removed) for (const values of allowed) values.add(0n);
    for (const [writer, tasks] of this.#tasks.entries()) {
      for (const [index, task] of tasks.slice(0, begun(writer)).entries()) {
        if (task.kind !== 'store' || task.page !== page) continue;
        const values = allowed[task.word]!;
        // What was there before is gone, unless this one is under way; a removal by somebody else may have come between.
        if (index < ended(writer) && !removed) values.clear();
        values.add(task.value);
      }
    }
    for (const [word, value] of words.entries())
      if (!allowed[word]!.has(value))
        return `word ${word} is ${value}, not ${[...allowed[word]!].join(' or ')}`;
    return undefined;
  }
}

function originalOf(page: number, word: number): bigint {
  return (BigInt(page) << 32n) | BigInt(word);
}
