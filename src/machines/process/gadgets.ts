import { Buffer } from 'node:buffer';

/**
 * Two places in the target's own code through which a thread finds its way back if the tool dies while the thread
 * carries an injected call: a `syscall` that is followed by a return, and the trampoline into rt_sigreturn that
 * every C library has (its signal restorer).
 *
 * They are looked for in what is mapped executable: glibc and musl, linked either way, and Go's runtime have both.
 */
export interface Gadgets {
  /** address of `syscall; ret` */
  readonly syscallReturn: number;
  /** address of `mov $15, %rax; syscall` (rt_sigreturn) */
  readonly signalReturn: number;
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

/** Searches pieces of code, until both gadgets are found; undefined where the code has not got both. */
export function findGadgets(pieces: Iterable<Code>): Gadgets | undefined {
  let syscallReturn = 0;
  let signalReturn = 0;
  for (const { address, bytes } of pieces) {
    const code = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (syscallReturn === 0) syscallReturn = addressOf(code, SYSCALL_RETURN, address);
    for (const pattern of SIGNAL_RETURNS) {
      if (signalReturn === 0) signalReturn = addressOf(code, pattern, address);
    }
    if (syscallReturn !== 0 && signalReturn !== 0) return { syscallReturn, signalReturn };
  }
  return undefined;
}

function addressOf(code: Buffer, pattern: Buffer, base: number): number {
  const index = code.indexOf(pattern);
  return index < 0 ? 0 : base + index;
}
