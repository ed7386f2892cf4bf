import { LivecoreError } from '../../errors.ts';
import {
  AF_UNIX,
  CLOSE_RANGE_UNSHARE,
  KCMP_FILES,
  MSG_CMSG_CLOEXEC,
  MSG_DONTWAIT,
  O_CLOEXEC,
  O_NONBLOCK,
  SOCK_CLOEXEC,
  SOCK_SEQPACKET,
  SYS_close,
  SYS_close_range,
  SYS_ioctl,
  SYS_recvmsg,
  SYS_socketpair,
  SYS_userfaultfd,
  USERFAULTFD_IOC_NEW,
} from '../../linux/abi.ts';
import { ERRNO } from '../../linux/errno.ts';
import { check } from '../../linux/failure.ts';
import { closeFile } from '../../linux/file.ts';
import { cmsghdr, iovec, msghdr } from '../../linux/layouts.ts';
import { compareTasks, openThreadPidfd, type ProcessHandle, takeDescriptor } from '../../linux/pidfd.ts';
import { listProcesses } from '../../linux/proc.ts';
import { sendDescriptor } from '../../linux/socket.ts';
import { openUserfaultfdDevice, Userfaultfd } from '../../linux/userfaultfd.ts';
import { type Carrier, checkInjected, type Injection } from './injection.ts';

const FLAGS = O_CLOEXEC | O_NONBLOCK;
const ALL_DESCRIPTORS = 0xffff_ffff;

// the data area of the injection
const PAIR_AT = 0;
const MESSAGE_AT = 16;
const IOVEC_AT = 80;
const CONTROL_AT = 96;
const BYTE_AT = 128;

/**
 * Makes two userfaultfds of the target's memory and takes them over. A userfaultfd belongs to the memory of whoever makes
 * it, so it is made inside.
 *
 * A helper task with a descriptor table of its own makes it: no thread of the target ever sees or inherits a descriptor of
 * ours, and the target's limit of descriptors does not matter. A thread could take one from the helper, though
 * (pidfd_getfd(2) asks for no right among the threads of a process): while there is any, all others are held, but of a target
 * that may trace us, and so take ours from us. A target that may have no more threads is held as well, and the stopped
 * thread makes the calls.
 */
export function makeUserfaultfds(
  injection: Injection,
  { pid, fd }: ProcessHandle,
  { holdOthers, trusted }: { readonly holdOthers: () => Disposable; readonly trusted: boolean },
): readonly [Userfaultfd, Userfaultfd] {
  const helper = injection.makeHelper();
  if (helper !== undefined) {
    const tid = injection.helperTid;
    checkInjected(helper.call(SYS_close_range, 0, ALL_DESCRIPTORS, CLOSE_RANGE_UNSHARE), 'close_range', tid);
    using owner = new Descriptor(check(openThreadPidfd(tid), `open thread ${tid}`, 'pidfd_open', { tid }));
    using _held = trusted ? undefined : holdOthers();
    return makeTwo(injection, helper, new Inside(helper, true), owner.fd, tid);
  }
  refuseSharedDescriptors(pid);
  using _held = holdOthers();
  const carrier = injection.carrier();
  return makeTwo(injection, carrier, new Inside(carrier, false), fd, injection.thread.tid);
}

/** Another process that shares the descriptors (clone(2), CLONE_FILES) is not held with this one. */
function refuseSharedDescriptors(pid: number): void {
  const sharer = listProcesses().find((other) => other !== pid && compareTasks(pid, other, KCMP_FILES) === 0);
  if (sharer === undefined) return;
  throw new LivecoreError(
    'UNSUPPORTED_TARGET',
    `attach to process ${pid}: it is at its limit of threads, and process ${sharer} has its descriptors too`,
    { pid, cure: 'raise its limit of tasks (pids.max, RLIMIT_NPROC) by one' },
  );
}

/** A helper's own table has room: so it was to be made in that of the target. */
function full(tid: number): LivecoreError {
  return new LivecoreError(
    'UNSUPPORTED_TARGET',
    `attach by thread ${tid}: its process is at its limit of threads, and at that of descriptors`,
    { tid, cure: 'raise one of them by two (pids.max, RLIMIT_NPROC, or RLIMIT_NOFILE by prlimit)' },
  );
}

/** Descriptors in the table of a carrier, which are closed with their scope. */
class Inside implements Disposable {
  readonly #carrier: Carrier;
  readonly #isOwn: boolean;
  readonly #fds: number[] = [];

