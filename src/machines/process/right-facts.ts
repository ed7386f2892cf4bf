/** Reads from /proc what rights.ts decides upon. Looks only; no process is touched by it. */
import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
} from 'node:fs';
import { LivecoreError } from '../../errors.ts';
import type { CallerFacts, TargetFacts } from './rights.ts';

/** Inode of the first user namespace, PROC_USER_INIT_INO (linux/proc_ns.h): the same on every machine. */
const INITIAL_USER_NAMESPACE = 4026531837;

/** PF_KTHREAD (linux/sched.h), in the flags of /proc/PID/stat. */
const KERNEL_THREAD_FLAG = 0x00200000;

/** EI_CLASS of an ELF file (elf(5)), and its value for 32 bits. */
const ELF_CLASS_OFFSET = 4;
const ELF_CLASS_32 = 1;

/** Who runs livecore, and what this machine allows. */
export function readCaller(): CallerFacts {
  const status = readStatus('self') ?? new Map<string, string>();
  const userNamespace = readNamespace('self', 'user') ?? 0;
  return {
    uid: ids(status, 'Uid')[0] ?? 0,
    gid: ids(status, 'Gid')[0] ?? 0,
    effective: capabilities(status, 'CapEff'),
    permitted: capabilities(status, 'CapPrm'),
    userNamespace,
    isInitialUserNamespace: userNamespace === INITIAL_USER_NAMESPACE,
    ptraceScope: Number(readText('/proc/sys/kernel/yama/ptrace_scope') ?? 0),
    unprivilegedUserfaultfd: readText('/proc/sys/vm/unprivileged_userfaultfd')?.trim() === '1',
    userfaultfdDevice: probeDevice('/dev/userfaultfd'),
    isFiltered: Number(status.get('Seccomp') ?? 0) !== 0,
  };
}

/** Throws NO_SUCH_PROCESS, or NO_RIGHT where the process is hidden from the caller. */
export function readTarget(pid: number): TargetFacts {
  const status = readStatus(pid);
  const stat = readText(`/proc/${pid}/stat`);
  if (status === undefined || stat === undefined) throw absence(pid);
  // The name stands in parentheses and may hold any byte, so the fields are counted from its end.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const tracerPid = Number(status.get('TracerPid') ?? 0);
  return {
    pid,
    threadGroup: Number(status.get('Tgid') ?? pid),
    state: fields[0] ?? '?',
    isKernelThread: (Number(fields[6]) & KERNEL_THREAD_FLAG) !== 0,
    uids: ids(status, 'Uid').slice(0, 3),
    gids: ids(status, 'Gid').slice(0, 3),
    permitted: capabilities(status, 'CapPrm'),
    effective: capabilities(status, 'CapEff'),
    userNamespace: readNamespace(pid, 'user'),
    isDumpable: readDumpable(pid, ids(status, 'Uid')[1]),
    isDescendant: isDescendantOf(process.pid, pid),
    seccompMode: Number(status.get('Seccomp') ?? 0),
    tracer: tracerPid === 0 ? undefined : { pid: tracerPid, name: readStatus(tracerPid)?.get('Name') ?? '?' },
    is32Bit: readIs32Bit(pid),
    isFrozen: readIsFrozen(pid),
    memOpens: opens(`/proc/${pid}/mem`, constants.O_RDONLY),
  };
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

/** /proc/PID/status by the name of the line. */
function readStatus(pid: number | 'self'): Map<string, string> | undefined {
  const text = readText(`/proc/${pid}/status`);
  if (text === undefined) return undefined;
  return new Map(
    text
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  );
}

function ids(status: ReadonlyMap<string, string>, name: string): number[] {
  return (status.get(name) ?? '').split(/\s+/).filter(Boolean).map(Number);
}

function capabilities(status: ReadonlyMap<string, string>, name: string): bigint {
  return BigInt(`0x${status.get(name) ?? '0'}`);
}

function readNamespace(pid: number | 'self', kind: string): number | undefined {
  try {
    return Number(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/${kind}`))?.[0]);
  } catch {
    return undefined;
  }
}

/** The entries of a process that is not dumpable belong to root (proc(5), /proc/PID); of root's own that tells nothing. */
function readDumpable(pid: number, effectiveUid: number | undefined): boolean | undefined {
  if (effectiveUid === undefined || effectiveUid === 0) return undefined;
  try {
    return statSync(`/proc/${pid}/stat`).uid === effectiveUid;
  } catch {
    return undefined;
  }
}

function isDescendantOf(ancestor: number, pid: number): boolean {
  for (let current = pid; current > 1; ) {
    current = Number(readStatus(current)?.get('PPid') ?? 0);
    if (current === ancestor) return true;
  }
  return false;
}

function readIs32Bit(pid: number): boolean | undefined {
  try {
    const fd = openSync(`/proc/${pid}/exe`, 'r');
    try {
      const byte = new Uint8Array(1);
      readSync(fd, byte, 0, 1, ELF_CLASS_OFFSET);
      return byte[0] === ELF_CLASS_32;
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

/** cgroup.events says "frozen 1" for a cgroup that is frozen itself or by one above it (cgroup v2). */
function readIsFrozen(pid: number): boolean {
  const path = /^0::(.*)$/m.exec(readText(`/proc/${pid}/cgroup`) ?? '')?.[1];
  if (path === undefined) return false;
  return /^frozen 1$/m.test(readText(`/sys/fs/cgroup${path}/cgroup.events`) ?? '');
}

function probeDevice(path: string): CallerFacts['userfaultfdDevice'] {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'absent' : 'denied';
  }
  return opens(path, constants.O_RDWR) ? 'opens' : 'denied';
}

/** access(2) knows nothing of device cgroups or of ptrace checks, so it is opened. */
function opens(path: string, flags: number): boolean {
  try {
    closeSync(openSync(path, flags));
    return true;
  } catch {
    return false;
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
