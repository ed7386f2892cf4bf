import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { runC } from '../../test/abi/c-program.ts';
import { buildTarget } from '../../test/support/build.ts';
import { type Child, startChild } from '../../test/support/child.ts';
import { getBigField, getField, setField } from '../bytes/struct.ts';
import {
  __WALL,
  ERESTART_RESTARTBLOCK,
  ERESTARTNOHAND,
  ERESTARTNOINTR,
  ERESTARTSYS,
  NT_PRSTATUS,
  NT_X86_XSTATE,
  PTRACE_EVENT_EXIT,
  PTRACE_EVENT_STOP,
  PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG,
  PTRACE_O_TRACEEXIT,
  PTRACE_O_TRACESYSGOOD,
  PTRACE_SYSCALL_INFO_EXIT,
  SIGKILL,
  SIGTRAP,
  SIGUSR1,
  SYS_pause,
  SYS_read,
  WNOHANG,
} from './abi.ts';
import { ERRNO } from './errno.ts';
import {
  rseqConfiguration,
  rtSigframe,
  sigcontext,
  siginfo,
  sudConfig,
  syscallInfo,
  ucontext,
  userRegs,
} from './layouts.ts';
import { MappedMemory } from './memory.ts';
import { libc } from './native.ts';
import { CurrentSyscall, NOT_IN_SYSCALL, RUNNING } from './proc-tasks.ts';
import {
  detach,
  eventMessage,
  getRegisterSet,
  getRegisters,
  getRseqConfiguration,
  getSignalInfo,
  getSignalMask,
  getSyscallInfo,
  getSyscallUserDispatch,
  interrupt,
  resume,
  resumeToSyscall,
  seize,
  setOptions,
  setRegisterSet,
  setRegisters,
  setSignalMask,
  singleStep,
  WaitStatus,
} from './ptrace.ts';

const target = buildTarget('waits');
const skip = target.skip;
const memory = new MappedMemory(4 * 4096, { populate: true });
after(() => memory[Symbol.dispose]());
const { address, view } = memory;

/** A process that waits in `call`, seized and stopped. */
async function stopped(
  call: string,
  options = 0,
): Promise<{ child: Child; pid: number; status: WaitStatus }> {
  const child = await startChild(target.path, ['--call', call]);
  const { pid } = child;
  if (call !== 'spin') await untilBlocked(pid);
  assert.equal(seize(pid, options), 0);
  const status = new WaitStatus();
  assert.equal(interrupt(pid), 0);
  assert.equal(status.wait(pid, 0), pid);
  assert.ok(status.interrupted);
  return { child, pid, status };
}

