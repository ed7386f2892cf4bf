/** A control group in which no further task can be made: for targets at their limit of processes. Needs root. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where a group with a pids controller can be made: cgroup v1's own hierarchy, or v2. */
function pidsRoot(): string | undefined {
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, path, type, options] = line.split(' ');
    if (type === 'cgroup' && options?.split(',').includes('pids')) return path;
    if (type === 'cgroup2' && / pids|^pids/.test(readOrEmpty(`${path}/cgroup.subtree_control`))) return path;
  }
  return undefined;
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Why no such group can be made here, or false. */
export function pidsLimitSkip(): string | false {
  if (process.getuid?.() !== 0) return 'only root can make a control group';
  return pidsRoot() === undefined ? 'no control group hierarchy with the pids controller is mounted' : false;
}

/**
 * Moves a process into a group of its own whose limit is the number of tasks that it has, so that it can make no
 * thread and no child. Dispose of it after the process has ended.
 */
export function limitTasks(pid: number): Disposable & { readonly folder: string } {
  const folder = join(pidsRoot()!, `livecore-test-${pid}`);
  mkdirSync(folder);
  writeFileSync(join(folder, 'cgroup.procs'), String(pid));
  writeFileSync(join(folder, 'pids.max'), readFileSync(join(folder, 'pids.current'), 'utf8').trim());
  return {
    folder,
    [Symbol.dispose]: () => rmdirSync(folder),
  };
}
