/** Control groups whose processes have little memory. Need root. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where a group with a limit of memory can be made, by the version of control groups. */
export function memoryRoot(version: 1 | 2): string | undefined {
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, path, type, options] = line.split(' ');
    if (version === 1 && type === 'cgroup' && options?.split(',').includes('memory')) return path;
    if (version === 2 && type === 'cgroup2' && /\bmemory\b/.test(controllersBelow(path!))) return path;
  }
  return undefined;
}

function controllersBelow(path: string): string {
  return readFileSync(join(path, 'cgroup.subtree_control'), 'utf8');
}

/** A control group of its own for processes that have little memory. */
export class MemoryGroup implements Disposable {
  readonly folder: string;
  readonly #limit: string;

  constructor(name: string) {
    const [first, second] = [memoryRoot(1), memoryRoot(2)];
    this.folder = join((first ?? second)!, `livecore-test-${process.pid}-${name}`);
    this.#limit = first === undefined ? 'memory.max' : 'memory.limit_in_bytes';
    mkdirSync(this.folder);
  }

  add(...pids: number[]): void {
    for (const pid of pids) writeFileSync(join(this.folder, 'cgroup.procs'), String(pid));
  }

  /** what its processes have, in bytes, page tables included */
  get usedBytes(): number {
    const name = this.#limit === 'memory.max' ? 'memory.current' : 'memory.usage_in_bytes';
    return Number(readFileSync(join(this.folder, name), 'utf8'));
  }

  limit(bytes: number): void {
    writeFileSync(join(this.folder, this.#limit), String(bytes));
  }

  /** Who finds no memory waits for it from now on, and is not killed (v1). */
  waitForMemory(): void {
    writeFileSync(join(this.folder, 'memory.oom_control'), '1');
  }

  [Symbol.dispose](): void {
    rmdirSync(this.folder);
  }
}

/** Why no such group can be made here, or false. */
export function noMemoryGroup(): string | false {
  if (process.getuid!() !== 0) return 'needs root';
  return memoryRoot(1) === undefined && memoryRoot(2) === undefined
    ? 'no control group hierarchy with the memory controller is mounted'
    : false;
}
