import { Buffer } from 'node:buffer';

/**
 * Places in the target's own code through which a thread finds its way back if the tool dies while the thread carries
 * an injected call: a `syscall` that is followed by a return, and a way into rt_sigreturn: the trampoline of the C
 * library (its signal restorer), or, where the linker has left that out, `pop %rax; ret` and the `syscall` again.
 *
 * They are looked for in what is mapped executable: glibc and musl, linked either way, and Go's runtime have them.
 */
export interface Gadgets {
  /** address of `syscall; ret` */
  readonly syscallReturn: number;
  /** what stands on the stack in front of the signal frame, for the `ret` after a call to go through */
  readonly wayBack: readonly number[];
  /** the frame's first word, the last that is returned to */
  readonly intoFrame: number;
}

/** A piece of executable memory, as read from the target. */
export interface Code {
  readonly address: number;
  readonly bytes: Uint8Array;
}

const SYSCALL_RETURN = Buffer.from([0x0f, 0x05, 0xc3]);
/** `mov $0xf,%rax; syscall` with the long encoding that glibc and musl use, and with the short one of Go */
const SIGNAL_RETURNS = [
  Buffer.from([0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05]),
  Buffer.from([0xb8, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05]),
];

/** a byte pair that is part of many instructions */
const POP_RAX_RETURN = Buffer.from([0x58, 0xc3]);
const SYS_RT_SIGRETURN = 15;

/** Searches pieces of code until the gadgets are found; undefined where the code has not got them. */
export function findGadgets(pieces: Iterable<Code>): Gadgets | undefined {
  let syscallReturn = 0;
  let signalReturn = 0;
  let popRax = 0;
  for (const { address, bytes } of pieces) {
    const code = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    syscallReturn ||= addressOf(code, SYSCALL_RETURN, address);
    popRax ||= addressOf(code, POP_RAX_RETURN, address);
    for (const pattern of SIGNAL_RETURNS) signalReturn ||= addressOf(code, pattern, address);
    if (syscallReturn !== 0 && signalReturn !== 0)
      return { syscallReturn, wayBack: [], intoFrame: signalReturn };
  }
  if (syscallReturn === 0 || popRax === 0) return undefined;
  return { syscallReturn, wayBack: [popRax, SYS_RT_SIGRETURN], intoFrame: syscallReturn };
}

function addressOf(code: Buffer, pattern: Buffer, base: number): number {
  const index = code.indexOf(pattern);
  return index < 0 ? 0 : base + index;
}
