import { DEFAULT_POLICY } from '../../engine/policy.ts';
import { pauseTooLong } from '../../engine/snapshot.ts';
import { LivecoreError } from '../../errors.ts';
import {
  CAP_SYS_PTRACE,
  KCMP_VM,
  PTRACE_O_SUSPEND_SECCOMP,
  PTRACE_O_TRACESYSGOOD,
  UFFD_FEATURE_EVENT_REMOVE,
  UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
  UFFD_FEATURE_WP_UNPOPULATED,
} from '../../linux/abi.ts';
import { monotonicNs } from '../../linux/clock.ts';
import { MappingQuery } from '../../linux/mapping-query.ts';
import { MappedMemory, type Memory, scratch } from '../../linux/memory.ts';
import { Pagemap } from '../../linux/pagemap.ts';
import { compareTasks, type ProcessHandle } from '../../linux/pidfd.ts';
import { sleepNs } from '../../linux/poll.ts';
import {
  listProcesses,
  readCoredumpFilter,
  readNamespace,
  readStatus,
  readThreadStatus,
} from '../../linux/proc.ts';
import { isGone, readProcText } from '../../linux/proc-file.ts';
import { TaskList } from '../../linux/proc-tasks.ts';
import { ProcessMemory } from '../../linux/process-memory.ts';
import type { Userfaultfd } from '../../linux/userfaultfd.ts';
import { AddressSpace } from './address-space.ts';
import { type Code, findGadgets, type Gadgets } from './gadgets.ts';
import { HOLD_THREAD_NS, Hold } from './hold.ts';
import { Injection } from './injection.ts';
import { MappedFile } from './mapped-file.ts';
import { Pages } from './pages.ts';
import { readMappingDetails } from './smaps.ts';
import { StoppedThread } from './stopped-thread.ts';
import { taskIds } from './tasks.ts';
import type { ThreadWords } from './thread-words.ts';
import { makeUserfaultfds } from './userfaultfd-in-target.ts';
import { Witness } from './witness.ts';

/** How to attach. */
export interface AttachOptions {
  readonly all: boolean;
  /** what the machine copies into */
  readonly staging: Memory;
  /** pagemap entry of a marker on this kernel, 0n where it can't be told */
  readonly marker: bigint;
  /** the longest that others may be held; no limit by default */
  readonly pauseLimitNs?: number;
  /** Called before a thread of the target is stopped, and when it runs again: who hangs between is to be ended. */
  readonly stopping?: (begins: boolean) => void;
}

const FEATURES =
  UFFD_FEATURE_PAGEFAULT_FLAG_WP |
  UFFD_FEATURE_WP_UNPOPULATED |
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM |
  UFFD_FEATURE_EVENT_REMOVE;
const CODE_CHUNK_BYTES = 4 * 1024 * 1024;
const { holdNs: HOLD_NS } = DEFAULT_POLICY;
const HOLD_ATTEMPTS = 4;
const RELEASE_NAP_NS = 100_000;
/** pieces overlap by this */
const LONGEST_GADGET = 16;

/** All that we hold of a target: descriptors of ours, and its userfaultfd. Nothing of it stops the target. */
export class Attachment implements Disposable {
  readonly pid: number;
  /** the process, whatever its number has come to mean; not ours to close */
  readonly process: ProcessHandle;
  /** its threads, alike */
  readonly tasks: TaskList;
  readonly memory: ProcessMemory;
  readonly pagemap: Pagemap;
  readonly pages: Pages;
  readonly mappings: MappingQuery;
  readonly space: AddressSpace;
  readonly staging: Memory;
  readonly marker: bigint;
  readonly userfaultfd: Userfaultfd;
  readonly witness: Witness;
  /** tasks that share the memory without being threads of the process */
  readonly sharers: readonly number[];
  /** the longest that a thread was stopped for an injection */
  attachNs = 0;
  readonly #gadgets: Gadgets;
  /** threads that were asked to stop and have not: they sleep uninterruptibly, and stay traced until they are held */
  readonly strays: Set<number> = new Set();
  readonly #pauseLimitNs: number;
  readonly #stopping: (begins: boolean) => void;
  readonly #resources: DisposableStack;

  constructor(process: ProcessHandle, options: AttachOptions) {
    using building = new DisposableStack();
    const { pid } = process;
    this.pid = pid;
    this.process = process;
    this.#pauseLimitNs = options.pauseLimitNs ?? Number.POSITIVE_INFINITY;
    this.#stopping = options.stopping ?? (() => {});
    this.staging = options.staging;
    this.marker = options.marker;
    this.tasks = building.use(new TaskList(pid));
    this.memory = building.use(new ProcessMemory(pid));
    this.pagemap = building.use(new Pagemap(pid));
    this.pages = new Pages(this.pagemap);
    this.mappings = building.use(new MappingQuery(pid));
    const details = readMappingDetails(pid);
    refuseUserfaultfdOfItsOwn(pid, details);
    this.space = building.use(
      new AddressSpace(pid, this.pagemap, { filter: readCoredumpFilter(pid), all: options.all, details }),
    );
    this.space.refresh();
    this.sharers = findSharers(pid);
    this.#gadgets = this.#findGadgets();
    // From here on something is done to the process: what was opened and read by its number must be its own.
    process.requireNumber();
    const [first, second] = this.#inject((injection) => this.#makeUserfaultfds(injection));
    this.userfaultfd = building.use(first);
    building.use(second);
    this.userfaultfd.handshake(FEATURES);
    this.witness = new Witness(second);
    this.#resources = building.move();
  }

