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

function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
