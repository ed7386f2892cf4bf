/** userfaultfd(2): write-protection of memory, and the messages of those who write to it. */

import {
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  SYS_userfaultfd,
  UFFD_API,
  UFFD_USER_MODE_ONLY,
  UFFDIO_API,
  UFFDIO_CONTINUE,
  UFFDIO_REGISTER,
  UFFDIO_REGISTER_MODE_WP,
  UFFDIO_UNREGISTER,
  UFFDIO_WAKE,
  UFFDIO_WRITEPROTECT,
  UFFDIO_WRITEPROTECT_MODE_WP,
  USERFAULTFD_IOC_NEW,
} from './abi.ts';
import { ERRNO } from './errno.ts';
import { check, failure } from './failure.ts';
import { closeFile, openFile } from './file.ts';
import {
  uffdioApi,
  uffdioContinue,
  uffdioRegister,
  uffdioWriteprotect,
  uffdMsg,
  uffdMsgFork,
  uffdMsgRemap,
  uffdMsgRemove,
} from './layouts.ts';
import { MappedMemory, type Memory } from './memory.ts';
import { errno, libc } from './native.ts';

const PAGE_BYTES = 4096;
const MESSAGE_BYTES = uffdMsg.sizeBytes;
const MESSAGES_MAX = 128;
const FLAGS = uffdMsg.at['arg.pagefault.flags'];
const ADDRESS = uffdMsg.at['arg.pagefault.address'];
const THREAD = uffdMsg.at['arg.pagefault.feat.ptid'];
const REMAP_TO = uffdMsgRemap.at['arg.remap.to'];
const REMAP_LENGTH = uffdMsgRemap.at['arg.remap.len'];
const REMOVE_START = uffdMsgRemove.at['arg.remove.start'];
const REMOVE_END = uffdMsgRemove.at['arg.remove.end'];
const FORK_FD = uffdMsgFork.at['arg.fork.ufd'];
const ARGUMENT_BYTES = 64;
const FDINFO_BYTES = 256;

/** Opens /dev/userfaultfd, whose holder may make userfaultfds that handle faults of the kernel too. */
export function openUserfaultfdDevice(): number {
  return check(openFile('/dev/userfaultfd', O_RDWR | O_CLOEXEC), 'open /dev/userfaultfd', 'openat', {
    path: '/dev/userfaultfd',
  });
}

/**
 * A userfaultfd of this process' own memory: by the system call, or where that is forbidden by the device. Throws SYSTEM_CALL.
 *
 * @param userModeOnly one that any process may make, but that breaks system calls writing to protected memory (EFAULT)
 */
export function createUserfaultfd({ userModeOnly = false }: { userModeOnly?: boolean } = {}): Userfaultfd {
  const flags = O_CLOEXEC | O_NONBLOCK | (userModeOnly ? UFFD_USER_MODE_ONLY : 0);
  const fd = libc.syscall(SYS_userfaultfd, flags, 0, 0, 0, 0, 0);
  if (fd >= 0) return new Userfaultfd(fd);
  const error = errno();
  if (error !== ERRNO.EPERM) throw failure('create a userfaultfd', 'userfaultfd', -error);
  const device = openUserfaultfdDevice();
  const ours = libc.ioctl(device, USERFAULTFD_IOC_NEW, flags);
  const result = ours < 0 ? -errno() : ours;
  closeFile(device);
  return new Userfaultfd(check(result, 'create a userfaultfd', 'ioctl(USERFAULTFD_IOC_NEW)'));
}

/**
 * Whether a userfaultfd refuses, with EINVAL, to unregister what another one has registered, as it does since 6.17; before,
 * it did so. Tried on our own memory. False where that can't be tried.
 */
export function foreignIsKept(): boolean {
  kept ??= tryForeign();
  return kept;
}

let kept: boolean | undefined;

function tryForeign(): boolean {
  try {
    using memory = new MappedMemory(PAGE_BYTES, { populate: true });
    using owner = createUserfaultfd({ userModeOnly: true });
    using other = createUserfaultfd({ userModeOnly: true });
    owner.handshake(0);
    other.handshake(0);
    if (owner.register(memory.address, PAGE_BYTES) < 0) return false;
    return other.unregister(memory.address, PAGE_BYTES) === -ERRNO.EINVAL;
  } catch {
    return false;
  }
}

/**
 * A userfaultfd, of our own memory or of another process that it was taken from. Must be non-blocking (O_NONBLOCK).
 *
 * The calls of the loop return 0 or a negative errno and allocate nothing.
 */
export class Userfaultfd implements Disposable {
  readonly fd: number;
  readonly #memory: MappedMemory;
  readonly #argument: Memory;
  readonly #messages: Memory;
  readonly #text: Memory;
  #fdinfo = -1;
  #pendingAt = 0;
  #closed = false;

