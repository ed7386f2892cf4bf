import { O_CLOEXEC, O_RDONLY } from '../../linux/abi.ts';
import { closeFile, openFile, readFileAt } from '../../linux/file.ts';
import type { Mapping } from '../../linux/proc-maps.ts';

/**
 * The file behind a mapping, by /proc/PID/map_files, which leads to it whatever its name has become, in whatever
 * namespace (proc(5); needs CAP_CHECKPOINT_RESTORE). Reading it maps nothing into the target.
 *
 * Only files of file systems are opened: opening a device could do anything.
 */
export class MappedFile implements Disposable {
  readonly mapping: Mapping;
  #fd: number;

  constructor(pid: number, mapping: Mapping) {
    this.mapping = mapping;
    const range = `${mapping.start.toString(16)}-${mapping.end.toString(16)}`;
    this.#fd = isPlainFile(mapping) ? openFile(`/proc/${pid}/map_files/${range}`, O_RDONLY | O_CLOEXEC) : -1;
  }

  get opened(): boolean {
    return this.#fd >= 0;
  }

  /**
   * Reads what the file has for `length` bytes at `address` of the mapping.
   *
   * @returns how many bytes there are: fewer at the end of the file, 0 past it or where it can't be read
   */
  read(address: number, to: number, length: number): number {
    const offset = this.mapping.offset + (address - this.mapping.start);
    let done = 0;
    while (done < length) {
      const bytes = readFileAt(this.#fd, to + done, length - done, offset + done);
      if (bytes <= 0) break;
      done += bytes;
    }
    return done;
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) closeFile(this.#fd);
    this.#fd = -1;
  }
}

/** Shared anonymous memory is `/dev/zero (deleted)`, a file of the kernel's tmpfs; what else is under /dev is a device. */
function isPlainFile({ inode, name, deleted }: Mapping): boolean {
  return inode !== 0 && (deleted || !name.startsWith('/dev/') || name.startsWith('/dev/shm/'));
}
