import { resolve } from 'node:path';
import type { DumpOptions, DumpSummary } from './dump-types.ts';
import { LivecoreError } from './errors.ts';
import { runLoop } from './loop/client.ts';
import { cancelled, type LoopRequest, type StreamLimits } from './loop/protocol.ts';
import { Spool } from './loop/spool.ts';
import { Streamer } from './loop/streamer.ts';

const DEFAULT_STALL_MS = 250;
const DEFAULT_BUFFER_BYTES = 64 * 1024 * 1024;
const SMALLEST_BUFFER_BYTES = 8 * 1024 * 1024;
const DEFAULT_SPOOL_BYTES = 1024 * 1024 * 1024;
const SMALLEST_SPOOL_BYTES = 16 * 1024 * 1024;
const DEFAULT_READER_MS = 60_000;

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
  const limits = {
    spoolBytes: checkedSpool(options.spoolBytes ?? DEFAULT_SPOOL_BYTES),
    readerTimeoutMs: options.readerTimeoutMs ?? DEFAULT_READER_MS,
  };
  return withOwnPeak(await stream({ ...request, stream: limits }, options, options.outputFd));
}

/** Streams the core while the loop writes it. What ends the one ends the other; what came first is the reason. */
async function stream(
  request: LoopRequest & { readonly stream: StreamLimits },
  options: DumpOptions,
  outputFd: number,
): Promise<DumpSummary> {
  const begin = performance.now();
  using spool = new Spool();
  let tellTaken: (offset: number) => void = () => {};
  using streamer = new Streamer(spool, {
    outputFd,
    readerTimeoutMs: request.stream.readerTimeoutMs,
    taken: (offset) => tellTaken(offset),
  });
  const failed = new AbortController();
  const streaming = streamer.run();
  streaming.catch((error: unknown) => failed.abort(error));
  const cancel = (): void => streamer.stop(cancelled());
  options.signal?.addEventListener('abort', cancel, { once: true });
  const signal = AbortSignal.any([failed.signal, ...(options.signal ? [options.signal] : [])]);
  try {
    const summary = await runLoop(
      request,
      { ...options, signal },
      {
        fd: spool.fd,
        written: (message) => streamer.advance(message),
        attach: (taken) => {
          tellTaken = taken;
        },
      },
    );
    streamer.finish();
    await streaming;
    return { ...summary, totalMs: Math.max(summary.totalMs, performance.now() - begin) };
  } catch (error) {
    streamer.stop(error as Error);
    // Rejects with what it failed with itself, if it was the first.
    await streaming;
    throw error;
  } finally {
    options.signal?.removeEventListener('abort', cancel);
  }
}

/** The loop's peak and ours: `peakRssBytes` counts all processes of the tool. */
function withOwnPeak(summary: DumpSummary): DumpSummary {
  return { ...summary, peakRssBytes: summary.peakRssBytes + process.resourceUsage().maxRSS * 1024 };
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

function checkedSpool(bytes: number): number {
  if (bytes >= SMALLEST_SPOOL_BYTES) return bytes;
  throw new LivecoreError('USAGE', `dump: a spool of ${bytes} bytes is too small`, {
    cure: 'give 16MiB or more',
  });
}