  /** @param isOwn nothing but ours is in the table: it is closed in one call, since others stand still meanwhile */
  constructor(carrier: Carrier, isOwn: boolean) {
    this.#carrier = carrier;
    this.#isOwn = isOwn;
  }

  add(fd: number): number {
    this.#fds.push(fd);
    return fd;
  }

  [Symbol.dispose](): void {
    try {
      if (this.#isOwn) this.#carrier.call(SYS_close_range, 0, ALL_DESCRIPTORS, 0);
      else for (const fd of this.#fds) this.#carrier.call(SYS_close, fd);
    } catch {
      // It has ended; what it was used for fails as well, and says why.
    }
  }
}

function makeTwo(
  injection: Injection,
  carrier: Carrier,
  inside: Inside,
  pidfd: number,
  tid: number,
): readonly [Userfaultfd, Userfaultfd] {
  using _inside = inside;
  using building = new DisposableStack();
  let make = (): number => carrier.call(SYS_userfaultfd, FLAGS);
  let made = make();
  // An unprivileged target may not make one that handles faults of the kernel too; by our /dev/userfaultfd it may.
  if (made === -ERRNO.EPERM || made === -ERRNO.ENOSYS) {
    const device = passDevice(injection, carrier, inside, pidfd, tid);
    make = () => carrier.call(SYS_ioctl, device, USERFAULTFD_IOC_NEW, FLAGS);
    made = make();
  }
  const take = (fd: number): Userfaultfd => {
    if (fd === -ERRNO.EMFILE) throw full(tid);
    inside.add(checkInjected(fd, 'userfaultfd', tid));
    const ours = takeDescriptor(pidfd, fd);
    return building.use(
      new Userfaultfd(check(ours, `take the userfaultfd of ${tid}`, 'pidfd_getfd', { tid })),
    );
  };
  const pair = [take(made), take(make())] as const;
  building.move();
  return pair;
}

/** Opens /dev/userfaultfd and passes it to the carrier. Returns its number there. */
function passDevice(
  injection: Injection,
  carrier: Carrier,
  inside: Inside,
  pidfd: number,
  tid: number,
): number {
  using device = new Descriptor(openUserfaultfdDevice());
  const pair = injection.dataAddress + PAIR_AT;
  checkInjected(
    carrier.call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
    'socketpair',
    tid,
  );
  const near = inside.add(injection.read().int32[PAIR_AT / 4]!);
  const far = inside.add(injection.read().int32[PAIR_AT / 4 + 1]!);
  using socket = new Descriptor(
    check(takeDescriptor(pidfd, far), `take a socket of ${tid}`, 'pidfd_getfd', { tid }),
  );
  check(sendDescriptor(socket.fd, device.fd), 'pass /dev/userfaultfd', 'sendmsg', { tid });
  return inside.add(receive(injection, carrier, near, tid));
}

/** recvmsg(2) with room for one descriptor; returns its number in the carrier's table. */
function receive(injection: Injection, carrier: Carrier, socket: number, tid: number): number {
  const base = injection.dataAddress;
  injection.write((memory) => {
    memory.bytes.fill(0, MESSAGE_AT, BYTE_AT + 8);
    memory.setWord(MESSAGE_AT + msghdr.at.msg_iov, base + IOVEC_AT);
    memory.setWord(MESSAGE_AT + msghdr.at.msg_iovlen, 1);
    memory.setWord(MESSAGE_AT + msghdr.at.msg_control, base + CONTROL_AT);
    memory.setWord(MESSAGE_AT + msghdr.at.msg_controllen, 24);
    memory.setWord(IOVEC_AT + iovec.at.iov_base, base + BYTE_AT);
    memory.setWord(IOVEC_AT + iovec.at.iov_len, 1);
  });
  checkInjected(
    carrier.call(SYS_recvmsg, socket, base + MESSAGE_AT, MSG_DONTWAIT | MSG_CMSG_CLOEXEC),
    'recvmsg',
    tid,
  );
  const fd = injection.read().int32[(CONTROL_AT + cmsghdr.sizeBytes) / 4]!;
  if (fd > 0) return fd;
  throw new LivecoreError('INJECTION_FAILED', 'pass /dev/userfaultfd to the target: it got none', {
    tid,
    cure: 'the target may be at its limit of open files (RLIMIT_NOFILE below 4)',
  });
}

/** A descriptor of ours that is closed with its scope. */
class Descriptor implements Disposable {
  readonly fd: number;
  constructor(fd: number) {
    this.fd = fd;
  }
  [Symbol.dispose](): void {
    closeFile(this.fd);
  }
}
