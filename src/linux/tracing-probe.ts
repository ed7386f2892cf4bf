/** What may be done to a traced process, tried on a child that is killed before it runs a line of its own. */

import { spawn } from 'node:child_process';
import { PTRACE_O_SUSPEND_SECCOMP, SIGKILL } from './abi.ts';
import { ERRNO } from './errno.ts';
import { rseqConfiguration, sudConfig } from './layouts.ts';
import { scratch } from './memory.ts';
import {
  detach,
  getRseqConfiguration,
  getSyscallUserDispatch,
  interrupt,
  seize,
  setOptions,
  WaitStatus,
} from './ptrace.ts';

/** Results of the calls: 0 or more, or a negative errno; -ECANCELED for what could not be tried. */
export interface TracingProbe {
  seize: number;
  rseq: number;
  suspendSeccomp: number;
  userDispatch: number;
}

/** Starts this same executable, traces it, asks, and kills it. */
export function probeTracing(): TracingProbe {
  const untried = -ERRNO.ECANCELED;
  const probe: TracingProbe = {
    seize: untried,
    rseq: untried,
    suspendSeccomp: untried,
    userDispatch: untried,
  };
  // it has to be there still when we look at it, however late a busy machine lets us
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'], { stdio: 'ignore' });
  // an executable that cannot be started is reported by this event and has no pid
  child.on('error', () => {});
  child.unref();
  const pid = child.pid;
  if (pid === undefined) return probe;
  probe.seize = seize(pid, 0);
  if (probe.seize >= 0) {
    const status = new WaitStatus();
    const stopped = interrupt(pid) === 0 && status.wait(pid, 0) === pid && status.stopped;
    if (stopped) {
      const memory = scratch(Math.max(rseqConfiguration.sizeBytes, sudConfig.sizeBytes));
      probe.rseq = getRseqConfiguration(pid, memory.address);
      probe.suspendSeccomp = setOptions(pid, PTRACE_O_SUSPEND_SECCOMP);
      probe.userDispatch = getSyscallUserDispatch(pid, memory.address);
      // killed through the stop, so that it never runs on
      detach(pid, SIGKILL);
    }
  }
  child.kill('SIGKILL');
  return probe;
}
