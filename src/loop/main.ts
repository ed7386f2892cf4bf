/**
 * The loop process: takes one core, with nothing else in the way. Started by client.ts with V8 set up for it; a process
 * of its own so that nothing of a host program may reach a target. It talks to its parent in messages, and needs
 * it for nothing: a parent that is stopped, gone or itself the target changes nothing but where messages go.
 */
import type { DumpSummary } from '../dump-types.ts';
import { DEFAULT_POLICY, NS_PER_MS, type Policy } from '../engine/policy.ts';
import { LivecoreError } from '../errors.ts';
import { monotonicNs } from '../linux/clock.ts';
import { ERRNO } from '../linux/errno.ts';
import { check } from '../linux/failure.ts';
import { requireKernel } from '../linux/features.ts';
import { occupiedBytes } from '../linux/file.ts';
import { openPidfd, ProcessHandle, sendSignal } from '../linux/pidfd.ts';
import { sleepNs } from '../linux/poll.ts';
import { isGone } from '../linux/proc-file.ts';
import { Watchdog } from '../linux/watchdog.ts';
import { readCaller, readTarget } from '../machines/process/right-facts.ts';
import { judgeRights, judgeState, requireRights } from '../machines/process/rights.ts';
import { Capture, readTargetMemory, readTargetMemoryIfAlive } from './capture.ts';
import { FileStorage, openStorageQueue } from './file-storage.ts';
import { hastenHost, prepareHost } from './host.ts';
import { OutputFile } from './output-file.ts';
import { ParentLink } from './parent-link.ts';
import { COMMAND_FD, type LoopRequest, PARENT_FD, SPOOL_FD } from './protocol.ts';
import { rehearse } from './rehearsal.ts';
import { planOf, summaryOf } from './report.ts';
import { SpoolRoom } from './spool-room.ts';
import { Ticker } from './ticker.ts';

/** Closing a userfaultfd stops writers for up to 35 ms a GiB: the guards leave time for it. */
const GUARD_SHARE = 0.4;
const WATCHDOG_SHARE = 0.6;
/** While nobody waits for us: longer than anything takes, the page tables of a terabyte walked. */
const IDLE_NS = 120_000 * NS_PER_MS;
const FAREWELL_NS = 2_000 * NS_PER_MS;
const FORCED_PAUSE_MS = 60_000;

const link = new ParentLink(PARENT_FD, COMMAND_FD);

function run(request: LoopRequest): number {
  // Before the first look: what is looked at by the number is vouched for by it (see ProcessHandle).
  const pidfd = openPidfd(request.pid);
  // Given back when the parent knows how it ended: files may wait for a file system that hangs.
  using files = new DisposableStack();
  try {
    link.send(dump(request, pidfd, files));
    return 0;
  } catch (error) {
    link.send({ type: 'error', ...describe(goneIfEnded(error, request.pid, pidfd)) });
    return 1;
  } finally {
    // A parent that does not read any more is not waited for.
    const deadline = monotonicNs() + FAREWELL_NS;
    for (link.flush(); !link.drained && monotonicNs() < deadline; link.flush()) sleepNs(NS_PER_MS);
  }
}

