/**
 * May this caller dump this process? Decided from facts alone, before the process is touched.
 *
 * The rules are the kernel's: ptrace(2) "Ptrace access mode checking", userfaultfd(2), seccomp(2), Yama's
 * admin-guide. The answer names the one right that is missing and how to get it. docs/rights.md shows the
 * same rules as a table, made from this file.
 */
import { type ErrorCode, LivecoreError } from '../../errors.ts';
import { CAP_SYS_ADMIN, CAP_SYS_PTRACE } from '../../linux/abi.ts';

/** A set of capabilities, one bit each, as in the Cap lines of /proc/PID/status. */
export type CapabilitySet = bigint;

/** What decides on the side of whoever runs livecore. */
export interface CallerFacts {
  /** real ids: ptrace compares these */
  readonly uid: number;
  readonly gid: number;
  readonly effective: CapabilitySet;
  readonly permitted: CapabilitySet;
  /** as in /proc/PID/ns/user */
  readonly userNamespace: string;
  readonly isInitialUserNamespace: boolean;
  /** kernel.yama.ptrace_scope, 0 where there is no Yama */
  readonly ptraceScope: number;
  /** vm.unprivileged_userfaultfd */
  readonly unprivilegedUserfaultfd: boolean;
  /** /dev/userfaultfd: came with Linux 6.1 */
  readonly userfaultfdDevice: 'opens' | 'denied' | 'absent';
  /** whether livecore itself runs under seccomp */
  readonly isFiltered: boolean;
}

/** What decides on the side of the target; undefined where the caller was not allowed to look. */
export interface TargetFacts {
  readonly pid: number;
  /** the process that this id is a thread of; the same as `pid` for a process */
  readonly threadGroup: number;
  /** state letter of proc(5), /proc/PID/stat */
  readonly state: string;
  /** whether threads go on although the first one has ended */
  readonly isHeadless: boolean;
  readonly isKernelThread: boolean;
  /** real, effective and saved id */
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  readonly permitted: CapabilitySet;
  readonly effective: CapabilitySet;
  readonly userNamespace: string | undefined;
  /** prctl(2) PR_GET_DUMPABLE is 1; undefined where that can't be told from outside */
  readonly isDumpable: boolean | undefined;
  readonly isDescendant: boolean;
  /** 0 none, 1 strict, 2 filters */
  readonly seccompMode: number;
  /** pid and name of the process that traces it */
  readonly tracer: { readonly pid: number; readonly name: string } | undefined;
  readonly is32Bit: boolean | undefined;
  readonly isFrozen: boolean;
  /** whether the kernel let the caller open /proc/PID/mem: its own verdict on the whole of attaching */
  readonly memOpens: boolean | undefined;
}

/** One question, and its answer. */
export interface Right {
  readonly subject: 'process' | 'state' | 'tracer' | 'attach' | 'userfaultfd' | 'seccomp';
  readonly isGranted: boolean;
  /** a state, to stand behind "action:" */
  readonly text: string;
  /** for what is not granted */
  readonly code?: ErrorCode;
  readonly cure?: string;
}

/** Answers all questions, the first refusal being the one to report; of what is no live process, only that it is none. */
export function judgeRights(caller: CallerFacts, target: TargetFacts): Right[] {
  const [kind, state] = [judgeKind(target), judgeState(target)];
  if (!kind.isGranted) return [kind];
  if (target.state === 'Z' || target.state === 'X') return [kind, state];
  return [
    kind,
    state,
    judgeTracer(target),
    judgeAttach(caller, target),
    judgeUserfaultfd(caller, target),
    judgeSeccomp(caller, target),
  ];
}

/** Throws the first refusal. */
export function requireRights(rights: readonly Right[], pid: number): void {
  const refusal = rights.find(({ isGranted }) => !isGranted);
  if (refusal === undefined) return;
  const { code = 'NO_RIGHT', text, cure } = refusal;
  throw new LivecoreError(code, `dump process ${pid}: ${text}`, { pid, ...(cure !== undefined && { cure }) });
}

