import { loadNative } from '../linux/native.ts';
import {
  CpuLatency,
  ignoreTerminalStops,
  lockMemory,
  setPriority,
  setSessionPriority,
  setSlice,
  setThreadName,
  setTimerSlackNs,
  unlockMemory,
} from '../linux/session.ts';

const NICE = -20;
/** --min-semi-space-size of client.ts */
const YOUNG_BYTES = 32 * 1024 * 1024;
const PIECE_WORDS = 10_000;
/** the shortest that the kernel takes: who waits for us does not wait for another's slice as well */
const SLICE_NS = 100_000;

/**
 * Keeps this process' memory from being swapped, until disposed of. Only while writers may wait: V8 gives memory
 * back with madvise(DONTNEED), which fails for locked memory, and then ends the process (seen at its exit).
 */
export function memoryLock(): Disposable {
  attempt(lockMemory);
  return { [Symbol.dispose]: () => attempt(unlockMemory) };
}

/** Prepares this process for its work: native code loaded, terminal stops ignored, sleeps exact. */
export function prepareHost(): void {
  loadNative();
  setThreadName('livecore-loop');
  ignoreTerminalStops();
  attempt(() => setTimerSlackNs(1));
}

/**
 * From now on this process may be waited for: its priority is raised, the CPUs are kept from deep sleep, and no garbage is
 * left whose collection could come in between. All of it ends with the process. What is refused for want of rights is
 * done without. Not before: until somebody waits, the CPU is the target's as much as ours.
 */
export function hastenHost(): Disposable {
  // Mapped memory counts as V8's own: past 64 MiB more of it than at the last collection, the next begins (10 ms).
  globalThis.gc?.();
  touchYoungGeneration();
  attempt(() => setPriority(NICE));
  attempt(() => setSlice(NICE, SLICE_NS));
  attempt(() => setSessionPriority(NICE));
  const latency = attempt(() => new CpuLatency());
  return {
    [Symbol.dispose]: () => {
      latency?.[Symbol.dispose]();
    },
  };
}

/** Collects the young generation, 0.3 ms: now, and so not soon. */
export function collectYoung(): void {
  globalThis.gc?.({ type: 'minor' });
}

/** Both halves of the young generation, so that no page of them is there for the first time while a writer waits. */
function touchYoungGeneration(): void {
  for (let touched = 0; touched < 2 * YOUNG_BYTES; touched += PIECE_WORDS * 8)
    new Array(PIECE_WORDS).fill(0.5);
}

function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
