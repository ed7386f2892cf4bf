/** Descriptors sent over sockets of ours (unix(7), SCM_RIGHTS). Results are as in file.ts. */

import {
  AF_UNIX,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SCM_RIGHTS,
  SOCK_CLOEXEC,
  SOL_SOCKET,
} from './abi.ts';
import { ERRNO } from './errno.ts';
import { check } from './failure.ts';
import { cmsghdr, iovec, msghdr } from './layouts.ts';
import { type Memory, scratch } from './memory.ts';
import { errno, libc } from './native.ts';

// one message: its header, one iovec, one byte of data (SCM_RIGHTS needs some), one control message with one descriptor
const IOVEC_AT = msghdr.sizeBytes;
const DATA_AT = IOVEC_AT + iovec.sizeBytes;
const CONTROL_AT = DATA_AT + 8;
const DESCRIPTOR_AT = CONTROL_AT + cmsghdr.sizeBytes;
/** CMSG_LEN(sizeof(int)) */
const CONTROL_BYTES = cmsghdr.sizeBytes + 4;
/** CMSG_SPACE(sizeof(int)) */
const CONTROL_SPACE = cmsghdr.sizeBytes + 8;

let memory: Memory | undefined;

function message(): Memory {
  memory ??= scratch(CONTROL_AT + CONTROL_SPACE);
  const words = memory;
  words.bytes.fill(0);
  words.setWord(msghdr.at.msg_iov, words.address + IOVEC_AT);
  words.setWord(msghdr.at.msg_iovlen, 1);
  words.setWord(msghdr.at.msg_control, words.address + CONTROL_AT);
  words.setWord(msghdr.at.msg_controllen, CONTROL_SPACE);
  words.setWord(IOVEC_AT + iovec.at.iov_base, words.address + DATA_AT);
  words.setWord(IOVEC_AT + iovec.at.iov_len, 1);
  return words;
}

/** Two connected sockets of AF_UNIX, close-on-exec. Throws. */
export function socketPair(type: number): [number, number] {
  const words = message();
  const result = libc.socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, words.address);
  check(result < 0 ? -errno() : 0, 'make a socket pair', 'socketpair');
  return [words.int32[0]!, words.int32[1]!];
}

/** Sends descriptor `fd` with one byte of data. Never waits: -EAGAIN when the socket is full. Returns 0. */
export function sendDescriptor(socket: number, fd: number): number {
  const words = message();
  words.setWord(CONTROL_AT + cmsghdr.at.cmsg_len, CONTROL_BYTES);
  words.int32[(CONTROL_AT + cmsghdr.at.cmsg_level) >>> 2] = SOL_SOCKET;
  words.int32[(CONTROL_AT + cmsghdr.at.cmsg_type) >>> 2] = SCM_RIGHTS;
  words.int32[DESCRIPTOR_AT >>> 2] = fd;
  for (;;) {
    if (libc.sendmsg(socket, words.address, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return 0;
    const error = errno();
    if (error !== ERRNO.EINTR) return -error;
  }
}

/**
 * Takes a descriptor that was sent, close-on-exec. Never waits: -EAGAIN when there is none.
 *
 * @returns the descriptor, -ENODATA for a message or an end without one, -EMFILE when our table is full, or another
 * negative errno
 */
export function receiveDescriptor(socket: number): number {
  const words = message();
  for (;;) {
    if (libc.recvmsg(socket, words.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) >= 0) break;
    const error = errno();
    if (error !== ERRNO.EINTR) return -error;
  }
  if ((words.int32[msghdr.at.msg_flags >>> 2]! & MSG_CTRUNC) !== 0) return -ERRNO.EMFILE;
  const isDescriptor =
    words.word(msghdr.at.msg_controllen) >= CONTROL_BYTES &&
    words.int32[(CONTROL_AT + cmsghdr.at.cmsg_level) >>> 2] === SOL_SOCKET &&
    words.int32[(CONTROL_AT + cmsghdr.at.cmsg_type) >>> 2] === SCM_RIGHTS;
  if (!isDescriptor) return -ERRNO.ENODATA;
  return words.int32[DESCRIPTOR_AT >>> 2]!;
}