  /** Takes ownership of `fd`. */
  constructor(fd: number) {
    this.fd = fd;
    const messagesBytes = MESSAGES_MAX * MESSAGE_BYTES;
    this.#memory = new MappedMemory(ARGUMENT_BYTES + messagesBytes + FDINFO_BYTES, { populate: true });
    this.#argument = this.#memory.slice(0, ARGUMENT_BYTES);
    this.#messages = this.#memory.slice(ARGUMENT_BYTES, messagesBytes);
    this.#text = this.#memory.slice(ARGUMENT_BYTES + messagesBytes, FDINFO_BYTES);
  }

  /**
   * The handshake, once for each descriptor.
   *
   * @param features bits of UFFD_FEATURE_* to turn on; 0 turns on none and tells what there is
   * @returns all features that the kernel has
   * @throws LivecoreError SYSTEM_CALL with EINVAL when the kernel has not all of `features`
   */
  handshake(features: number): number {
    const argument = this.#argument;
    argument.setWord(uffdioApi.at.api, UFFD_API);
    argument.setWord(uffdioApi.at.features, features);
    argument.setWord(uffdioApi.at.ioctls, 0);
    const result = libc.ioctl(this.fd, UFFDIO_API, argument.address);
    if (result < 0)
      throw failure(
        `userfaultfd handshake, features 0x${features.toString(16)}`,
        'ioctl(UFFDIO_API)',
        -errno(),
      );
    return argument.word(uffdioApi.at.features);
  }

  /** Registers whole pages of one or more mappings for write-protection. Nothing is protected by this alone. */
  register(start: number, length: number, mode: number = UFFDIO_REGISTER_MODE_WP): number {
    const argument = this.#argument;
    argument.setWord(uffdioRegister.at['range.start'], start);
    argument.setWord(uffdioRegister.at['range.len'], length);
    argument.setWord(uffdioRegister.at.mode, mode);
    argument.setWord(uffdioRegister.at.ioctls, 0);
    return libc.ioctl(this.fd, UFFDIO_REGISTER, argument.address) < 0 ? -errno() : 0;
  }

  /**
   * Undoes {@link register}: lifts protection and wakes who waits. Costs 25-35 ms a GiB: do it in pieces.
   *
   * The kernel itself wakes only who waits for a missing page (fs/userfaultfd.c, userfaultfd_unregister: "if
   * (userfaultfd_missing(vma))"); who waits to write would wait until the last close.
   */
  unregister(start: number, length: number): number {
    const result = this.#range(UFFDIO_UNREGISTER, start, length);
    const woken = this.#range(UFFDIO_WAKE, start, length);
    return result < 0 ? result : woken;
  }

  /**
   * Protects pages, or releases them and wakes who waits for them.
   *
   * @returns 0 or a negative errno; -EAGAIN while the target forks, remaps or removes memory and the event about it has
   * not been read; -ENOENT when part of the range is not registered (any more)
   */
  writeProtect(start: number, length: number, on: boolean): number {
    const argument = this.#argument;
    argument.setWord(0, start);
    argument.setWord(8, length);
    argument.setWord(uffdioWriteprotect.at.mode, on ? UFFDIO_WRITEPROTECT_MODE_WP : 0);
    return libc.ioctl(this.fd, UFFDIO_WRITEPROTECT, argument.address) < 0 ? -errno() : 0;
  }

  /**
   * Whether a range of private anonymous memory lies in one mapping that is registered here. Changes nothing: it asks for
   * UFFDIO_CONTINUE, which such memory can't have, and which is refused in this order (fs/userfaultfd.c,
   * userfaultfd_continue; mm/userfaultfd.c, mfill_atomic). It takes no lock of the whole address space.
   *
   * @returns 0 when it does; -ENOENT when it does not; -EAGAIN where nothing can be told, as for {@link writeProtect};
   * another negative errno
   */
  contains(start: number, length: number): number {
    const argument = this.#argument;
    argument.setWord(uffdioContinue.at['range.start'], start);
    argument.setWord(uffdioContinue.at['range.len'], length);
    argument.setWord(uffdioContinue.at.mode, 0);
    argument.setWord(uffdioContinue.at.mapped, 0);
    if (libc.ioctl(this.fd, UFFDIO_CONTINUE, argument.address) >= 0) return -ERRNO.EINVAL;
    const error = errno();
    return error === ERRNO.EINVAL ? 0 : -error;
  }

  /** Wakes who waits for pages of the range, without changing protection: they fault again or go on. */
  wake(start: number, length: number): number {
    return this.#range(UFFDIO_WAKE, start, length);
  }

