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

/**
 * Prepares this process for being waited for: terminal stops ignored, priority raised, sleeps exact, the CPUs kept
 * from deep sleep. All of it ends with the process. What is refused for want of rights is done without.
 */
export function prepareHost(): Disposable {
  loadNative();
  setThreadName('livecore-loop');
  ignoreTerminalStops();
  attempt(() => setTimerSlackNs(1));
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
