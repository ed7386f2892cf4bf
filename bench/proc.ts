/** What /proc tells beside a measurement: time stolen by the host, time waited for a CPU, memory, page cache. */
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ, the unit of /proc/stat, is 100 on x86 */
const TICK_MS = 10;

/** ms that the host took from all CPUs of this machine: the eighth number of the first line (proc_stat(5)) */
export function stolenMs(): number {
  const [, ...ticks] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.trim().split(/\s+/);
  return Number(ticks[7] ?? 0) * TICK_MS;
}

/** ms that all threads of a process were runnable and had no CPU (Documentation/scheduler/sched-stats.rst) */
export function waitedForCpuMs(pid: number): number {
  let ns = 0;
  for (const tid of readdirSync(`/proc/${pid}/task`))
    ns += Number(read(`/proc/${pid}/task/${tid}/schedstat`).split(' ')[1] ?? 0);
  return ns / 1e6;
}

/** page faults of a process that needed no I/O: after a fork, each copied page is one (field 10 of proc_pid_stat(5)) */
export function minorFaults(pid: number): number {
  const stat = read(`/proc/${pid}/stat`);
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[7] ?? 0);
}

/** bytes of files in the page cache */
export function cachedBytes(): number {
  return kib(readFileSync('/proc/meminfo', 'utf8'), 'Cached');
}

/** Proportional set size in bytes: pages shared by n processes count for an n-th. */
export function pssBytes(pid: number): number {
  return kib(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'), 'Pss');
}

/** bytes of page tables */
export function pageTableBytes(pid: number): number {
  return kib(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmPTE');
}

/** The peaks of the resident memory of a process and of all below it. What has ended meanwhile is left out. */
export function peaksOfTree(pid: number, peaks: Map<number, number>): void {
  const peak = kib(read(`/proc/${pid}/status`), 'VmHWM');
  peaks.set(pid, Math.max(peak, peaks.get(pid) ?? 0));
  for (const child of read(`/proc/${pid}/task/${pid}/children`).trim().split(' '))
    if (child !== '') peaksOfTree(Number(child), peaks);
}

function kib(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0) * 1024;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
