/** Reads from /proc what rights.ts decides upon. Looks only; no process is touched by it. */
import { accessSync, closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { LivecoreError } from '../../errors.ts';
import {
  listThreads,
  readControlGroups,
  readNamespace,
  readStat,
  readStatus,
  readThreadStat,
  readThreadStatus,
} from '../../linux/proc.ts';
import { isGone, readProcText } from '../../linux/proc-file.ts';
import type { CallerFacts, TargetFacts } from './rights.ts';

/** The first user namespace: PROC_USER_INIT_INO (linux/proc_ns.h), the same on every machine. */
const INITIAL_USER_NAMESPACE = 'user:[4026531837]';

/** PF_KTHREAD (linux/sched.h), in the flags of /proc/PID/stat. */
const KERNEL_THREAD_FLAG = 0x00200000;

/** PF_EXITING (linux/sched.h), in the flags of a thread's stat. */
const EXITING_FLAG = 0x00000004;

/** SIGKILL in SigPnd: what every thread gets when the process ends (kernel/signal.c, zap_other_threads). */
const SIGKILL_PENDING = 1n << 8n;

/** EI_CLASS of an ELF file (elf(5)), and its value for 32 bits. */
const ELF_CLASS_OFFSET = 4;
const ELF_CLASS_32 = 1;

/** Who runs livecore, and what this machine allows. */
export function readCaller(): CallerFacts {
  const status = readStatus('self');
  const userNamespace = readNamespace('self', 'user');
  return {
    uid: status.userIds[0]!,
    gid: status.groupIds[0]!,
    effective: status.effectiveCapabilities,
    permitted: status.permittedCapabilities,
    userNamespace,
    isInitialUserNamespace: userNamespace === INITIAL_USER_NAMESPACE,
    ptraceScope: Number(orUndefined(() => readProcText('/proc/sys/kernel/yama/ptrace_scope')) ?? 0),
    unprivilegedUserfaultfd:
      orUndefined(() => readProcText('/proc/sys/vm/unprivileged_userfaultfd'))?.trim() === '1',
    userfaultfdDevice: probeDevice('/dev/userfaultfd'),
    isFiltered: (status.seccomp ?? 0) !== 0,
  };
}

/** Throws NO_SUCH_PROCESS, or NO_RIGHT where the process is hidden from the caller. */
export function readTarget(pid: number): TargetFacts {
  try {
    const status = readStatus(pid);
    return {
      pid,
      threadGroup: status.threadGroupId,
      state: status.state,
      isHeadless: status.state === 'Z' && listThreads(pid).some((tid) => tid !== pid && goesOn(pid, tid)),
      isKernelThread: (readStat(pid).flags & KERNEL_THREAD_FLAG) !== 0,
      uids: status.userIds.slice(0, 3),
      gids: status.groupIds.slice(0, 3),
      permitted: status.permittedCapabilities,
      effective: status.effectiveCapabilities,
      userNamespace: orUndefined(() => readNamespace(pid, 'user')),
      isDumpable: orUndefined(() => readDumpable(pid, status.userIds[1]!)),
      isDescendant: isDescendantOf(process.pid, pid),
      seccompMode: status.seccomp ?? 0,
      tracer: tracerOf(status.tracerId),
      is32Bit: orUndefined(() => readIs32Bit(pid)),
      isFrozen: orUndefined(() => readIsFrozen(pid)) ?? false,
      // opening asks for the right to attach (fs/proc/base.c, proc_mem_open), and does nothing else
      memOpens: opens(`/proc/${pid}/mem`, constants.O_RDONLY),
    };
  } catch (error) {
    throw isGone(error) ? absence(pid) : error;
  }
}

function absence(pid: number): LivecoreError {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') {
      const cure = 'ps -e lists them; in a container the numbers are its own';
      return new LivecoreError('NO_SUCH_PROCESS', `dump process ${pid}: there is none`, { pid, cure });
    }
  }
  const text = `dump process ${pid}: /proc hides it (mounted with hidepid)`;
  return new LivecoreError('NO_RIGHT', text, { pid, cure: 'run livecore as root or as its user' });
}

/** Whether a thread is not about to end: the others of a process that was killed are there for some time still. */
function goesOn(pid: number, tid: number): boolean {
  const pending = orUndefined(() => readThreadStatus(pid, tid).pendingSignals) ?? SIGKILL_PENDING;
  const flags = orUndefined(() => readThreadStat(pid, tid).flags) ?? EXITING_FLAG;
  return (pending & SIGKILL_PENDING) === 0n && (flags & EXITING_FLAG) === 0;
}

function tracerOf(pid: number): TargetFacts['tracer'] {
  if (pid === 0) return undefined;
  return { pid, name: orUndefined(() => readStatus(pid).name) ?? '?' };
}

/** The entries of a process that is not dumpable belong to root (proc(5), /proc/PID); of root's own that tells nothing. */
function readDumpable(pid: number, effectiveUid: number): boolean | undefined {
  return effectiveUid === 0 ? undefined : statSync(`/proc/${pid}/stat`).uid === effectiveUid;
}

function isDescendantOf(ancestor: number, pid: number): boolean {
  for (let current = pid; current > 1; ) {
    current = orUndefined(() => readStatus(current).parentId) ?? 0;
    if (current === ancestor) return true;
  }
  return false;
}

function readIs32Bit(pid: number): boolean {
  const fd = openSync(`/proc/${pid}/exe`, 'r');
  try {
    const byte = new Uint8Array(1);
    readSync(fd, byte, 0, 1, ELF_CLASS_OFFSET);
    return byte[0] === ELF_CLASS_32;
  } finally {
    closeSync(fd);
  }
}

/** cgroup.events says "frozen 1" for a cgroup that is frozen itself or by one above it (cgroup v2). */
function readIsFrozen(pid: number): boolean {
  const path = readControlGroups(pid).get('');
  return path !== undefined && /^frozen 1$/m.test(readProcText(`/sys/fs/cgroup${path}/cgroup.events`));
}

function probeDevice(path: string): CallerFacts['userfaultfdDevice'] {
  try {
    accessSync(path, constants.F_OK);
  } catch {
    return 'absent';
  }
  // access(2) knows nothing of device cgroups
  return opens(path, constants.O_RDWR) ? 'opens' : 'denied';
}

function opens(path: string, flags: number): boolean {
  try {
    closeSync(openSync(path, flags));
    return true;
  } catch {
    return false;
  }
}

/** What the caller may not see, or is gone meanwhile, is not known. */
function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