/** READY comes before the call: wait until the thread sleeps in one. */
async function untilBlocked(pid: number): Promise<void> {
  using syscall = new CurrentSyscall(pid, pid);
  for (;;) {
    assert.equal(syscall.read(), 0);
    if (syscall.number !== RUNNING && syscall.number !== NOT_IN_SYSCALL) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function register(name: Parameters<typeof getField<typeof userRegs.kinds>>[3]): bigint {
  return getBigField(userRegs, view, 0, name);
}

test('what is not traced, or not there, cannot be asked', { skip }, async () => {
  await using child = await startChild(target.path, ['--call', 'pause']);
  assert.equal(getRegisters(child.pid, address), -ERRNO.ESRCH);
  assert.equal(detach(child.pid), -ERRNO.ESRCH);
  assert.equal(seize(process.pid, 0), -ERRNO.EPERM);
  assert.equal(new WaitStatus().wait(child.pid), 0);
  assert.equal(new WaitStatus().wait(1), -ERRNO.ECHILD);
});

test('a stop is told, asked about, and undone', { skip }, async () => {
  const { child, pid, status } = await stopped('pause');
  await using _ = child;
  assert.deepEqual([status.stopped, status.exited, status.signalled], [true, false, false]);
  assert.deepEqual([status.stopSignal, status.event], [SIGTRAP, PTRACE_EVENT_STOP]);
  assert.equal(getRegisters(pid, address), 0);
  assert.equal(register('orig_rax'), BigInt(SYS_pause));
  const rip = register('rip');
  assert.equal(getRegisterSet(pid, NT_PRSTATUS, address + 4096, 1000), userRegs.sizeBytes);
  assert.equal(getBigField(userRegs, view, 4096, 'rip'), rip);
  assert.equal(setRegisterSet(pid, NT_PRSTATUS, address + 4096, userRegs.sizeBytes), 0);
  assert.equal(getSignalInfo(pid, address), 0);
  assert.equal(getField(siginfo, view, 0, 'si_signo'), SIGTRAP);
  assert.equal(getField(siginfo, view, 0, 'si_code') >> 8, PTRACE_EVENT_STOP);
  assert.equal(detach(pid), 0);
  assert.equal(getRegisters(pid, address), -ERRNO.ESRCH);
  assert.ok(child.running);
});

for (const [call, expected, name] of [
  ['nanosleep', ERESTART_RESTARTBLOCK, 'ERESTART_RESTARTBLOCK'],
  ['read', ERESTARTSYS, 'ERESTARTSYS'],
  ['pause', ERESTARTNOHAND, 'ERESTARTNOHAND'],
  ['lock_pi', ERESTARTNOINTR, 'ERESTARTNOINTR'],
] as const) {
  test(`an interrupted ${call} shows ${name} in rax`, { skip }, async () => {
    const { child, pid } = await stopped(call);
    await using _ = child;
    getRegisters(pid, address);
    assert.equal(BigInt.asIntN(64, register('rax')), BigInt(-expected));
    detach(pid);
  });
}

test('registers and masks that are set are those that are read', { skip }, async () => {
  const { child, pid } = await stopped('spin');
  await using _ = child;
  getRegisters(pid, address);
  const before = register('r15');
  setField(userRegs, view, 0, 'r15', 0xfedcba9876543210n);
  assert.equal(setRegisters(pid, address), 0);
  setField(userRegs, view, 0, 'r15', 0);
  getRegisters(pid, address);
  assert.equal(register('r15'), 0xfedcba9876543210n);
  setField(userRegs, view, 0, 'r15', before);
  setRegisters(pid, address);
  assert.equal(getSignalMask(pid, address), 0);
  assert.equal(memory.word(0), 0);
  memory.setWord(8, 2 ** (SIGUSR1 - 1));
  assert.equal(setSignalMask(pid, address + 8), 0);
  getSignalMask(pid, address);
  assert.equal(memory.word(0), 2 ** (SIGUSR1 - 1));
  detach(pid);
});

test('extended state is as long as the processor says', { skip }, async () => {
  const { child, pid } = await stopped('spin');
  await using _ = child;
  const length = getRegisterSet(pid, NT_X86_XSTATE, address, memory.length);
  // FXSAVE area and XSAVE header at least
  assert.ok(length >= 576, `${length}`);
  assert.equal(setRegisterSet(pid, NT_X86_XSTATE, address, length), 0);
  assert.equal(getRegisterSet(pid, 0x999, address, 100), -ERRNO.EINVAL);
  detach(pid);
});

test('a step executes one instruction', { skip }, async () => {
  const { child, pid, status } = await stopped('spin');
  await using _ = child;
  getRegisters(pid, address);
  const before = register('rip');
  assert.equal(singleStep(pid), 0);
  assert.equal(status.wait(pid, 0), pid);
  assert.deepEqual([status.stopSignal, status.event], [SIGTRAP, 0]);
  getRegisters(pid, address);
  assert.notEqual(register('rip'), before);
  detach(pid);
});

test('a call is told at its end', { skip }, async () => {
  const { child, pid, status } = await stopped('read', PTRACE_O_TRACESYSGOOD);
  await using _ = child;
  // the interrupted read is entered again, then left when it is interrupted again
  assert.equal(resumeToSyscall(pid), 0);
  assert.equal(status.wait(pid, 0), pid);
  assert.equal(status.stopSignal, SIGTRAP | 0x80);
  assert.ok(getSyscallInfo(pid, address) > 0);
  assert.equal(getBigField(syscallInfo, view, 0, 'entry.nr'), BigInt(SYS_read));
  resumeToSyscall(pid);
  interrupt(pid);
  assert.equal(status.wait(pid, 0), pid);
  assert.equal(status.stopSignal, SIGTRAP | 0x80);
  getSyscallInfo(pid, address);
  assert.equal(getField(syscallInfo, view, 0, 'op'), PTRACE_SYSCALL_INFO_EXIT);
  assert.equal(BigInt.asIntN(64, getBigField(syscallInfo, view, 0, 'entry.nr')), BigInt(-ERESTARTSYS));
  detach(pid);
});

test('an end is told with its reason before it happens', { skip }, async () => {
  const { child, pid, status } = await stopped('pause');
  await using _ = child;
  assert.equal(setOptions(pid, PTRACE_O_TRACEEXIT), 0);
  resume(pid);
  child.kill('SIGKILL');
  assert.equal(status.wait(pid, 0), pid);
  assert.deepEqual([status.stopped, status.event], [true, PTRACE_EVENT_EXIT]);
  assert.equal(eventMessage(pid), SIGKILL);
  // its end is its parent's to take, which is Node here
  detach(pid);
});

test('an end is told after it happened', async () => {
  // grandchildren: their ends are for the shell to take, and for their tracer to see
  for (const [command, exited, exitCode, signalled, endSignal] of [
    ['exit 7', true, 7, false, 0],
    ['kill -9 $$', false, 0, true, SIGKILL],
  ] as const) {
    const script = `exec 3<&0; sh -c 'read line; ${command}' <&3 & echo $!; wait; exec sleep 1000`;
    const shell = spawn('sh', ['-c', script]);
    try {
      const [line] = (await once(shell.stdout, 'data')) as [Buffer];
      const pid = Number(line.toString());
      assert.equal(seize(pid, 0), 0);
      const ended = new WaitStatus();
      shell.stdin.write('go\n');
      assert.equal(ended.wait(pid, 0), pid);
      assert.deepEqual([ended.stopped, ended.exited, ended.signalled], [false, exited, signalled]);
      assert.equal(exited ? ended.exitCode : ended.endSignal, exited ? exitCode : endSignal);
    } finally {
      shell.kill('SIGKILL');
      await once(shell, 'exit');
    }
  }
});

test('waiting does not wait where it is told not to', { skip }, async () => {
  const { child, pid, status } = await stopped('pause');
  await using _ = child;
  resume(pid);
  assert.equal(status.wait(pid, WNOHANG), 0);
  assert.equal(libc.wait4(pid, 0, WNOHANG | __WALL, 0), 0);
  interrupt(pid);
  status.wait(pid, 0);
  detach(pid);
});

test('the place of rseq is told', { skip }, async () => {
  const { child, pid } = await stopped('pause');
  await using _ = child;
  assert.ok(getRseqConfiguration(pid, address) > 0);
  // glibc 2.35 and later register it, with this signature (sys/rseq.h, RSEQ_SIG)
  const size = getField(rseqConfiguration, view, 0, 'rseq_abi_size');
  if (size !== 0) {
    assert.equal(getField(rseqConfiguration, view, 0, 'signature'), 0x53053053);
    assert.equal(getBigField(rseqConfiguration, view, 0, 'rseq_abi_pointer') % 32n, 0n);
  }
  detach(pid);
});

test('syscall user dispatch is told: off, and on', { skip }, async (context) => {
  for (const [call, mode] of [
    ['pause', 0],
    ['dispatch', 1],
  ] as const) {
    const { child, pid } = await stopped(call);
    await using _ = child;
    const result = getSyscallUserDispatch(pid, address);
    if (result === -ERRNO.EIO) {
      return context.skip(`no request ${PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG} (6.4) here`);
    }
    assert.equal(result, 0);
    assert.equal(getField(sudConfig, view, 0, 'mode'), mode);
    if (mode === 1) assert.equal(getBigField(sudConfig, view, 0, 'len'), 2n ** 64n - 1n);
    detach(pid);
  }
});

test('a signal frame lies on the stack as the table says', { skip }, () => {
  // no header exports struct rt_sigframe: a handler says where it finds its parts, counted from its return address
  const output = runC(
    `#define _GNU_SOURCE
    #include <signal.h>
    #include <stdint.h>
    #include <stdio.h>
    #include <string.h>
    #include <ucontext.h>
    #include <unistd.h>
    static long found[8];
    static void handler(int signal, siginfo_t *info, void *context) {
      char *frame = (char *)__builtin_frame_address(0) + 8;
      ucontext_t *uc = context;
      (void)signal;
      found[0] = (char *)uc - frame;
      found[1] = (char *)info - frame;
      found[2] = (char *)&uc->uc_mcontext - (char *)uc;
      found[3] = (char *)&uc->uc_sigmask - (char *)uc;
      found[4] = (char *)&uc->uc_mcontext.fpregs - (char *)&uc->uc_mcontext;
      found[5] = (char *)&uc->uc_mcontext.gregs[REG_RIP] - (char *)&uc->uc_mcontext;
      /* where rt_sigreturn restores the first 16 bytes of extended state's software bytes from */
      uint32_t magic;
      memcpy(&magic, (char *)uc->uc_mcontext.fpregs + 464, 4);
      found[6] = magic;
    }
    int main(void) {
      struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
      sigaction(SIGUSR1, &action, NULL);
      kill(getpid(), SIGUSR1);
      for (int i = 0; i < 7; i++) printf("%ld ", found[i]);
    }`,
    ['-O0', '-fno-omit-frame-pointer'],
  );
  const { uc, info } = rtSigframe.at;
  const { uc_mcontext, uc_sigmask } = ucontext.at;
  assert.deepEqual(output.trim().split(' ').map(Number), [
    uc,
    info,
    uc_mcontext,
    uc_sigmask,
    sigcontext.at.fpstate,
    sigcontext.at.rip,
    0x46505853,
  ]);
});
