/**
 * Everything that /proc shows of a process, before and after: whatever a dump leaves behind, loses or changes is
 * a difference.
 *
 * @example
 * const before = takeSnapshot(pid);
 * // ... dump ...
 * assert.deepEqual(differences(before, takeSnapshot(pid)), []);
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** One line for each thing that was looked at, by a readable name ("fd 3", "thread 71 SigBlk"). */
export interface Snapshot {
  readonly facts: ReadonlyMap<string, string>;
  /** memory figures in KiB, which may be compared with a tolerance ("Pss", "VmPTE") */
  readonly kib: ReadonlyMap<string, number>;
}

export interface Allowed {
  /** differences whose line matches are left out: the target itself makes them */
  readonly lines?: readonly RegExp[];
  /** how much a memory figure may differ; 0 for those not named */
  readonly kib?: Readonly<Record<string, number>>;
}

/** What of /proc/PID/status is of the whole process; the thread's part is in THREAD_STATUS. */
const PROCESS_STATUS =
  /^(TracerPid|Tgid|PPid|Ngid|Uid|Gid|Groups|Umask|Kthread|NSpid|NSpgid|NSsid|FDSize|ShdPnd|CoreDumping|THP_enabled|untag_mask)$/;
const THREAD_STATUS =
  /^(Name|SigPnd|SigBlk|SigIgn|SigCgt|Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp|Seccomp_filters|Speculation.*|Cpus_allowed_list|Mems_allowed_list)$/;
const STATUS_KIB = /^Vm(Size|Lck|Pin|PTE|Swap|Data|Stk|Exe|Lib)$/;

/** Figures that other processes change by mapping or leaving the same files: in `kib`, but never a difference. */
const SHARED_WITH_OTHERS = /^(Pss|Pss_Dirty|Pss_File|Shared_Clean|Private_Clean|Referenced)$/;

/** Looks at a process. What ends meanwhile (a thread, a descriptor) is left out, the process itself must be there. */
export function takeSnapshot(pid: number): Snapshot {
  const facts = new Map<string, string>();
  const kib = new Map<string, number>();
  const root = `/proc/${pid}`;
  const status = colonFields(readFileSync(`${root}/status`, 'utf8'));
  for (const [name, value] of status) {
    if (PROCESS_STATUS.test(name)) facts.set(name, value);
    if (STATUS_KIB.test(name)) kib.set(name, Number.parseInt(value, 10));
  }
  facts.set('State', activity(status.get('State')!));
  for (const name of [
    'comm',
    'cmdline',
    'oom_score_adj',
    'coredump_filter',
    'personality',
    'cgroup',
    'timers',
  ]) {
    setText(facts, name, `${root}/${name}`);
  }
  for (const name of ['exe', 'cwd', 'root']) setLink(facts, name, `${root}/${name}`);
  for (const name of names(`${root}/ns`)) setLink(facts, `ns ${name}`, `${root}/ns/${name}`);
  for (const line of read(`${root}/limits`).split('\n').slice(1)) {
    const [, limit, values] = /^(Max .*?)\s{2,}(.*)$/.exec(line) ?? [];
    if (limit !== undefined) facts.set(limit, values!.replace(/\s+/g, ' ').trim());
  }
  addDescriptors(facts, root);
  addMappings(facts, kib, root);
  addThreads(facts, root);
  addLocks(facts, pid);
  return { facts, kib };
}

/** What differs, one readable line each; empty when all is as it was. */
export function differences(before: Snapshot, after: Snapshot, allowed: Allowed = {}): string[] {
  const lines: string[] = [];
  for (const [name, value] of before.facts) {
    const now = after.facts.get(name);
    if (now === undefined) lines.push(`${name}: gone, was ${value}`);
    else if (now !== value) lines.push(`${name}: ${value} -> ${now}`);
  }
  for (const [name, value] of after.facts) {
    if (!before.facts.has(name)) lines.push(`${name}: new, ${value}`);
  }
  for (const [name, value] of before.kib) {
    if (SHARED_WITH_OTHERS.test(name)) continue;
    const now = after.kib.get(name) ?? 0;
    if (Math.abs(now - value) > (allowed.kib?.[name] ?? 0)) lines.push(`${name}: ${value} KiB -> ${now} KiB`);
  }
  return lines.filter((line) => !allowed.lines?.some((pattern) => pattern.test(line)));
}

export interface Watch extends AsyncDisposable {
  /** ends the watch; returns all that was seen, the first before this watch was returned */
  stop(): Promise<Snapshot[]>;
}

