/**
 * The words that the kernel writes when a thread dies, as the kernel has them: a BPF iterator over the tasks of one process
 * (Documentation/bpf/bpf_iterators.rst). No task is stopped for it. Results are as in file.ts.
 */

import {
  BPF_FUNC_seq_write,
  BPF_ITER_CREATE,
  BPF_LINK_CREATE,
  BPF_PROG_LOAD,
  BPF_PROG_TYPE_TRACING,
  BPF_TRACE_ITER,
  SYS_bpf,
} from './abi.ts';
import { KernelTypes } from './btf.ts';
import { ERRNO } from './errno.ts';
import { closeFile, readFile } from './file.ts';
import { bpfInsn, bpfIterLinkInfo, bpfLinkCreate, bpfProgLoad } from './layouts.ts';
import { MappedMemory, type Memory, scratch } from './memory.ts';
import { errno, libc } from './native.ts';

/** of each task: the address of its clear_child_tid word, and of its robust list; 0 for none */
const RECORD_BYTES = 16;
/** 4096 tasks at a time */
const BUFFER_BYTES = 64 * 1024;
/** what the program says of itself: it calls a function of the kernel that wants to hear this */
const LICENSE = 'Dual MIT/GPL\0';

/** struct bpf_iter__task: information for the iterator, the task. The former begins with the file that is written. */
const CONTEXT_TASK = 8;

// Registers, and codes of instructions (Documentation/bpf/standardization/instruction-set.rst).
const [R0, R1, R2, R3, R6, R7, R10] = [0, 1, 2, 3, 6, 7, 10];
const LOAD = 0x79;
const STORE = 0x7b;
const COPY = 0xbf;
const SET = 0xb7;
const ADD = 0x07;
const IF_EQUAL = 0x15;
const CALL = 0x85;
const EXIT = 0x95;

type Instruction = readonly [code: number, to: number, from: number, offset: number, value: number];

/** Writes a record for each task that it is called with. */
function program(clearChildTid: number, robustList: number): readonly Instruction[] {
  return [
    [COPY, R6, R1, 0, 0],
    [LOAD, R7, R1, CONTEXT_TASK, 0],
    [IF_EQUAL, R7, 0, 10, 0], // the last time it is called without one
    [LOAD, R1, R7, clearChildTid, 0],
    [STORE, R10, R1, -RECORD_BYTES, 0],
    [LOAD, R1, R7, robustList, 0],
    [STORE, R10, R1, -RECORD_BYTES + 8, 0],
    [LOAD, R1, R6, 0, 0],
    [LOAD, R1, R1, 0, 0],
    [COPY, R2, R10, 0, 0],
    [ADD, R2, 0, 0, -RECORD_BYTES],
    [SET, R3, 0, 0, RECORD_BYTES],
    [CALL, 0, 0, 0, BPF_FUNC_seq_write],
    [SET, R0, 0, 0, 0],
    [EXIT, 0, 0, 0, 0],
  ];
}

function assemble(instructions: readonly Instruction[], to: Memory): void {
  instructions.forEach(([code, destination, source, offset, value], index) => {
    const at = index * bpfInsn.sizeBytes;
    to.view.setUint8(at + bpfInsn.at.code, code);
    to.view.setUint8(at + bpfInsn.at.code + 1, destination | (source << 4));
    to.view.setInt16(at + bpfInsn.at.off, offset, true);
    to.view.setInt32(at + bpfInsn.at.imm, value, true);
  });
}

/** Receives what a task has: addresses, 0 for none. */
export type TaskWordsSink = (clearChildTid: number, robustList: number) => void;

/** The words of all tasks of some processes. */
export class TaskWords implements Disposable {
  /** one for each process */
  readonly #links: readonly number[];
  readonly #argument: Memory;
  readonly #buffer: MappedMemory;
  #closed = false;

  private constructor(links: readonly number[]) {
    this.#links = links;
    this.#argument = scratch(bpfLinkCreate.sizeBytes);
    this.#buffer = new MappedMemory(BUFFER_BYTES, { populate: true });
  }

