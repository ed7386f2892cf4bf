/** Tasks of a target, as /proc shows them. */
import { readdirSync } from 'node:fs';
import { readStatus, readThreadStat } from '../../linux/proc.ts';

/** PF_IO_WORKER, PF_KTHREAD of the kernel's sched.h: no tracer may have these, and the former write only for others */
const PF_UNTRACEABLE = 0x10 | 0x200000;

/** Whether a task that can't be traced could write: not when it is a zombie, or a worker of io_uring. */
export function canWrite(pid: number, tid: number): boolean {
  try {
    const { state, flags } = readThreadStat(pid, tid);
    return state !== 'Z' && state !== 'X' && (flags & PF_UNTRACEABLE) === 0;
  } catch {
    return false;
  }
}

/** Thread ids of a process; empty when it is gone. */
export function taskIds(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return [];
  }
}

/** Whether a task is traced by us: the kernel attaches for us who is born while its parent is traced. */
export function isOurs(tid: number): boolean {
  try {
    return readStatus(tid).tracerId === process.pid;
  } catch {
    return false;
  }
}