  /** Asks a thread for the address of its clear_child_tid word. */
  ask(tid: number, words: ThreadWords): void {
    this.#injectInto(tid, (injection) => words.learnByAsking(tid, injection));
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }

  /** Runs `use` with the least busy thread stopped. */
  #inject<T>(use: (injection: Injection) => T): T {
    let last: unknown;
    const threads = leastBusyFirst(this.pid);
    for (const tid of threads) {
      try {
        const result = this.#injectInto(tid, use);
        if (result !== undefined) return result;
      } catch (error) {
        // A thread that ended, or has no room on its stack, says nothing about the others.
        const isItsOwn =
          error instanceof LivecoreError && ['INJECTION_FAILED', 'TARGET_GONE'].includes(error.code);
        if (!isItsOwn && !isGone(error)) throw error;
        last = error;
      }
    }
    throw last ?? this.#noThread(threads.length);
  }

  #noThread(tried: number): LivecoreError {
    const { pid } = this;
    if (tried === 0)
      return new LivecoreError('TARGET_GONE', `attach to process ${pid}: it has no thread`, { pid });
    return new LivecoreError(
      'HOLD_FAILED',
      `attach to process ${pid}: no thread stopped in time where it can be used`,
      {
        pid,
        cure: 'try when the process, or the machine, is less busy',
      },
    );
  }

  #injectInto<T>(tid: number, use: (injection: Injection) => T): T | undefined {
    const options = this.#options(tid);
    const begin = monotonicNs();
    this.#stopping(true);
    try {
      const thread = StoppedThread.stop(this.pid, tid, options, this.strays);
      if (thread === undefined) return undefined;
      // The number of a thread that ended may have come to mean another's: nothing is done to that.
      if (!this.tasks.has(tid) || !this.#suits(thread)) {
        thread[Symbol.dispose]();
        return undefined;
      }
      using injection = new Injection(this.memory, thread, this.#gadgets);
      return use(injection);
    } finally {
      this.attachNs = Math.max(this.attachNs, monotonicNs() - begin);
      this.#stopping(false);
    }
  }

  /** Filters of the target apply to injected calls too; lifting them needs CAP_SYS_ADMIN in the first namespace. */
  #options(tid: number): number {
    const filtered = (readThreadStatus(this.pid, tid).seccomp ?? 0) !== 0;
    return PTRACE_O_TRACESYSGOOD | (filtered ? PTRACE_O_SUSPEND_SECCOMP : 0);
  }

  /** Not in a restartable sequence, and on a stack that is a stack: nothing is kept below it. */
  #suits(thread: StoppedThread): boolean {
    const local = scratch(8);
    const read = (address: number): number =>
      this.memory.read(address, local.address, 8) === 8 ? local.word(0) : 0;
    if (thread.inRestartableSequence(read)) return false;
    const rsp = thread.register('rsp');
    const stack = this.space.regionAt(rsp)?.mapping;
    if (stack === undefined || !stack.write) return false;
    if (stack.name === '[stack]') return true;
    // A thread of a C library has its control block above its stack, in the same mapping. A coroutine has not: what
    // lies below its stack may be anybody's.
    const control = thread.register('fs_base');
    return rsp < control && control < stack.end;
  }

  #makeUserfaultfds(injection: Injection): readonly [Userfaultfd, Userfaultfd] {
    const holdOthers = (): Disposable => this.#holdOthers(injection);
    return makeUserfaultfds(injection, this.process, { holdOthers, trusted: mayTraceAnybody(this.pid) });
  }

  /** Holds all who write the memory but those who are stopped for the injection. */
  #holdOthers({ thread, helperTid }: Injection): Disposable {
    const forecastNs = taskIds(this.pid).length * HOLD_THREAD_NS;
    if (forecastNs > this.#pauseLimitNs) throw pauseTooLong(forecastNs, this.#pauseLimitNs);
    const spared = new Set([thread.tid, helperTid]);
    using building = new DisposableStack();
    const hold = building.use(new Hold(this.pid, this.tasks, this.sharers, this.strays, spared));
    for (let attempt = 0; attempt < HOLD_ATTEMPTS; attempt++) {
      hold.seize();
      hold.begin();
      const heldBy = hold.beginNs + HOLD_NS;
      let held = hold.look();
      while (!held && monotonicNs() < heldBy) held = hold.look();
      if (held) {
        // With the rest of them they are let go.
        this.strays.clear();
        building.move();
        return hold;
      }
      // Who has not stopped is taken along into the next attempt: it may be in the kernel for long, as a parent in vfork(2).
      const pauseNs = attempt + 1 < HOLD_ATTEMPTS ? HOLD_NS * 2 ** attempt : 0;
      const pausedBy = monotonicNs() + pauseNs;
      while (!hold.releaseStopped() && monotonicNs() < pausedBy) sleepNs(RELEASE_NAP_NS);
      this.strays.clear();
      sleepNs(Math.max(0, pausedBy - monotonicNs()));
    }
    throw new LivecoreError(
      'HOLD_FAILED',
      `attach to process ${this.pid}: its threads did not all stop within ${HOLD_NS / 1e6} ms`,
      {
        pid: this.pid,
        cure: 'a thread may be stuck in the kernel (state D in /proc/PID/task); try again when it is not',
      },
    );
  }

  #findGadgets(): Gadgets {
    const gadgets = findGadgets(this.#code());
    if (gadgets !== undefined) return gadgets;
    throw new LivecoreError(
      'UNSUPPORTED_TARGET',
      `attach to process ${this.pid}: its code has no way back from an injected call`,
      {
        pid: this.pid,
        cure: 'it is linked without a C library that has signal handlers; please report it',
      },
    );
  }

  /**
   * Executable mappings in pieces, the C library first: it has both gadgets. Read from the files where we may: reading
   * through the target would map what it never executed, and grow it.
   */
  *#code(): Generator<Code> {
    const mappings = this.space.regions
      .map(({ mapping }) => mapping)
      .filter(({ execute, read, name }) => execute && read && !name.startsWith('[v'));
    mappings.sort((left, right) => Number(isCLibrary(right.name)) - Number(isCLibrary(left.name)));
    using buffer = new MappedMemory(CODE_CHUNK_BYTES);
    for (const mapping of mappings) {
      using file = new MappedFile(this.pid, mapping);
      for (let at = mapping.start; at < mapping.end; at += CODE_CHUNK_BYTES - LONGEST_GADGET) {
        const wanted = Math.min(CODE_CHUNK_BYTES, mapping.end - at);
        const length = file.opened
          ? file.read(at, buffer.address, wanted)
          : this.memory.read(at, buffer.address, wanted);
        if (length > 0) yield { address: at, bytes: buffer.bytes.subarray(0, length) };
      }
    }
  }
}

