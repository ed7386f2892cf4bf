import {
  ERESTART_RESTARTBLOCK,
  ERESTARTNOHAND,
  ERESTARTNOINTR,
  ERESTARTSYS,
  FP_XSTATE_MAGIC1,
  FP_XSTATE_MAGIC2,
  SYS_exit,
  UC_FP_XSTATE,
  UC_SIGCONTEXT_SS,
  UC_STRICT_RESTORE_SS,
} from '../../linux/abi.ts';
import { fpxSwBytes, rtSigframe, sigcontext, ucontext, userRegs } from '../../linux/layouts.ts';
import type { Memory } from '../../linux/memory.ts';
import type { Gadgets } from './gadgets.ts';

/**
 * The way back. A signal frame is what rt_sigreturn(2) takes a thread's state from. With the stack pointer at one,
 * a `syscall; ret` runs into the trampoline of rt_sigreturn and so into that state, with nobody's help: so a
 * thread that carries an injected call, and loses its tracer at any instruction of it, still gets home.
 *
 * Layout: arch/x86/include/asm/sigframe.h; what is read of it: arch/x86/kernel/signal_64.c, restore_sigcontext.
 */

/** asm/sigcontext.h: struct _fpx_sw_bytes in the FXSAVE image */
const SW_BYTES_AT = 464;
/** the standard format without AMX's tiles, which has a place of its own above (Intel SDM 13.4) */
const XSTATE_WITHOUT_TILES = 2696;
const XSTATE_BV_AT = 512;
const TILE_FEATURES = 0x60000;
/** not SS_ONSTACK, SS_DISABLE or 0, so that the kernel refuses it and leaves the alternate stack as it is */
const NO_ALTERNATE_STACK = 7;

const CONTEXT_AT = rtSigframe.at.uc + ucontext.at.uc_mcontext;

/** Bytes of a frame without FPU state, rounded to the alignment of the state that follows. */
export const FRAME_BYTES = 448;

const SAME_NAME = [
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rdi',
  'rsi',
  'rbp',
  'rbx',
  'rdx',
  'rax',
  'rcx',
  'rsp',
  'rip',
  'eflags',
] as const;

/** How many bytes of `xstate` (an NT_X86_XSTATE register set) a frame has to carry, trailer included. */
export function frameStateBytes(xstate: Memory, lengthBytes: number): number {
  return stateBytes(xstate, lengthBytes) + 4;
}

function stateBytes(xstate: Memory, lengthBytes: number): number {
  const tiles = (xstate.uint32[XSTATE_BV_AT / 4]! & TILE_FEATURES) !== 0;
  return tiles ? lengthBytes : Math.min(lengthBytes, XSTATE_WITHOUT_TILES);
}

/**
 * Writes the frame that brings a thread back to `registers`, its signal mask and its FPU state. A system call that
 * the stop interrupted is rewound, so that it starts again: nobody will be there to say it should.
 *
 * @param into our copy of what goes to `address` in the target: the frame, then the FPU state
 */
export function writeReturnFrame(
  into: Memory,
  address: number,
  gadgets: Gadgets,
  registers: Memory,
  signalMask: Memory,
  xstate: Memory,
  xstateBytes: number,
): void {
  into.bytes.fill(0, 0, FRAME_BYTES);
  writeContext(into, gadgets, registers);
  rewind(into, registers);
  into.setWord(
    rtSigframe.at.uc + ucontext.at.uc_flags,
    UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
  );
  into.bytes.set(signalMask.bytes.subarray(0, 8), rtSigframe.at.uc + ucontext.at.uc_sigmask);
  into.setWord(CONTEXT_AT + sigcontext.at.fpstate, address + FRAME_BYTES);
  const length = stateBytes(xstate, xstateBytes);
  into.bytes.set(xstate.bytes.subarray(0, length), FRAME_BYTES);
  const trailer = FRAME_BYTES + SW_BYTES_AT;
  into.view.setUint32(trailer + fpxSwBytes.at.magic1, FP_XSTATE_MAGIC1, true);
  into.view.setUint32(trailer + fpxSwBytes.at.extended_size, length + 4, true);
  // the register set has the mask of enabled features where the frame has `xfeatures` shifted by 8: move it
  into.bytes.set(xstate.bytes.subarray(SW_BYTES_AT, SW_BYTES_AT + 8), trailer + fpxSwBytes.at.xfeatures);
  into.view.setUint32(trailer + fpxSwBytes.at.xstate_size, length, true);
  into.view.setUint32(FRAME_BYTES + length, FP_XSTATE_MAGIC2, true);
}

/** Writes the frame that ends a thread of ours: it returns into `exit(0)`. No FPU state: it has none to keep. */
export function writeExitFrame(into: Memory, gadgets: Gadgets, registers: Memory): void {
  into.bytes.fill(0, 0, FRAME_BYTES);
  writeContext(into, gadgets, registers);
  into.setWord(rtSigframe.at.uc + ucontext.at.uc_flags, UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS);
  into.bytes.fill(
    0xff,
    rtSigframe.at.uc + ucontext.at.uc_sigmask,
    rtSigframe.at.uc + ucontext.at.uc_sigmask + 8,
  );
  into.setWord(CONTEXT_AT + sigcontext.at.rip, gadgets.syscallReturn);
  into.setWord(CONTEXT_AT + sigcontext.at.rax, SYS_exit);
  into.setWord(CONTEXT_AT + sigcontext.at.rdi, 0);
}

function writeContext(into: Memory, gadgets: Gadgets, registers: Memory): void {
  into.setWord(rtSigframe.at.pretcode, gadgets.intoFrame);
  into.view.setInt32(rtSigframe.at.uc + ucontext.at['uc_stack.ss_flags'], NO_ALTERNATE_STACK, true);
  for (const name of SAME_NAME) {
    const from = userRegs.at[name];
    into.bytes.set(registers.bytes.subarray(from, from + 8), CONTEXT_AT + sigcontext.at[name]);
  }
  for (const name of ['cs', 'gs', 'fs', 'ss'] as const) {
    into.view.setUint16(
      CONTEXT_AT + sigcontext.at[name],
      registers.view.getUint16(userRegs.at[name], true),
      true,
    );
  }
}

/** The kernel's own way of starting a call again: two bytes back, the call's number in rax. */
function rewind(into: Memory, registers: Memory): void {
  const call = registers.view.getInt32(userRegs.at.orig_rax, true);
  if (call < 0 || !startsAgain(registers)) return;
  into.setWord(CONTEXT_AT + sigcontext.at.rip, registers.word(userRegs.at.rip) - 2);
  into.setWord(CONTEXT_AT + sigcontext.at.rax, call);
}

/** Whether the kernel will start the interrupted call again when no handler runs (signal(7)). */
export function startsAgain(registers: Memory): boolean {
  const error = -registers.view.getInt32(userRegs.at.rax, true);
  return (
    error === ERESTARTSYS ||
    error === ERESTARTNOINTR ||
    error === ERESTARTNOHAND ||
    error === ERESTART_RESTARTBLOCK
  );
}
