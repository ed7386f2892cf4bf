import type { Clock } from '../../src/engine/machine.ts';
import type { Policy } from '../../src/engine/policy.ts';
import { MemoryMachine, type MemoryRegion } from '../../src/machines/memory/machine.ts';
import type { Store } from '../../src/machines/memory/writer.ts';
import type { CheckedStorage } from './checked-storage.ts';
import { Random } from './random.ts';
import { type Act, PLACES, type Subject, type SubjectKind, type SubjectOptions } from './subject.ts';

const BLOCKS = 128;
const BLOCK_BYTES = 32;
/** What a step of the loop costs at least. */
const STEP_NS = 1_000;

/** Something a writer was told: a store, or a removal. */
type Task = Store | { readonly first: number; readonly count: number };

export const memory: SubjectKind = {
  name: 'memory',
  lacks: {},
  schedules: 300,
  faultPoints: Number.POSITIVE_INFINITY,
  create: (options) => Promise.resolve(new MemorySubject(options)),
};

/** The memory machine and its program: writers with a list each of what they still have to do. */
export class MemorySubject implements Subject {
  readonly machine: MemoryMachine;
  readonly storage: CheckedStorage;
  readonly clock: Clock;
  readonly writers: number;
  readonly knowsAll = true;
  readonly policy: Partial<Policy> = {
    holdNs: 20 * STEP_NS,
    holdRetryNs: 10 * STEP_NS,
    stallLimitNs: 1_000 * STEP_NS,
  };

  readonly #tasks: Task[][] = [];
  readonly #issued: Store[][] = [];
  readonly #landed: Store[][] = [];
  /** the content that the stores alone make, and the blocks where more than stores went on */
  readonly #model: Uint8Array;
  readonly #touched = new Set<number>();
  readonly #destroyedBeforeT0 = new Set<number>();
  readonly #destroyedSince = new Set<number>();
  readonly #writtenOpen = new Set<number>();
  #expected: MemoryRegion[] = [];
  #nextFirst: number;
  #value = 0;