  #range(request: number, start: number, length: number): number {
    this.#argument.setWord(0, start);
    this.#argument.setWord(8, length);
    return libc.ioctl(this.fd, request, this.#argument.address) < 0 ? -errno() : 0;
  }

  /**
   * Reads what messages there are, at most `limit`. Reading an event (not a page fault) lets its sender go on.
   *
   * @returns how many; 0 when there are none; a negative errno
   */
  read(limit: number = MESSAGES_MAX): number {
    for (;;) {
      const count = libc.read(this.fd, this.#messages.address, limit * MESSAGE_BYTES);
      if (count >= 0) return count / MESSAGE_BYTES;
      const error = errno();
      if (error === ERRNO.EAGAIN) return 0;
      if (error !== ERRNO.EINTR) return -error;
    }
  }

  /** UFFD_EVENT_* of message `index` of the last {@link read}. */
  event(index: number): number {
    return this.#messages.bytes[index * MESSAGE_BYTES]!;
  }

  /** UFFD_PAGEFAULT_FLAG_* of a page fault. */
  faultFlags(index: number): number {
    return this.#messages.uint32[(index * MESSAGE_BYTES + FLAGS) >>> 2]!;
  }

  /** Address of a page fault, of its page unless UFFD_FEATURE_EXACT_ADDRESS is on. */
  faultAddress(index: number): number {
    return this.#messages.word(index * MESSAGE_BYTES + ADDRESS);
  }

  /** Thread of a page fault, in the reader's pid namespace (UFFD_FEATURE_THREAD_ID). */
  faultThread(index: number): number {
    return this.#messages.uint32[(index * MESSAGE_BYTES + THREAD) >>> 2]!;
  }

  /** Start of the range of UFFD_EVENT_REMOVE, UFFD_EVENT_UNMAP or (the old place) UFFD_EVENT_REMAP. */
  rangeStart(index: number): number {
    return this.#messages.word(index * MESSAGE_BYTES + REMOVE_START);
  }

  /** End of the range of UFFD_EVENT_REMOVE or UFFD_EVENT_UNMAP. */
  rangeEnd(index: number): number {
    return this.#messages.word(index * MESSAGE_BYTES + REMOVE_END);
  }

  /** New place of UFFD_EVENT_REMAP. */
  remapTo(index: number): number {
    return this.#messages.word(index * MESSAGE_BYTES + REMAP_TO);
  }

  /** Length of the range of UFFD_EVENT_REMAP. */
  remapLength(index: number): number {
    return this.#messages.word(index * MESSAGE_BYTES + REMAP_LENGTH);
  }

  /** The child's userfaultfd of UFFD_EVENT_FORK; ours to close. */
  forkDescriptor(index: number): number {
    return this.#messages.uint32[(index * MESSAGE_BYTES + FORK_FD) >>> 2]!;
  }

  /**
   * How many messages have not been read, from the descriptor's fdinfo.
   *
   * @returns the count, or a negative errno
   */
  pending(): number {
    if (this.#fdinfo < 0) {
      this.#fdinfo = openFile(`/proc/thread-self/fdinfo/${this.fd}`, O_RDONLY | O_CLOEXEC);
      if (this.#fdinfo < 0) return this.#fdinfo;
    }
    const length = libc.pread(this.#fdinfo, this.#text.address, FDINFO_BYTES, 0);
    if (length < 0) return -errno();
    const { bytes } = this.#text;
    // The lines before it do not change, so neither does its place: looked for once, digits are all that is left to read.
    if (this.#pendingAt === 0) this.#pendingAt = placeAfter(bytes, length, PENDING);
    let value = 0;
    for (let at = this.#pendingAt; at < length && bytes[at]! >= 48; at++)
      value = value * 10 + bytes[at]! - 48;
    return this.#pendingAt === 0 ? -ERRNO.ENODATA : value;
  }

  /** Closes it. The last close of a userfaultfd lifts all protection and wakes every waiter. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#fdinfo >= 0) closeFile(this.#fdinfo);
    closeFile(this.fd);
    this.#memory[Symbol.dispose]();
  }
}

/** fs/userfaultfd.c, userfaultfd_show_fdinfo: "pending:\t%lu\ntotal:\t%lu\nAPI:\t..." */
const PENDING: Uint8Array = new TextEncoder().encode('pending:\t');

/** Where the label ends in the text; 0 where it is not in it. */
function placeAfter(text: Uint8Array, length: number, label: Uint8Array): number {
  for (let start = 0; start + label.length < length; start++) {
    let matched = 0;
    while (matched < label.length && text[start + matched] === label[matched]) matched++;
    if (matched === label.length) return start + matched;
  }
  return 0;
}
