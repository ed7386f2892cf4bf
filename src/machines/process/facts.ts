import { readFileSync } from 'node:fs';
import { listThreads, readAuxvBytes, readStat, readThreadStat, readThreadStatus } from '../../linux/proc.ts';
import type { ProcessStat } from '../../linux/proc-status.ts';

/** USER_HZ, the unit of times in /proc (time(7)): fixed at 100 on x86-64 */
const TICK_US = 10_000;

/** CPU times of a thread in µs. */
export interface Times {
  readonly userUs: number;
  readonly systemUs: number;
  readonly childrenUserUs: number;
  readonly childrenSystemUs: number;
}

/** What a core says of a process besides memory and registers. Collected live, before anything is protected. */
export interface ProcessFacts {
  readonly info: {
    readonly state: string;
    readonly nice: number;
    readonly flags: bigint;
    readonly uid: number;
    readonly gid: number;
    readonly pid: number;
    readonly ppid: number;
    readonly processGroup: number;
    readonly session: number;
    /** as the process gave it, which need not be UTF-8 */
    readonly name: Uint8Array;
    readonly args: Uint8Array;
  };
  readonly auxv: Uint8Array;
  /** name of a thread, '' for one that was born since */
  threadName(tid: number): string;
  times(tid: number): Times;
}

const NO_TIMES: Times = { userUs: 0, systemUs: 0, childrenUserUs: 0, childrenSystemUs: 0 };

/** Reads the facts. Throws SYSTEM_CALL when the process is gone. */
export function readFacts(pid: number): ProcessFacts {
  const stat = readStat(pid);
  const status = readThreadStatus(pid, pid);
  const threads = new Map<number, ProcessStat>();
  for (const tid of listThreads(pid)) {
    try {
      threads.set(tid, readThreadStat(pid, tid));
    } catch {
      // It ended meanwhile.
    }
  }
  return {
    info: {
      state: stat.state,
      nice: stat.nice,
      flags: BigInt(stat.flags),
      uid: status.userIds[0] ?? 0,
      gid: status.groupIds[0] ?? 0,
      pid,
      ppid: stat.parentId,
      processGroup: stat.processGroup,
      session: stat.session,
      name: readFileSync(`/proc/${pid}/comm`).subarray(0, -1),
      args: readFileSync(`/proc/${pid}/cmdline`),
    },
    auxv: readAuxvBytes(pid),
    threadName: (tid) => threads.get(tid)?.name ?? '',
    times: (tid) => timesOf(threads.get(tid)),
  };
}

function timesOf(stat: ProcessStat | undefined): Times {
  if (stat === undefined) return NO_TIMES;
  return {
    userUs: stat.userTicks * TICK_US,
    systemUs: stat.systemTicks * TICK_US,
    childrenUserUs: stat.childrenUserTicks * TICK_US,
    childrenSystemUs: stat.childrenSystemTicks * TICK_US,
  };
}
