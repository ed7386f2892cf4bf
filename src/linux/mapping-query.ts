/** One mapping of a process at a time: PROCMAP_QUERY of /proc/PID/maps (6.11), half a microsecond. */

import { O_CLOEXEC, O_RDONLY, PROCMAP_QUERY, PROCMAP_QUERY_COVERING_OR_NEXT_VMA } from './abi.ts';
import { check } from './failure.ts';
import { closeFile, openFile } from './file.ts';
import { procmapQuery } from './layouts.ts';
import { type Memory, scratch } from './memory.ts';
import { errno, libc } from './native.ts';

/** The mappings of one process, asked for by address. */
export class MappingQuery implements Disposable {
  readonly #fd: number;
  readonly #argument: Memory = scratch(procmapQuery.sizeBytes);
  #closed = false;

  constructor(pid: number | 'self') {
    const path = `/proc/${pid}/maps`;
    this.#fd = check(openFile(path, O_RDONLY | O_CLOEXEC), `open ${path}`, 'openat', { path });
  }

  /**
   * Looks for the mapping that holds an address; {@link start} and {@link end} are its bounds then.
   *
   * @returns 0; -ENOENT where nothing is mapped; another negative errno: -ENOTTY before 6.11, -ESRCH when it is gone
   */
  find(address: number): number {
    return this.#ask(address, 0);
  }

  /** The same for the mapping that holds an address, or where none does, the next one. */
  findFrom(address: number): number {
    return this.#ask(address, PROCMAP_QUERY_COVERING_OR_NEXT_VMA);
  }

  #ask(address: number, flags: number): number {
    const argument = this.#argument;
    argument.bytes.fill(0);
    argument.setWord(procmapQuery.at.size, procmapQuery.sizeBytes);
    argument.setWord(procmapQuery.at.query_flags, flags);
    argument.setWord(procmapQuery.at.query_addr, address);
    return libc.ioctl(this.#fd, PROCMAP_QUERY, argument.address) < 0 ? -errno() : 0;
  }

  get start(): number {
    return this.#argument.word(procmapQuery.at.vma_start);
  }

  get end(): number {
    return this.#argument.word(procmapQuery.at.vma_end);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFile(this.#fd);
  }
}