function dump(request: LoopRequest, pidfd: number, files: DisposableStack): DumpSummary {
  const begin = monotonicNs();
  const { pid, output } = request;
  using resources = new DisposableStack();
  prepareHost();
  refuseOwnProcess(pid);
  const rights = judgeRights(readCaller(), readTarget(pid));
  // A kernel that lacks something has no /dev/userfaultfd perhaps, and no right would bring it.
  requireRights(
    rights.filter(({ subject }) => subject !== 'userfaultfd'),
    pid,
  );
  requireKernel(pid);
  requireRights(rights, pid);
  const target = files.use(new ProcessHandle(pid, pidfd));
  const file = output === undefined ? undefined : files.use(new OutputFile(output));
  const fd = file?.fd ?? SPOOL_FD;
  const watchdog = resources.use(new Watchdog());
  watchdog.feed(IDLE_NS);
  const policy = policyOf(request);
  const queue = files.use(openStorageQueue(fd));
  rehearse(policy, fd, queue);
  // Given back when all of it is written: a dump that fails needs the file no more.
  queue.keep(fd);
  const room = request.stream && new SpoolRoom(request.stream);
  const storage = files.use(new FileStorage(fd, queue, request.bufferBytes, room));
  const before = readTargetMemory(pid);
  resources.use(hastenHost());
  const stream = room && { room, storage };
  const guardNs = request.maxStallMs * WATCHDOG_SHARE * NS_PER_MS;
  const watch = new Ticker(link, watchdog, stream);
  // Once memory is registered, writers may wait at any moment, also between two stops.
  let restNs = IDLE_NS;
  const capture = new Capture({
    process: target,
    all: request.all,
    policy,
    fd,
    storage,
    tick: (running) => {
      restNs = running.machine.mayKeepWaiting ? guardNs : IDLE_NS;
      watch.tick(running, restNs);
    },
    stopping: (begins) => watchdog.feed(begins ? guardNs : restNs),
    // A disk may take as long as it likes.
    released: () => watchdog.feed(0),
    planned: (regions, pauseNs) => link.send(planOf(pid, regions, pauseNs)),
  });
  try {
    capture.run();
  } finally {
    watchdog.feed(IDLE_NS);
    capture[Symbol.dispose]();
    watchdog.feed(0);
  }
  const after = readTargetMemoryIfAlive(target);
  file?.publish();
  // Nothing is sparse in a stream.
  const fileBytes = room ? capture.sizeBytes : check(occupiedBytes(fd), 'look at the core', 'statx');
  return summaryOf(request, capture, { before, after, fileBytes, totalNs: monotonicNs() - begin });
}

function policyOf(request: LoopRequest): Policy {
  const pauseLimitMs = request.maxPauseMs ?? (request.force ? FORCED_PAUSE_MS : undefined);
  return {
    ...DEFAULT_POLICY,
    ...(pauseLimitMs !== undefined && { pauseLimitNs: pauseLimitMs * NS_PER_MS }),
    stallLimitNs: request.maxStallMs * GUARD_SHARE * NS_PER_MS,
  };
}

function refuseOwnProcess(pid: number): void {
  if (pid !== process.pid) return;
  const text = `dump process ${pid}: that is the process of livecore that would dump it`;
  throw new LivecoreError('OWN_PROCESS', text, { pid, cure: 'name another process' });
}

/**
 * A process can end at any moment; whatever call meets that first, it is the same to the user. It may be there still, for
 * its parent, or as a first thread that has left the others alone.
 */
function goneIfEnded(error: unknown, pid: number, pidfd: number): unknown {
  if (!isGone(error)) return error;
  const ended = new LivecoreError(
    'TARGET_GONE',
    `process ${pid} ended while it was being dumped`,
    { pid },
    error,
  );
  // By now its number may be another's.
  if (pidfd >= 0 && sendSignal(pidfd, 0) === -ERRNO.ESRCH) return ended;
  try {
    const state = judgeState(readTarget(pid));
    requireRights([state], pid);
    // Who runs, and whose memory is gone: what we hold is that of the program before (ESRCH of pagemap and userfaultfd).
    if (!(error instanceof LivecoreError) || error.errno !== ERRNO.ESRCH) return error;
    const text = `process ${pid} executed another program while it was being dumped`;
    return new LivecoreError('TARGET_GONE', text, { pid, cure: 'dump it again' }, error);
  } catch (refusal) {
    if (refusal instanceof LivecoreError && refusal.code === 'UNSUPPORTED_TARGET') return refusal;
  }
  return ended;
}

function describe(error: unknown): { code: LivecoreError['code']; message: string } {
  if (!(error instanceof LivecoreError))
    return { code: 'INVARIANT', message: `dump given up: ${String(error)}` };
  const { address, ...plain } = error.toJSON();
  void address;
  return plain;
}

process.exitCode = run(JSON.parse(process.argv[2] ?? '{}') as LoopRequest);