function judgeKind({ pid, threadGroup, isKernelThread, is32Bit }: TargetFacts): Right {
  const subject = 'process';
  if (threadGroup !== pid) {
    const cure = `name the process: ${threadGroup}`;
    return refuse(subject, 'THREAD_ID', `${pid} is a thread of process ${threadGroup}`, cure);
  }
  if (isKernelThread)
    return refuse(subject, 'KERNEL_THREAD', 'it is a kernel thread and has no memory of its own');
  if (is32Bit)
    return refuse(subject, 'UNSUPPORTED_TARGET', 'it is a 32-bit program', 'gcore can dump it, frozen');
  return grant(subject, is32Bit === undefined ? 'a process' : 'a 64-bit process');
}

/** Whether it is alive, and can run calls for us. */
export function judgeState({ state, isHeadless, isFrozen }: TargetFacts): Right {
  const subject = 'state';
  // pthread_exit(3) in main(): the kernel shows the memory of a process by its first thread, which has none any more.
  if (isHeadless) {
    const text = 'its first thread has ended while others go on, and /proc no longer shows their memory';
    return refuse(
      subject,
      'UNSUPPORTED_TARGET',
      text,
      'let main() wait for its threads instead of ending before',
    );
  }
  if (state === 'Z' || state === 'X') {
    return refuse(
      subject,
      'ZOMBIE',
      'it has ended and its memory is gone; only its parent has not asked for it yet',
    );
  }
  if (isFrozen) {
    const cure = 'thaw it: write 0 to the cgroup.freeze of its cgroup';
    return refuse(subject, 'UNSUPPORTED_TARGET', 'its cgroup is frozen, so it can run no call for us', cure);
  }
  if (state === 'D') return grant(subject, 'it waits in the kernel (D); if that lasts, holding it fails');
  return grant(subject, state === 'T' ? 'it is stopped by a signal, and will stay so' : 'it runs');
}

function judgeTracer({ tracer }: TargetFacts): Right {
  if (tracer === undefined) return grant('tracer', 'nobody traces it');
  const cure = `detach process ${tracer.pid}: a process has one tracer at a time`;
  return refuse('tracer', 'ALREADY_TRACED', `process ${tracer.pid} (${tracer.name}) traces it already`, cure);
}

/** The rules of __ptrace_may_access (kernel/ptrace.c), then of the security modules, in that order. */
function judgeAttach(caller: CallerFacts, target: TargetFacts): Right {
  if (target.memOpens) return grant('attach', 'the kernel lets this user attach');
  const missing = missingToAttach(caller, target);
  if (missing !== undefined) return refuse('attach', 'NO_RIGHT', missing.text, missing.cure);
  if (target.memOpens === undefined) return grant('attach', 'nothing speaks against it');
  const text =
    'the kernel refuses to attach, though ids and capabilities allow it: a security module forbids it';
  return refuse(
    'attach',
    'NO_RIGHT',
    text,
    'see the log of SELinux, AppArmor or the module that is in force',
  );
}

function missingToAttach(
  caller: CallerFacts,
  target: TargetFacts,
): { text: string; cure: string } | undefined {
  // A scope of 3 is for everybody, and can't be taken back before the next boot.
  if (caller.ptraceScope === 3)
    return { text: 'kernel.yama.ptrace_scope is 3', cure: 'boot with it at 0, 1 or 2' };
  if (reachesWith(CAP_SYS_PTRACE, caller, target)) return undefined;
  const cure = capabilityCure('CAP_SYS_PTRACE', caller);
  const isSameUser =
    target.uids.every((uid) => uid === caller.uid) && target.gids.every((gid) => gid === caller.gid);
  if (!isSameUser) {
    return {
      text: `it belongs to another user or group (uid ${target.uids[0]}, gid ${target.gids[0]})`,
      cure,
    };
  }
  if (target.isDumpable === false) {
    return { text: 'it is marked as not dumpable (setuid, file capabilities, or prctl)', cure };
  }
  if (target.userNamespace !== undefined && target.userNamespace !== caller.userNamespace) {
    return { text: 'it lives in another user namespace', cure };
  }
  if ((target.permitted & ~caller.permitted) !== 0n)
    return { text: 'it has capabilities that the caller lacks', cure };
  if (caller.ptraceScope === 2) return { text: 'kernel.yama.ptrace_scope is 2', cure };
  if (caller.ptraceScope === 1 && !target.isDescendant) {
    const alternative = `${cure}, or as root: sysctl kernel.yama.ptrace_scope=0`;
    return { text: 'kernel.yama.ptrace_scope is 1 and it is no child of the caller', cure: alternative };
  }
  return undefined;
}