/** Whether the process has the right to trace us: then nothing that it could take from its own threads matters. */
function mayTraceAnybody(pid: number): boolean {
  try {
    const isNear = readNamespace(pid, 'user') === readNamespace('self', 'user');
    return isNear && ((readStatus(pid).effectiveCapabilities >> BigInt(CAP_SYS_PTRACE)) & 1n) === 1n;
  } catch {
    return false;
  }
}

function isCLibrary(name: string): boolean {
  return /\/(libc[.-]|ld-)/.test(name);
}

/** Tasks of other processes that share the memory (clone(CLONE_VM), vfork): each is a writer like any thread. */
function findSharers(pid: number): number[] {
  return listProcesses().filter((other) => other !== pid && compareTasks(pid, other, KCMP_VM) === 0);
}

/** Sleeping threads first: they do not notice; of those the ones in calls that start again by themselves. */
function leastBusyFirst(pid: number): number[] {
  const rank = (tid: number): number => {
    try {
      const [call] = readProcText(`/proc/${pid}/task/${tid}/syscall`).split(' ');
      if (call === 'running') return 2;
      return RESTARTING.has(Number(call)) ? 0 : 1;
    } catch {
      return 3;
    }
  };
  return taskIds(pid)
    .map((tid) => ({ tid, rank: rank(tid) }))
    .sort((left, right) => left.rank - right.rank)
    .map(({ tid }) => tid);
}

/** read, poll, nanosleep, accept, recvfrom, wait4, futex, clock_nanosleep, ppoll (asm/unistd_64.h) */
const RESTARTING: ReadonlySet<number> = new Set([0, 7, 35, 61, 202, 230, 271]);

function refuseUserfaultfdOfItsOwn(pid: number, details: ReturnType<typeof readMappingDetails>): void {
  for (const [start, { flags }] of details) {
    if (!flags.has('um') && !flags.has('uw') && !flags.has('ui')) continue;
    throw new LivecoreError(
      'UNSUPPORTED_TARGET',
      `attach to process ${pid}: memory at 0x${start.toString(16)} belongs to a userfaultfd already`,
      {
        pid,
        address: BigInt(start),
        cure: 'the program manages its own page faults, or another livecore is at work on it: wait for that to end',
      },
    );
  }
}
