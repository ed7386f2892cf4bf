import type { RangeSink } from '../../engine/machine.ts';
import { PR_GET_TID_ADDRESS, SYS_prctl } from '../../linux/abi.ts';
import { monotonicNs } from '../../linux/clock.ts';
import { scratch } from '../../linux/memory.ts';
import { readThreadStatus } from '../../linux/proc.ts';
import type { TaskList } from '../../linux/proc-tasks.ts';
import type { ProcessMemory } from '../../linux/process-memory.ts';
import { robustListHead } from '../../linux/robust-list.ts';
import { TaskWords } from '../../linux/task-words.ts';
import type { Injection } from './injection.ts';
import { PAGE_BYTES } from './pages.ts';

/** glibc's struct pthread has the thread id, the robust list's `prev`, and its head, one after the other. */
const GLIBC_TID_BEFORE_HEAD = 16;
/** struct robust_list_head: first node, offset of the futex word from a node, node being added (linux/futex.h) */
const OFFSET_AT = 8;
const PENDING_AT = 16;
const HEAD_BYTES = 24;
/** ROBUST_LIST_LIMIT of linux/futex.h: the kernel itself walks no further */
const NODES_MAX = 2048;
/** threads whose robust lists are walked in one look, while traps wait: 1 us each; of more, these many in turn */
const WALKED_MAX = 64;
/** threads that are learned in one look, each 30 us */
const LEARNED_MAX = 32;
const QUICK_NS = 200_000;
const REST = 10;

/**
 * The words that the kernel writes when a thread dies: its `clear_child_tid`, and the futexes on its robust list.
 *
 * A dying thread asks no userfaultfd: a write to a protected block is dropped, and whoever joins the thread or waits
 * for its mutex hangs for ever (kernel/fork.c, mm_release; fs/userfaultfd.c, handle_userfault, PF_EXITING). So the
 * blocks of these words are never protected: they are in the initial copy.
 *
 * The kernel tells them all at once, where it lets us (TaskWords). Else each thread's are learned, from outside or by asking
 * it.
 */
export class ThreadWords implements Disposable {
  readonly #pid: number;
  readonly #sharers: readonly number[];
  readonly #memory: ProcessMemory;
  readonly #local = scratch(64);
  readonly #tasks: TaskWords | undefined;
  readonly #list: TaskList;
  /** without the kernel's account: by thread, address of its clear_child_tid word (0: none) and of its robust list */
  readonly #tidAddresses = new Map<number, number>();
  readonly #headsLearned = new Map<number, number>();
  /** robust lists of all threads that there were at the last look */
  #heads: number[] = [];
  /** whose list is walked first, where there are too many to walk all */
  #nextHead = 0;
  #threads = 0;
  #complete = true;
  /** what the last look took, and when it was over */
  #lookNs = 0;
  #lookedNs = 0;
  /** where blocks go that were not known before */
  #fresh: RangeSink | undefined;
  /** blocks that hold such words, or have, found while threads ran */
  readonly blocks: Set<number> = new Set();

  /**
   * @param list the threads of the process
   * @param sharers tasks outside the thread group that share the memory
   */
  constructor(pid: number, list: TaskList, sharers: readonly number[], memory: ProcessMemory) {
    this.#pid = pid;
    this.#sharers = sharers;
    this.#memory = memory;
    const tasks = TaskWords.open([pid, ...sharers]);
    this.#tasks = typeof tasks === 'number' ? undefined : tasks;
    this.#list = list;
  }

  [Symbol.dispose](): void {
    this.#tasks?.[Symbol.dispose]();
  }

  /** whether the last look has seen all threads; where they are many and new, it takes several */
  get complete(): boolean {
    return this.#complete;
  }

  /** how many threads there were at the last look */
  get threads(): number {
    return this.#threads;
  }

