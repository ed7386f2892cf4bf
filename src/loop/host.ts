import { loadNative } from '../linux/native.ts';
import { CpuLatency, ignoreTerminalStops, lockMemory, setPriority, setThreadName } from '../linux/session.ts';

const NICE = -20;

/**
 * Prepares this process for being waited for: memory locked, terminal stops ignored, priority raised, the CPUs kept
 * from deep sleep. The last two are given back by disposal, and by the kernel when we die. What is refused for
 * want of rights is done without.
 */
export function prepareHost(): Disposable {
  loadNative();
  setThreadName('livecore-loop');
  ignoreTerminalStops();
  attempt(lockMemory);
  attempt(() => setPriority(NICE));
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