  /**
   * Opens it for processes.
   *
   * @returns a negative errno where the kernel has no such thing or does not let us: -EPERM without CAP_BPF and
   *   CAP_PERFMON in the first user namespace, -ENOSYS, -ENOENT without its types
   */
  static open(pids: readonly number[]): TaskWords | number {
    const known = findPlaces();
    if (known === undefined) return -ERRNO.ENOENT;
    const code = load(program(known.clear_child_tid, known.robust_list), known.target);
    if (code < 0) return code;
    const links = pids.map((pid) => linkTo(code, pid));
    closeFile(code);
    const failed = links.find((link) => link < 0);
    if (failed === undefined) return new TaskWords(links);
    for (const link of links) if (link >= 0) closeFile(link);
    return failed;
  }

  /**
   * Tells the words of all tasks that there are.
   *
   * @returns how many, or a negative errno
   */
  read(sink: TaskWordsSink): number {
    let count = 0;
    for (const link of this.#links) {
      const found = this.#readOne(link, sink);
      if (found < 0) return found;
      count += found;
    }
    return count;
  }

  #readOne(link: number, sink: TaskWordsSink): number {
    this.#argument.bytes.fill(0);
    this.#argument.int32[0] = link;
    const file = bpf(BPF_ITER_CREATE, this.#argument);
    if (file < 0) return file;
    for (let count = 0; ; ) {
      const length = readFile(file, this.#buffer.address, BUFFER_BYTES);
      if (length <= 0) {
        closeFile(file);
        return length < 0 ? length : count;
      }
      for (let at = 0; at < length; at += RECORD_BYTES, count++)
        sink(this.#buffer.word(at), this.#buffer.word(at + 8));
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const link of this.#links) closeFile(link);
    this.#buffer[Symbol.dispose]();
  }
}

/** What the program has to know of this kernel, which stays the same. */
interface Places {
  readonly target: number;
  readonly clear_child_tid: number;
  readonly robust_list: number;
}

let places: Places | undefined;

/** Undefined where the kernel does not tell. Takes 20 ms when it is first called. */
function findPlaces(): Places | undefined {
  places ??= readPlaces();
  return places;
}

function readPlaces(): Places | undefined {
  try {
    using types = new KernelTypes();
    const target = types.functionId('bpf_iter_task');
    const offsets = types.offsets('task_struct', ['clear_child_tid', 'robust_list']);
    return target === undefined || offsets === undefined ? undefined : { target, ...offsets };
  } catch {
    return undefined;
  }
}

function load(instructions: readonly Instruction[], target: number): number {
  using memory = new MappedMemory(4096);
  const argument = memory.slice(0, bpfProgLoad.sizeBytes);
  const code = memory.slice(1024, 1024);
  const license = memory.slice(2048, LICENSE.length);
  assemble(instructions, code);
  license.bytes.set(Buffer.from(LICENSE, 'latin1'));
  const put = (name: keyof typeof bpfProgLoad.at, value: number): void =>
    argument.view.setUint32(bpfProgLoad.at[name], value, true);
  put('prog_type', BPF_PROG_TYPE_TRACING);
  put('insn_cnt', instructions.length);
  argument.setWord(bpfProgLoad.at.insns, code.address);
  argument.setWord(bpfProgLoad.at.license, license.address);
  put('expected_attach_type', BPF_TRACE_ITER);
  put('attach_btf_id', target);
  return bpf(BPF_PROG_LOAD, argument);
}

function linkTo(program: number, pid: number): number {
  using memory = new MappedMemory(4096);
  const argument = memory.slice(0, bpfLinkCreate.sizeBytes);
  const whose = memory.slice(1024, bpfIterLinkInfo.sizeBytes);
  whose.view.setUint32(bpfIterLinkInfo.at['task.pid'], pid, true);
  const { at } = bpfLinkCreate;
  argument.view.setUint32(at['link_create.prog_fd'], program, true);
  argument.view.setUint32(at['link_create.attach_type'], BPF_TRACE_ITER, true);
  argument.setWord(at['link_create.iter_info'], whose.address);
  argument.view.setUint32(at['link_create.iter_info_len'], whose.length, true);
  return bpf(BPF_LINK_CREATE, argument);
}

/** A descriptor, close-on-exec, or a negative errno. */
function bpf(command: number, argument: Memory): number {
  const result = libc.syscall(SYS_bpf, command, argument.address, argument.length, 0, 0, 0);
  return result < 0 ? -errno() : result;
}