  /**
   * Looks for words of new threads, and for mutexes that threads hold now.
   *
   * @param fresh is given the blocks that were not known before
   * @returns threads that only they themselves can tell of: then `learnByAsking`
   */
  look(fresh?: RangeSink): number[] {
    const beginNs = monotonicNs();
    this.#fresh = fresh;
    const silent = this.#tasks === undefined ? this.#lookAtEach() : this.#lookAtAll(this.#tasks);
    const walked = Math.min(WALKED_MAX, this.#heads.length);
    for (let count = 0; count < walked; count++)
      this.#walk(this.#heads[(this.#nextHead + count) % this.#heads.length]!, this.#held);
    this.#nextHead += walked;
    this.#fresh = undefined;
    this.#lookedNs = monotonicNs();
    this.#lookNs = this.#lookedNs - beginNs;
    return silent;
  }

  /** Looks where that is quickly done; where it is not, as among thousands of threads, only now and then: traps wait. */
  lookAgain(fresh: RangeSink): void {
    const restedNs = monotonicNs() - this.#lookedNs;
    if (this.#lookNs <= QUICK_NS || restedNs > this.#lookNs * REST) this.look(fresh);
  }

  /** Learns them by a call in the stopped thread: prctl(PR_GET_TID_ADDRESS), where the kernel has it. */
  learnByAsking(tid: number, injection: Injection): void {
    const result = injection.carrier().call(SYS_prctl, PR_GET_TID_ADDRESS, injection.dataAddress);
    this.#setTidAddress(tid, result < 0 ? 0 : injection.read().word(0));
  }

  /** Takes a thread for one without words, so that it is not asked again. */
  giveUp(tid: number): void {
    if (!this.#tidAddresses.has(tid)) this.#setTidAddress(tid, 0);
  }

  /**
   * Inside the hold: the blocks of all words, and of the mutexes that threads hold now. Of who was born since the last look
   * the words have been written since: they are in blocks that are not protected.
   */
  atT0(found: RangeSink): void {
    for (const block of this.blocks) found.add(block, 1);
    for (const head of this.#heads) this.#walk(head, found);
  }

  readonly #held: RangeSink = { add: (first, count) => this.#addBlocks(first, count) };

  readonly #addTask = (clearChildTid: number, head: number): void => {
    if (clearChildTid !== 0) this.#addWord(clearChildTid, 4);
    if (head === 0) return;
    this.#addWord(head, HEAD_BYTES);
    this.#heads.push(head);
  };

  /** Never throws: without the kernel's account of the moment, what was known before stays. */
  #lookAtAll(tasks: TaskWords): number[] {
    this.#heads.length = 0;
    const count = tasks.read(this.#addTask);
    if (count >= 0) this.#threads = count;
    return [];
  }

  #lookAtEach(): number[] {
    const silent: number[] = [];
    this.#heads.length = 0;
    const count = this.#list.read();
    let unknown = 0;
    for (let index = 0; index < count; index++) {
      const tid = this.#list.id(index);
      if (!this.#tidAddresses.has(tid) && ++unknown > LEARNED_MAX) continue;
      if (!this.#lookAt(tid)) silent.push(tid);
    }
    this.#complete = unknown <= LEARNED_MAX;
    for (const tid of this.#sharers) this.#lookAt(tid);
    if (count >= 0) this.#threads = count;
    return silent;
  }

  #lookAt(tid: number): boolean {
    const known = this.#tidAddresses.has(tid) || this.#learn(tid);
    const head = this.#headsLearned.get(tid);
    if (head !== undefined) this.#heads.push(head);
    return known;
  }

  /**
   * Learns the words of a thread from outside. False where only the thread itself can tell.
   *
   * glibc's threads are recognised by their own id, right where it must stand. (musl and raw clone differ.)
   */
  #learn(tid: number): boolean {
    const head = robustListHead(tid);
    if (head <= 0) return false;
    this.#headsLearned.set(tid, head);
    this.#addWord(head, HEAD_BYTES);
    const address = head - GLIBC_TID_BEFORE_HEAD;
    if (this.#memory.read(address, this.#local.address, 8) !== 8) return false;
    if (this.#local.uint32[0] !== this.#idInNamespace(tid)) return false;
    this.#setTidAddress(tid, address);
    return true;
  }

  #walk(head: number, found: RangeSink): void {
    const local = this.#local;
    if (this.#memory.read(head, local.address, HEAD_BYTES) !== HEAD_BYTES) return;
    const first = local.word(0);
    const offset = Number(local.view.getBigInt64(OFFSET_AT, true));
    const pending = local.word(PENDING_AT);
    if (pending !== 0) add(found, pending, offset);
    let node = first;
    for (let count = 0; node !== head && node !== 0 && count < NODES_MAX; count++) {
      add(found, node, offset);
      // The lowest bit of a link says that the futex is a priority-inheriting one.
      if (this.#memory.read(node, local.address, 8) !== 8) return;
      node = local.word(0) - (local.uint32[0]! & 1);
    }
  }

  #idInNamespace(tid: number): number {
    try {
      return readThreadStatus(this.#pid, tid).namespaceIds.at(-1) ?? tid;
    } catch {
      return 0;
    }
  }

  #setTidAddress(tid: number, address: number): void {
    this.#tidAddresses.set(tid, address);
    if (address !== 0) this.#addWord(address, 4);
  }

  #addWord(address: number, length: number): void {
    const first = Math.floor(address / PAGE_BYTES);
    this.#addBlocks(first, Math.floor((address + length - 1) / PAGE_BYTES) - first + 1);
  }

  #addBlocks(first: number, count: number): void {
    for (let block = first; block < first + count; block++) {
      if (this.blocks.has(block)) continue;
      this.blocks.add(block);
      this.#fresh?.add(block, 1);
    }
  }
}

function add(found: RangeSink, node: number, offset: number): void {
  const link = node - (node % 2);
  found.add(Math.floor(link / PAGE_BYTES), 1);
  found.add(Math.floor((link + offset) / PAGE_BYTES), 1);
}