/** Snapshots again and again (10 times a second by default) until stopped or the process ends. */
export function startWatch(pid: number, everyMs = 100): Watch {
  const seen = [takeSnapshot(pid)];
  const end = new AbortController();
  const run = async (): Promise<void> => {
    while (!end.signal.aborted) {
      await sleep(everyMs, undefined, { signal: end.signal }).catch(() => {});
      try {
        seen.push(takeSnapshot(pid));
      } catch {
        return; // the process has ended
      }
    }
  };
  const running = run();
  const stop = async (): Promise<Snapshot[]> => {
    end.abort();
    await running;
    return seen;
  };
  return {
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

/** What a dump does to its target while it lasts, and undoes. */
const MEANWHILE: readonly RegExp[] = [
  /^State: going on -> t \(tracing stop\)$/,
  /^thread \d+ state: going on -> t \(tracing stop\)$/,
  /^TracerPid: 0 -> \d+$/,
  /^thread \d+ SigBlk: [0-9a-f]{16} -> f{11}bfeff$/,
  // The helper of an injection, which lives for a moment; between two looks a thread may be missed.
  /^thread \d+ .*: (new|gone)/,
  // um: registered for missing pages, for the moment in which it is let go.
  /^map .* u[mw][ \]]/,
  /^(VmPTE|Referenced|Private_\w+|Shared_\w+|Pss\w*): /,
];

/**
 * Does something to a process that is watched 10 times a second: before and after it must be the same, and meanwhile nearly.
 *
 * @param own differences that the process makes by itself
 */
export async function watched<T>(pid: number, own: readonly RegExp[], act: () => Promise<T>): Promise<T> {
  await using watch = startWatch(pid);
  const result = await act();
  const [before, ...seen] = await watch.stop();
  const after = differences(before!, takeSnapshot(pid), { lines: own });
  assert.deepEqual(after, [], 'the target is not what it was');
  for (const snapshot of seen) {
    const lines = differences(before!, snapshot, { lines: [...own, ...MEANWHILE] });
    assert.deepEqual(lines, [], 'the target was changed for a while');
  }
  return result;
}

/** Running and sleeping come and go by themselves; stopped, traced and dead do not. */
function activity(state: string): string {
  return /^[RSDI]/.test(state) ? 'going on' : state;
}

function addDescriptors(facts: Map<string, string>, root: string): void {
  for (const fd of names(`${root}/fd`)) {
    const info = colonFields(read(`${root}/fdinfo/${fd}`));
    const epoll = [...read(`${root}/fdinfo/${fd}`).matchAll(/^tfd:\s*(\d+) events:\s*(\w+)/gm)];
    const watched = epoll.map(([, target, events]) => ` ${target}:${events}`).sort();
    const link = readLink(`${root}/fd/${fd}`);
    if (link !== undefined) facts.set(`fd ${fd}`, `${link} flags ${info.get('flags')}${watched.join('')}`);
  }
}

/** A mapping's line in maps with its VmFlags, among them um and uw: registered with a userfaultfd. */
function addMappings(facts: Map<string, string>, kib: Map<string, number>, root: string): void {
  let name = '';
  for (const line of read(`${root}/smaps`).split('\n')) {
    const mapping = /^([0-9a-f]+-[0-9a-f]+) (.*)$/.exec(line);
    if (mapping !== null) {
      name = `map ${mapping[1]}`;
      facts.set(name, mapping[2]!.replace(/\s+/g, ' '));
    } else if (line.startsWith('VmFlags:')) {
      facts.set(name, `${facts.get(name)} [${line.slice(8).trim()}]`);
    }
  }
  for (const [field, value] of colonFields(read(`${root}/smaps_rollup`))) {
    if (value.endsWith('kB')) kib.set(field, Number.parseInt(value, 10));
  }
}

function addThreads(facts: Map<string, string>, root: string): void {
  for (const tid of names(`${root}/task`)) {
    const status = colonFields(read(`${root}/task/${tid}/status`));
    const stat = read(`${root}/task/${tid}/stat`);
    if (status.size === 0 || stat === '') continue;
    for (const [name, value] of status)
      if (THREAD_STATUS.test(name)) facts.set(`thread ${tid} ${name}`, value);
    facts.set(`thread ${tid} state`, activity(status.get('State') ?? ''));
    // proc_pid_stat(5): fields 5-8, 18, 19, 40, 41, counted from the state, which is field 3
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const field = (number: number): string => fields[number - 3] ?? '';
    facts.set(`thread ${tid} group, session, terminal`, `${field(5)} ${field(6)} ${field(7)}`);
    facts.set(
      `thread ${tid} priority, nice, realtime, policy`,
      `${field(18)} ${field(19)} ${field(40)} ${field(41)}`,
    );
    setText(facts, `thread ${tid} children`, `${root}/task/${tid}/children`);
    setText(facts, `thread ${tid} timerslack`, `/proc/${tid}/timerslack_ns`);
  }
}

function addLocks(facts: Map<string, string>, pid: number): void {
  const lines = read('/proc/locks')
    .split('\n')
    .map((line) => line.replace(/^\d+: /, '').replace(/\s+/g, ' '));
  const own = lines.filter((line) => line.split(' ').includes(String(pid))).sort();
  for (const [i, line] of own.entries()) facts.set(`lock ${i}`, line);
}

function colonFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return fields;
}

function setText(facts: Map<string, string>, name: string, path: string): void {
  const text = read(path).replaceAll('\0', ' ').trim();
  if (text !== '') facts.set(name, text);
}

function setLink(facts: Map<string, string>, name: string, path: string): void {
  const link = readLink(path);
  if (link !== undefined) facts.set(name, link);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