  constructor({ seed, storage, writers = 3, liveArming = true }: SubjectOptions) {
    const random = new Random(seed);
    this.machine = new MemoryMachine(BLOCKS, { blockBytes: BLOCK_BYTES, liveArming });
    this.storage = storage(BLOCK_BYTES);
    this.clock = this.machine.clock;
    this.writers = writers;
    for (let writer = 0; writer < writers; writer++) {
      this.#tasks.push([]);
      this.#issued.push([]);
      this.#landed.push([]);
      // A writer is known to the machine from its first store on; so that all are held, all make one.
      this.machine.write(writer, { address: writer, value: 0, inKernel: false });
    }
    this.#nextFirst = 4 * random.below(3);
    while (this.#nextFirst < BLOCKS / 2) this.#addRegion(random);
    const { bytes } = this.machine.blocks;
    for (const block of blocksOf(this.machine.regions)) {
      if (random.oneIn(4)) continue;
      for (let at = 0; at < BLOCK_BYTES; at++) bytes[block * BLOCK_BYTES + at] = random.below(256);
    }
    this.#model = bytes.slice();
    this.machine.onStore = (writer, store) => {
      this.#landed[writer]!.push(store);
      this.#model[store.address] = store.value;
      this.#openChanged(Math.floor(store.address / BLOCK_BYTES));
    };
  }

  act(act: Act): void {
    switch (act.kind) {
      case 'store':
      case 'kernelStore':
        this.#tellStore(act.writer % this.writers, act.place, act.kind === 'kernelStore');
        break;
      case 'remove': {
        const range = this.#range(act.place, act.blocks);
        for (const block of blocksOf([range])) {
          this.#touched.add(block);
          // Whenever it comes about.
          if (this.#regionOf(block)?.kind === 'open') this.#writtenOpen.add(block);
        }
        this.#tasks[act.writer % this.writers]!.push(range);
        break;
      }
      case 'destroy':
        this.#destroy(act.place, act.blocks);
        break;
      case 'appear':
        if (this.#nextFirst + act.blocks + 4 <= BLOCKS) this.#appear(act.blocks);
        break;
      case 'past':
        this.#writePast(act.place);
        break;
      case 'stick':
      case 'unstick':
        this.machine.stick(act.writer % this.writers, act.kind === 'stick');
        break;
    }
    this.#goOn();
  }

  pass(ns: number): void {
    this.machine.clock.pass(Math.max(ns, STEP_NS));
    this.#goOn();
  }

  held(): void {
    this.#expected = [...this.machine.regions];
  }

  expected(): readonly MemoryRegion[] {
    return this.#expected;
  }

  wrongAtT0(block: number, content: Uint8Array): string | undefined {
    const { atT0 } = this.machine;
    if (atT0 === undefined) return 'there was no T0';
    for (let at = 0; at < BLOCK_BYTES; at++) {
      const was = atT0[block * BLOCK_BYTES + at];
      if (content[at] !== was) return `byte ${at} is ${content[at]}, was ${was}`;
    }
    return this.#destroyedBeforeT0.has(block) ? 'it was not there at T0' : undefined;
  }

  excuse(block: number, listed: 'lost' | 'absent' | 'unreliable'): string | undefined {
    switch (listed) {
      case 'lost':
        if (this.#destroyedSince.has(block)) return 'destroyed after T0';
        return this.#writtenOpen.has(block) ? 'written while nothing kept watch' : undefined;
      case 'absent':
        return this.#destroyedBeforeT0.has(block) ? 'destroyed before T0' : undefined;
      case 'unreliable':
        return this.#regionOf(block)?.shared ? 'written past the protection' : undefined;
    }
  }

  settle(): Promise<readonly string[]> {
    const { machine } = this;
    const wrong: string[] = [];
    for (let writer = 0; writer < this.writers; writer++) machine.stick(writer, false);
    this.#goOn();
    if (machine.anyProtected) wrong.push('something is protected');
    if (machine.anyStopped) wrong.push('a writer is stopped');
    for (let writer = 0; writer < this.writers; writer++) {
      if (machine.waits(writer)) wrong.push(`writer ${writer} waits`);
      if (this.#tasks[writer]!.length > 0) wrong.push(`writer ${writer} has more to do`);
      const [issued, landed] = [this.#issued[writer]!, this.#landed[writer]!];
      const differs = issued.findIndex((store, index) => landed[index] !== store);
      if (differs >= 0 || issued.length !== landed.length)
        wrong.push(
          `writer ${writer}: ${issued.length} stores, ${landed.length} made, the first amiss is ${differs}`,
        );
    }
    for (const block of blocksOf(machine.regions)) {
      if (this.#touched.has(block)) continue;
      const model = this.#model.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
      if (Buffer.compare(model, machine.blocks.content(block)) !== 0)
        wrong.push(`block ${block} has changed`);
    }
    return Promise.resolve(wrong);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #tellStore(writer: number, place: number, inKernel: boolean): void {
    const { bytes } = this.machine.blocks;
    const block = this.#block(place);
    // Each writer has its own bytes in every block.
    const slots = Math.floor(BLOCK_BYTES / this.writers);
    const address = block * BLOCK_BYTES + (this.#value % slots) * this.writers + writer;
    this.#value++;
    // Always another value than what is there, so that a store can't be missed.
    const value = ((bytes[address]! + 1 + (this.#value % 251)) % 255) + 1;
    const store = { address, value, inKernel };
    this.#issued[writer]!.push(store);
    this.#tasks[writer]!.push(store);
  }

  #destroy(place: number, blocks: number): void {
    const { first, count } = this.#range(place, blocks);
    const before = this.machine.atT0 === undefined;
    for (const block of blocksOf([{ first, count }])) {
      this.#touched.add(block);
      if (!this.#destroyedBeforeT0.has(block))
        (before ? this.#destroyedBeforeT0 : this.#destroyedSince).add(block);
    }
    this.machine.destroy(first, count);
  }

  #writePast(place: number): void {
    const shared = this.machine.regions.filter((region) => region.shared);
    const blocks = [...blocksOf(shared)];
    if (blocks.length === 0) return;
    const block = blocks[Math.floor((place / PLACES) * blocks.length)]!;
    this.#touched.add(block);
    this.#openChanged(block);
    this.machine.writePast(block * BLOCK_BYTES, this.#value++ % 256);
  }

  /** Memory that is swept without protection is lost where it changes after T0. */
  #openChanged(block: number): void {
    if (this.machine.atT0 !== undefined && this.#regionOf(block)?.kind === 'open')
      this.#writtenOpen.add(block);
  }

  /** Every writer does what it was told, up to where it has to wait. */
  #goOn(): void {
    for (const [writer, tasks] of this.#tasks.entries()) {
      while (tasks.length > 0 && !this.machine.waits(writer)) {
        const task = tasks[0]!;
        const made =
          'address' in task
            ? this.machine.write(writer, task)
            : this.machine.remove(writer, task.first, task.count);
        if (made === 'stopped') break;
        tasks.shift();
      }
    }
  }

  #addRegion(random: Random): void {
    const granule = random.pick([1, 1, 2, 4]);
    const first = Math.ceil(this.#nextFirst / granule) * granule;
    const count = granule * (1 + random.below(5));
    this.machine.addRegion({
      first,
      count,
      granule,
      kind: random.pick(['armed', 'armed', 'armed', 'armed', 'held', 'open']),
      shared: random.oneIn(6),
    });
    this.#nextFirst = first + count + random.below(3);
  }

  #appear(blocks: number): void {
    this.machine.addRegion({
      first: this.#nextFirst,
      count: blocks,
      granule: 1,
      kind: blocks === 2 ? 'held' : 'armed',
    });
    this.#nextFirst += blocks + (blocks % 2);
  }

  #regionOf(block: number): MemoryRegion | undefined {
    return this.machine.regions.find(({ first, count }) => block >= first && block < first + count);
  }

  #block(place: number): number {
    const blocks = [...blocksOf(this.machine.regions)];
    return blocks[Math.floor((place / PLACES) * blocks.length)]!;
  }

  /** Whole granules of one region, from a place on. */
  #range(place: number, blocks: number): { first: number; count: number } {
    const block = this.#block(place);
    const { granule, ...region } = this.#regionOf(block)!;
    const first = block - (block % granule);
    const wanted = Math.ceil(blocks / granule) * granule;
    return { first, count: Math.min(wanted, region.first + region.count - first) };
  }
}

function* blocksOf(ranges: Iterable<{ readonly first: number; readonly count: number }>): Generator<number> {
  for (const { first, count } of ranges) for (let block = first; block < first + count; block++) yield block;
}
