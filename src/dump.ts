import { randomBytes } from 'node:crypto';
import { closeSync, constants, createReadStream, createWriteStream, openSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { DumpOptions, DumpSummary } from './dump-types.ts';
import { LivecoreError } from './errors.ts';
import { runLoop } from './loop/client.ts';

const DEFAULT_STALL_MS = 250;
const DEFAULT_BUFFER_BYTES = 64 * 1024 * 1024;
const SMALLEST_BUFFER_BYTES = 8 * 1024 * 1024;

/**
 * Writes a core file of a running process as it stands at one instant, while the process goes on.
 *
 * @param pid process id, as this process' pid namespace has it; may be this process itself
 * @returns what was done, once the file is whole, synced and has its name
 * @throws LivecoreError with a stable `code`; the target runs on, and no file is left
 * @example
 * ```ts run root
 * import { dump } from 'livecore';
 *
 * const summary = await dump(Number(process.argv[2]), { output: 'db.core' });
 * console.log(`paused for ${summary.pauseMs} ms`);
 * ```
 */
export async function dump(pid: number, options: DumpOptions = {}): Promise<DumpSummary> {
  const request = {
    pid: checkedPid(pid),
    all: options.all ?? false,
    maxStallMs: options.maxStallMs ?? DEFAULT_STALL_MS,
    bufferBytes: checkedBuffer(options.bufferBytes ?? DEFAULT_BUFFER_BYTES),
    force: options.force ?? false,
    ...(options.maxPauseMs !== undefined && { maxPauseMs: options.maxPauseMs }),
  };
  if (options.outputFd === undefined) {
    const output = resolve(options.output ?? `core.${pid}`);
    return withOwnPeak(await runLoop({ ...request, output }, options));
  }
  using spool = new Spool();
  const summary = await runLoop(request, options, spool.fd);
  await spool.stream(options.outputFd);
  return withOwnPeak(summary);
}

/** The loop's peak and ours: `peakRssBytes` counts all processes of the tool. */
function withOwnPeak(summary: DumpSummary): DumpSummary {
  return { ...summary, peakRssBytes: summary.peakRssBytes + process.resourceUsage().maxRSS * 1024 };
}

/**
 * A nameless file that holds a core until it is streamed. The consumer of a stream may be slow, or the target itself;
 * so the target never waits for it. It takes as much of the temporary directory as the core would.
 */
class Spool implements Disposable {
  readonly fd: number;

  constructor() {
    const path = join(tmpdir(), `livecore-${randomBytes(8).toString('hex')}`);
    const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECT } = constants;
    const flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
    try {
      this.fd = openSync(path, flags | O_DIRECT, 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw spoolError(path, error);
      unlinkSync(path);
      this.fd = openSync(path, flags, 0o600);
    }
    unlinkSync(path);
  }

  async stream(outputFd: number): Promise<void> {
    // A path of its own, since the descriptor was opened for direct writes.
    const source = createReadStream(`/proc/self/fd/${this.fd}`, { highWaterMark: 1024 * 1024 });
    try {
      await pipeline(source, createWriteStream('', { fd: outputFd, autoClose: false }));
    } catch (cause) {
      const { code, errno, message } = cause as NodeJS.ErrnoException;
      const fields = { ...(errno !== undefined && { errno: Math.abs(errno) }) };
      const state = code === 'EPIPE' ? 'its reader has gone' : message;
      const kind = code === 'ENOSPC' ? 'NO_SPACE' : 'OUTPUT';
      throw new LivecoreError(kind, `stream the core to descriptor ${outputFd}: ${state}`, fields, cause);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

function spoolError(path: string, cause: unknown): LivecoreError {
  return new LivecoreError(
    'OUTPUT',
    `make the spool ${path}: ${(cause as Error).message}`,
    {
      path,
      cure: 'set TMPDIR to a directory with room for the core',
    },
    cause,
  );
}

function checkedPid(pid: number): number {
  if (Number.isSafeInteger(pid) && pid > 0 && pid <= 2 ** 22) return pid;
  throw new LivecoreError('USAGE', `dump: ${pid} is no process id`, {
    cure: 'give the number that ps shows',
  });
}

function checkedBuffer(bytes: number): number {
  if (bytes >= SMALLEST_BUFFER_BYTES) return bytes;
  throw new LivecoreError('USAGE', `dump: a buffer of ${bytes} bytes is too small`, {
    cure: 'give 8MiB or more',
  });
}
