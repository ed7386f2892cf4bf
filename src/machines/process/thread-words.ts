import type { RangeSink } from '../../engine/machine.ts';
import { PR_GET_TID_ADDRESS, SYS_prctl } from '../../linux/abi.ts';
import { scratch } from '../../linux/memory.ts';
import { readThreadStatus } from '../../linux/proc.ts';
import type { ProcessMemory } from '../../linux/process-memory.ts';
import { robustListHead } from '../../linux/robust-list.ts';
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

/**
 * The words that the kernel writes when a thread dies: its `clear_child_tid`, and the futexes on its robust list.
 *
 * A dying thread asks no userfaultfd: a write to a protected block is dropped, and whoever joins the thread or waits
 * for its mutex hangs for ever (kernel/fork.c, mm_release; fs/userfaultfd.c, handle_userfault, PF_EXITING). So the
 * blocks of these words are never protected: they are in the initial copy.
 */
export class ThreadWords {
  readonly #pid: number;
  readonly #memory: ProcessMemory;
  readonly #local = scratch(64);
  /** by thread: address of its clear_child_tid word (0: none), and of its robust list */
  readonly #tidAddresses = new Map<number, number>();
  readonly #heads = new Map<number, number>();
  /** blocks that hold such words, found while threads ran */
  readonly blocks: Set<number> = new Set();

  constructor(pid: number, memory: ProcessMemory) {
    this.#pid = pid;
    this.#memory = memory;
  }

  /** how many threads have been seen */
  get threads(): number {
    return this.#tidAddresses.size;
  }

  /** Whether the words of a thread are known. */
  knows(tid: number): boolean {
    return this.#tidAddresses.has(tid);
  }

  /**
   * Learns the words of a thread from outside. False where only the thread itself can tell: then `learnByAsking`.
   *
   * glibc's threads are recognised by their own id, right where it must stand. (musl and raw clone differ.)
   */
  learn(tid: number): boolean {
    const head = robustListHead(tid);
    if (head <= 0) return false;
    this.#setHead(tid, head);
    const address = head - GLIBC_TID_BEFORE_HEAD;
    if (this.#memory.read(address, this.#local.address, 8) !== 8) return false;
    if (this.#local.uint32[0] !== this.#idInNamespace(tid)) return false;
    this.#setTidAddress(tid, address);
    return true;
  }

  /** Learns them by a call in the stopped thread: prctl(PR_GET_TID_ADDRESS), where the kernel has it. */
  learnByAsking(tid: number, injection: Injection): void {
    const result = injection.carrier().call(SYS_prctl, PR_GET_TID_ADDRESS, injection.dataAddress);
    this.#setTidAddress(tid, result < 0 ? 0 : injection.read().word(0));
  }

  /** Takes a thread for one without words, so that it is not asked again. */
  giveUp(tid: number): void {
    this.#setTidAddress(tid, 0);
  }

  /** Inside the hold: the blocks of all words of the threads, and of the mutexes that they hold now. */
  atT0(tids: Iterable<number>, found: RangeSink): void {
    for (const block of this.blocks) found.add(block, 1);
    for (const tid of tids) {
      const head = this.#heads.get(tid);
      if (head !== undefined) this.#walk(head, found);
    }
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

  #setHead(tid: number, head: number): void {
    this.#heads.set(tid, head);
    this.#addWord(head, HEAD_BYTES);
  }

  #setTidAddress(tid: number, address: number): void {
    this.#tidAddresses.set(tid, address);
    if (address !== 0) this.#addWord(address, 4);
  }

  #addWord(address: number, length: number): void {
    this.blocks.add(Math.floor(address / PAGE_BYTES));
    this.blocks.add(Math.floor((address + length - 1) / PAGE_BYTES));
  }
}

function add(found: RangeSink, node: number, offset: number): void {
  const link = node - (node % 2);
  found.add(Math.floor(link / PAGE_BYTES), 1);
  found.add(Math.floor((link + offset) / PAGE_BYTES), 1);
}
