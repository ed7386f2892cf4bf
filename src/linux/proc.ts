/** /proc/PID read once, by kind: for planning a dump and for its report. Everything here throws SYSTEM_CALL. */

import { listProc, readProcBytes, readProcLink, readProcText } from './proc-file.ts';
import { type Mapping, parseMaps } from './proc-maps.ts';
import {
  type NamedLimit,
  type ProcessSize,
  type ProcessStat,
  type ProcessStatus,
  parseAuxv,
  parseFields,
  parseLimits,
  parseSmapsRollup,
  parseStat,
  parseStatm,
  parseStatus,
} from './proc-status.ts';

/** Kinds of namespaces, as in /proc/PID/ns. */
export type NamespaceKind = 'cgroup' | 'ipc' | 'mnt' | 'net' | 'pid' | 'time' | 'user' | 'uts';

/** Mappings of a process. */
export function readMaps(pid: number | 'self'): Mapping[] {
  return parseMaps(readProcBytes(`/proc/${pid}/maps`));
}

/** Status of a process or, as for all these, of a thread: its id works as a pid. */
export function readStatus(pid: number | 'self'): ProcessStatus {
  return parseStatus(readProcText(`/proc/${pid}/status`));
}

/** Parent, group, session, times of a process. */
export function readStat(pid: number | 'self'): ProcessStat {
  return parseStat(readProcText(`/proc/${pid}/stat`));
}

/** Status of one thread of a process. */
export function readThreadStatus(pid: number, tid: number): ProcessStatus {
  return parseStatus(readProcText(`/proc/${pid}/task/${tid}/status`));
}

/** Times of one thread of a process. */
export function readThreadStat(pid: number, tid: number): ProcessStat {
  return parseStat(readProcText(`/proc/${pid}/task/${tid}/stat`));
}

/** Size of a process in pages. */
export function readStatm(pid: number | 'self'): ProcessSize {
  return parseStatm(readProcText(`/proc/${pid}/statm`));
}

/** Rss, Pss, AnonHugePages and so on of a process, in bytes by name. */
export function readSmapsRollup(pid: number | 'self'): Map<string, number> {
  return parseSmapsRollup(readProcText(`/proc/${pid}/smaps_rollup`));
}

/** Limits of a process by the names of the file. */
export function readLimits(pid: number | 'self'): Map<string, NamedLimit> {
  return parseLimits(readProcText(`/proc/${pid}/limits`));
}

/** The auxiliary vector of a process, as the core note holds it; empty for who has no memory. */
export function readAuxvBytes(pid: number | 'self'): Uint8Array {
  return readProcBytes(`/proc/${pid}/auxv`);
}

/** The auxiliary vector: AT_* to value. */
export function readAuxv(pid: number | 'self'): Map<number, bigint> {
  return parseAuxv(readAuxvBytes(pid));
}

/** The command line; what the process wrote over it, as ps does. Empty for kernel threads and zombies. */
export function readCommandLine(pid: number | 'self'): string[] {
  const text = readProcText(`/proc/${pid}/cmdline`);
  if (text === '') return [];
  return (text.endsWith('\0') ? text.slice(0, -1) : text).split('\0');
}

/** Which mappings a core shall hold: bits of coredump_filter (core(5)). */
export function readCoredumpFilter(pid: number | 'self'): number {
  return Number.parseInt(readProcText(`/proc/${pid}/coredump_filter`), 16);
}

/** Ids of the threads. */
export function listThreads(pid: number | 'self'): number[] {
  return listProc(`/proc/${pid}/task`).map(Number);
}

/** Ids of all processes that can be seen. */
export function listProcesses(): number[] {
  return listProc('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Open descriptors. */
export function listDescriptors(pid: number | 'self'): number[] {
  return listProc(`/proc/${pid}/fd`).map(Number);
}

/** What the kernel tells of a descriptor, by name: pos, flags, and more for special files. */
export function readDescriptorInfo(pid: number | 'self', fd: number): Map<string, string> {
  return parseFields(readProcText(`/proc/${pid}/fdinfo/${fd}`));
}

/** Where a descriptor points: a path or `socket:[1]`, `anon_inode:[userfaultfd]`... */
export function readDescriptorLink(pid: number | 'self', fd: number): string {
  return readProcLink(`/proc/${pid}/fd/${fd}`);
}

/** Path of the executable, with " (deleted)" after it where it is. */
export function readExecutable(pid: number | 'self'): string {
  return readProcLink(`/proc/${pid}/exe`);
}

/** Identity of a namespace, such as `pid:[4026531836]`: equal for who shares it. */
export function readNamespace(pid: number | 'self', kind: NamespaceKind): string {
  return readProcLink(`/proc/${pid}/ns/${kind}`);
}

/** Control groups of a process: path by controllers ('' for version 2). */
export function readControlGroups(pid: number | 'self'): Map<string, string> {
  const groups = new Map<string, string>();
  for (const line of readProcText(`/proc/${pid}/cgroup`).split('\n')) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line);
    if (match !== null) groups.set(match[1]!, match[2]!);
  }
  return groups;
}

/** Kernel function that a thread waits in; '0' for none or without the right to know. */
export function readWaitChannel(pid: number, tid: number): string {
  return readProcText(`/proc/${pid}/task/${tid}/wchan`);
}
