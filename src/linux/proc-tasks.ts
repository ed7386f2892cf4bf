/** The threads of a process and what each is doing, read without allocation so that it can be done inside the hold. */

import { O_CLOEXEC, O_DIRECTORY, O_PATH, O_RDONLY, SEEK_SET } from './abi.ts';
import { check } from './failure.ts';
import { closeFile, openFile } from './file.ts';
import { dirent } from './layouts.ts';
import { MappedMemory } from './memory.ts';
import { errno, libc } from './native.ts';
import { ProcFile } from './proc-file.ts';

const RECORD_LENGTH = dirent.at.d_reclen;
const RECORD_NAME = dirent.at.d_name;
const BUFFER_BYTES = 64 * 1024;
const ZERO = 48;
const NINE = 57;
const LETTER_A = 97;
const LETTER_F = 102;
const LETTER_X = 120;
const MINUS = 45;

/** Thread ids of a process, from /proc/PID/task. Stays open, so it stays that of one process. */
export class TaskList implements Disposable {
  readonly fd: number;
  readonly #buffer: MappedMemory = new MappedMemory(BUFFER_BYTES, { populate: true });
  #ids: Int32Array = new Int32Array(1024);
  #closed = false;

  /** @throws LivecoreError SYSTEM_CALL: ENOENT when there is no such process */
  constructor(pid: number) {
    const path = `/proc/${pid}/task`;
    this.fd = check(openFile(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open ${path}`, 'openat', {
      pid,
      path,
    });
  }

  /**
   * Lists the threads anew. Threads that start or end meanwhile may be missed: list again until nothing is new.
   *
   * @returns how many, or a negative errno (-ENOENT when the process is gone)
   */
  read(): number {
    if (libc.lseek(this.fd, 0, SEEK_SET) < 0) return -errno();
    let count = 0;
    for (;;) {
      const length = libc.getdents64(this.fd, this.#buffer.address, BUFFER_BYTES);
      if (length < 0) return -errno();
      if (length === 0) return count;
      const bytes = this.#buffer.bytes;
      for (
        let at = 0;
        at < length;
        at += bytes[at + RECORD_LENGTH]! | (bytes[at + RECORD_LENGTH + 1]! << 8)
      ) {
        const id = decimalAt(bytes, at + RECORD_NAME);
        // "." and ".." give 0
        if (id === 0) continue;
        if (count === this.#ids.length) this.#grow();
        this.#ids[count++] = id;
      }
    }
  }

  #grow(): void {
    const larger = new Int32Array(this.#ids.length * 2);
    larger.set(this.#ids);
    this.#ids = larger;
  }

  /** Whether a thread is one of the process now, a zombie included. */
  has(tid: number): boolean {
    const fd = openFile(`/proc/self/fd/${this.fd}/${tid}`, O_PATH | O_CLOEXEC);
    if (fd >= 0) closeFile(fd);
    return fd >= 0;
  }

  /** Thread `index` of the last {@link read}. */
  id(index: number): number {
    return this.#ids[index]!;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFile(this.fd);
    this.#buffer[Symbol.dispose]();
  }
}

function decimalAt(bytes: Uint8Array, start: number): number {
  let value = 0;
  for (let at = start; bytes[at]! >= ZERO && bytes[at]! <= NINE; at++) value = value * 10 + bytes[at]! - ZERO;
  return value;
}

/** What {@link CurrentSyscall.number} says of a thread that is in no system call but waits (a page fault). */
export const NOT_IN_SYSCALL = -1;
/** What {@link CurrentSyscall.number} says of a thread that runs. */
export const RUNNING = -2;

/**
 * The system call that a thread is blocked in: /proc/PID/task/TID/syscall. Reading it needs the right to trace, but does
 * not disturb the thread.
 */
export class CurrentSyscall implements Disposable {
  /** number of the call, {@link NOT_IN_SYSCALL} or {@link RUNNING} */
  number: number = RUNNING;
  /** its six arguments; above 2^53 their low bits are lost */
  readonly arguments: Float64Array = new Float64Array(6);
  stackPointer = 0;
  instructionPointer = 0;
  readonly #file: ProcFile;
  #at = 0;

  /** @throws LivecoreError SYSTEM_CALL */
  constructor(pid: number, tid: number) {
    this.#file = new ProcFile(`/proc/${pid}/task/${tid}/syscall`);
  }

  /** Looks anew. Returns 0 or a negative errno: -ESRCH when the thread is gone. */
  read(): number {
    const length = this.#file.read();
    if (length < 0) return length;
    this.#parse();
    return 0;
  }

  #parse(): void {
    const bytes = this.#file.bytes;
    this.#at = 0;
    this.arguments.fill(0);
    this.stackPointer = 0;
    this.instructionPointer = 0;
    // "running", "-1 SP PC" or "NUMBER ARGUMENT*6 SP PC" (fs/proc/base.c, proc_pid_syscall)
    if (bytes[0]! > NINE) {
      this.number = RUNNING;
      return;
    }
    if (bytes[0] === MINUS) {
      this.number = NOT_IN_SYSCALL;
      this.#at = 2;
    } else {
      this.number = decimalAt(bytes, 0);
      while (bytes[this.#at] !== 32) this.#at++;
      for (let index = 0; index < 6; index++) this.arguments[index] = this.#nextHex(bytes);
    }
    this.stackPointer = this.#nextHex(bytes);
    this.instructionPointer = this.#nextHex(bytes);
  }

  /** Reads `0x...` from the current position on. */
  #nextHex(bytes: Uint8Array): number {
    const end = this.#file.length;
    let at = this.#at;
    while (at < end && bytes[at] !== LETTER_X) at++;
    let value = 0;
    for (at++; at < end; at++) {
      const byte = bytes[at]!;
      if (byte >= ZERO && byte <= NINE) value = value * 16 + (byte - ZERO);
      else if (byte >= LETTER_A && byte <= LETTER_F) value = value * 16 + (byte - LETTER_A + 10);
      else break;
    }
    this.#at = at;
    return value;
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}
