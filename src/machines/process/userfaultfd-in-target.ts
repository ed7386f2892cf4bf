import { LivecoreError } from '../../errors.ts';
import {
  AF_UNIX,
  CLOSE_RANGE_UNSHARE,
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
import { openPidfd, openThreadPidfd, takeDescriptor } from '../../linux/pidfd.ts';
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
 * A helper task with a descriptor table of its own makes it: no thread of the target ever sees, inherits or keeps a
 * descriptor of ours, and the target's limit of descriptors does not matter. `crowded` is the way for a target that
 * may have no more threads: all its other threads are held meanwhile, and the stopped one makes the calls.
 */
export function makeUserfaultfds(
  injection: Injection,
  pid: number,
  crowded: () => Disposable,
): readonly [Userfaultfd, Userfaultfd] {
  const helper = injection.makeHelper();
  if (helper !== undefined) {
    const tid = injection.helperTid;
    checkInjected(helper.call(SYS_close_range, 0, ALL_DESCRIPTORS, CLOSE_RANGE_UNSHARE), 'close_range', tid);
    using owner = new Descriptor(check(openThreadPidfd(tid), `open thread ${tid}`, 'pidfd_open', { tid }));
    return makeTwo(injection, helper, owner.fd, tid);
  }
  using _held = crowded();
  using owner = new Descriptor(check(openPidfd(pid), `open process ${pid}`, 'pidfd_open', { pid }));
  return makeTwo(injection, injection.carrier(), owner.fd, injection.thread.tid);
}

function makeTwo(
  injection: Injection,
  carrier: Carrier,
  pidfd: number,
  tid: number,
): readonly [Userfaultfd, Userfaultfd] {
  using building = new DisposableStack();
  const first = building.use(make(injection, carrier, pidfd, tid));
  const second = make(injection, carrier, pidfd, tid);
  building.move();
  return [first, second];
}

function make(injection: Injection, carrier: Carrier, pidfd: number, tid: number): Userfaultfd {
  let fd = carrier.call(SYS_userfaultfd, FLAGS);
  // An unprivileged target may not make one that handles faults of the kernel too; by our /dev/userfaultfd it may.
  if (fd === -ERRNO.EPERM || fd === -ERRNO.ENOSYS) fd = makeByDevice(injection, carrier, pidfd, tid);
  checkInjected(fd, 'userfaultfd', tid);
  const ours = takeDescriptor(pidfd, fd);
  carrier.call(SYS_close, fd);
  return new Userfaultfd(check(ours, `take the userfaultfd of ${tid}`, 'pidfd_getfd', { tid }));
}

function makeByDevice(injection: Injection, carrier: Carrier, pidfd: number, tid: number): number {
  using device = new Descriptor(openUserfaultfdDevice());
  const pair = injection.dataAddress + PAIR_AT;
  checkInjected(
    carrier.call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
    'socketpair',
    tid,
  );
  const near = injection.read().int32[PAIR_AT / 4]!;
  const far = injection.read().int32[PAIR_AT / 4 + 1]!;
  try {
    using socket = new Descriptor(
      check(takeDescriptor(pidfd, far), `take a socket of ${tid}`, 'pidfd_getfd', { tid }),
    );
    check(sendDescriptor(socket.fd, device.fd), 'pass /dev/userfaultfd', 'sendmsg', { tid });
    const inTarget = receive(injection, carrier, near, tid);
    const made = carrier.call(SYS_ioctl, inTarget, USERFAULTFD_IOC_NEW, FLAGS);
    carrier.call(SYS_close, inTarget);
    return made;
  } finally {
    carrier.call(SYS_close, near);
    carrier.call(SYS_close, far);
  }
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