/**
 * Write protection needs a userfaultfd that handles faults of the kernel too: from the system call where the sysctl
 * or the target's own capability allows it (fs/userfaultfd.c, userfaultfd_syscall_allowed), or from the device.
 */
function judgeUserfaultfd(caller: CallerFacts, target: TargetFacts): Right {
  const subject = 'userfaultfd';
  if (caller.userfaultfdDevice === 'opens') return grant(subject, '/dev/userfaultfd opens');
  if (caller.unprivilegedUserfaultfd) return grant(subject, 'vm.unprivileged_userfaultfd is 1');
  if (
    caller.isInitialUserNamespace &&
    target.userNamespace === caller.userNamespace &&
    has(target.effective, CAP_SYS_PTRACE)
  ) {
    return grant(subject, 'the process itself may make one (CAP_SYS_PTRACE)');
  }
  const device =
    caller.userfaultfdDevice === 'absent' ? 'there is no /dev/userfaultfd' : '/dev/userfaultfd does not open';
  const cure =
    caller.userfaultfdDevice === 'absent'
      ? 'as root: sysctl vm.unprivileged_userfaultfd=1 (in a container, pass --device /dev/userfaultfd)'
      : 'run as root, or as root once: setfacl -m u:USER:rw /dev/userfaultfd';
  return refuse(subject, 'NO_RIGHT', `${device}, and vm.unprivileged_userfaultfd is 0`, cure);
}

/**
 * Calls that livecore runs in a filtered process could be refused, or kill it. PTRACE_O_SUSPEND_SECCOMP lifts the
 * filters meanwhile; it takes CAP_SYS_ADMIN in the first user namespace and a caller without filters of its own
 * (kernel/ptrace.c, check_ptrace_options).
 */
function judgeSeccomp(caller: CallerFacts, target: TargetFacts): Right {
  const subject = 'seccomp';
  if (target.seccompMode === 0) return grant(subject, 'it runs without seccomp');
  if (caller.isFiltered) {
    const cure = 'run livecore outside this container, or with --security-opt seccomp=unconfined';
    return refuse(
      subject,
      'NO_RIGHT',
      'it runs under seccomp, and so does livecore, which then cannot suspend that',
      cure,
    );
  }
  if (caller.isInitialUserNamespace && has(caller.effective, CAP_SYS_ADMIN)) {
    return grant(subject, 'its seccomp filters will be suspended for our calls');
  }
  const text = 'it runs under seccomp, which only CAP_SYS_ADMIN of the first user namespace can suspend';
  return refuse(subject, 'NO_RIGHT', text, capabilityCure('CAP_SYS_ADMIN', caller));
}

/** Whether a capability of the caller counts for this target: in its own user namespace and those below. */
function reachesWith(capability: number, caller: CallerFacts, target: TargetFacts): boolean {
  if (!has(caller.effective, capability)) return false;
  return caller.isInitialUserNamespace || target.userNamespace === caller.userNamespace;
}

function has(set: CapabilitySet, capability: number): boolean {
  return ((set >> BigInt(capability)) & 1n) === 1n;
}

function capabilityCure(name: string, caller: CallerFacts): string {
  if (!caller.isInitialUserNamespace) return `run livecore on the host as root: it needs ${name} there`;
  return caller.uid === 0
    ? `give the container ${name} (--cap-add ${name.slice(4)})`
    : `run it with ${name} (sudo)`;
}

function grant(subject: Right['subject'], text: string): Right {
  return { subject, isGranted: true, text };
}

function refuse(subject: Right['subject'], code: ErrorCode, text: string, cure?: string): Right {
  return { subject, isGranted: false, text, code, ...(cure !== undefined && { cure }) };
}
