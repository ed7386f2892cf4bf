/** /proc/PID/{status,stat,statm,smaps_rollup,limits,auxv,fdinfo}: parsers of text that was read before. */

const KIB = 1024;

/** What is used of /proc/PID/status (proc_pid_status(5)). */
export interface ProcessStatus {
  /** command name, escapes undone */
  readonly name: string;
  /** R, S, D, T (stopped), t (traced), Z, X */
  readonly state: string;
  readonly threadGroupId: number;
  readonly parentId: number;
  /** who traces it, 0 for nobody */
  readonly tracerId: number;
  /** real, effective, saved, file system */
  readonly userIds: readonly number[];
  readonly groupIds: readonly number[];
  /** its id in each pid namespace from ours to its own */
  readonly namespaceIds: readonly number[];
  readonly threads: number;
  /** undefined for who has no memory: kernel threads and zombies */
  readonly residentBytes: number | undefined;
  readonly residentAnonymousBytes: number | undefined;
  readonly lockedBytes: number | undefined;
  readonly swapBytes: number | undefined;
  /** page tables */
  readonly pageTableBytes: number | undefined;
  /** every field by the name it has in the file, for what is rarely wanted */
  readonly fields: ReadonlyMap<string, string>;
  /** bit n for capability n */
  readonly effectiveCapabilities: bigint;
  readonly permittedCapabilities: bigint;
  /** 0 off, 1 strict, 2 filter; undefined in a kernel without seccomp */
  readonly seccomp: number | undefined;
  /** bit n - 1 for signal n */
  readonly blockedSignals: bigint;
  readonly ignoredSignals: bigint;
  readonly caughtSignals: bigint;
  readonly pendingSignals: bigint;
  readonly sharedPendingSignals: bigint;
}

/** Splits lines `Name:\tvalue`. */
export function parseFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return fields;
}

/** Parses /proc/PID/status. */
export function parseStatus(text: string): ProcessStatus {
  const fields = parseFields(text);
  const word = (name: string): string => fields.get(name) ?? '0';
  const list = (name: string): number[] => word(name).split(/\s+/).map(Number);
  const mask = (name: string): bigint => BigInt(`0x${word(name)}`);
  const size = (name: string): number | undefined => {
    const value = fields.get(name);
    return value === undefined ? undefined : Number.parseInt(value, 10) * KIB;
  };
  const seccomp = fields.get('Seccomp');
  return {
    // trimmed by its tab only: a name may begin or end in spaces
    name: unescapeName(/^Name:\t(.*)$/m.exec(text)?.[1] ?? ''),
    state: word('State').charAt(0),
    threadGroupId: Number(word('Tgid')),
    parentId: Number(word('PPid')),
    tracerId: Number(word('TracerPid')),
    userIds: list('Uid'),
    groupIds: list('Gid'),
    namespaceIds: fields.has('NSpid') ? list('NSpid') : [Number(word('Pid'))],
    threads: Number(word('Threads')),
    residentBytes: size('VmRSS'),
    residentAnonymousBytes: size('RssAnon'),
    lockedBytes: size('VmLck'),
    swapBytes: size('VmSwap'),
    pageTableBytes: size('VmPTE'),
    fields,
    effectiveCapabilities: mask('CapEff'),
    permittedCapabilities: mask('CapPrm'),
    seccomp: seccomp === undefined ? undefined : Number(seccomp),
    blockedSignals: mask('SigBlk'),
    ignoredSignals: mask('SigIgn'),
    caughtSignals: mask('SigCgt'),
    pendingSignals: mask('SigPnd'),
    sharedPendingSignals: mask('ShdPnd'),
  };
}

/** fs/proc/array.c, proc_task_name: newline and backslash are escaped. */
function unescapeName(name: string): string {
  return name.replace(/\\(n|\\|[0-7]{3})/g, (_, code: string) => {
    if (code === 'n') return '\n';
    if (code === '\\') return '\\';
    return String.fromCharCode(Number.parseInt(code, 8));
  });
}

/** What is used of /proc/PID/stat (proc_pid_stat(5)); times in clock ticks (1/100 s). */
export interface ProcessStat {
  readonly pid: number;
  readonly name: string;
  readonly state: string;
  readonly parentId: number;
  readonly processGroup: number;
  readonly session: number;
  readonly terminal: number;
  /** PF_* of linux/sched.h; PF_KTHREAD is 0x200000 */
  readonly flags: number;
  readonly userTicks: number;
  readonly systemTicks: number;
  readonly childrenUserTicks: number;
  readonly childrenSystemTicks: number;
  readonly nice: number;
  readonly threads: number;
  /** since boot; with the pid it identifies a process for good */
  readonly startTicks: number;
}

/** Parses /proc/PID/stat. The name may hold spaces and parentheses: the fields begin after the last `)`. */
export function parseStat(text: string): ProcessStat {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  const values = text
    .slice(close + 2)
    .trim()
    .split(' ');
  // fields are numbered from 1 in the manual page; the state is field 3
  const field = (number: number): number => Number(values[number - 3] ?? 0);
  return {
    pid: Number.parseInt(text, 10),
    name: text.slice(open + 1, close),
    state: values[0] ?? '',
    parentId: field(4),
    processGroup: field(5),
    session: field(6),
    terminal: field(7),
    flags: field(9),
    userTicks: field(14),
    systemTicks: field(15),
    childrenUserTicks: field(16),
    childrenSystemTicks: field(17),
    nice: field(19),
    threads: field(20),
    startTicks: field(22),
  };
}

/** /proc/PID/statm in pages. */
export interface ProcessSize {
  readonly totalPages: number;
  readonly residentPages: number;
  readonly sharedPages: number;
}

/** Parses /proc/PID/statm. */
export function parseStatm(text: string): ProcessSize {
  const [totalPages = 0, residentPages = 0, sharedPages = 0] = text.split(' ').map(Number);
  return { totalPages, residentPages, sharedPages };
}

/** /proc/PID/smaps_rollup: sums over all mappings, in bytes by name (Rss, Pss, AnonHugePages, Swap...). */
export function parseSmapsRollup(text: string): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const [name, value] of parseFields(text)) {
    const match = /^(\d+) kB$/.exec(value);
    if (match !== null) sizes.set(name, Number(match[1]) * KIB);
  }
  return sizes;
}

/** A line of /proc/PID/limits; Infinity for unlimited. */
export interface NamedLimit {
  readonly soft: number;
  readonly hard: number;
}

/** Parses /proc/PID/limits: by the names of the file, such as "Max open files". */
export function parseLimits(text: string): Map<string, NamedLimit> {
  const limits = new Map<string, NamedLimit>();
  const value = (word: string): number => (word === 'unlimited' ? Number.POSITIVE_INFINITY : Number(word));
  for (const line of text.split('\n')) {
    const match = /^(Max .*?)\s{2,}(\S+)\s+(\S+)/.exec(line);
    if (match !== null) limits.set(match[1]!, { soft: value(match[2]!), hard: value(match[3]!) });
  }
  return limits;
}

/** Parses /proc/PID/auxv: AT_* (linux/auxvec.h) to value, in order, the end mark left out. */
export function parseAuxv(bytes: Uint8Array): Map<number, bigint> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries = new Map<number, bigint>();
  for (let at = 0; at + 16 <= bytes.byteLength; at += 16) {
    const type = Number(view.getBigUint64(at, true));
    if (type === 0) break;
    entries.set(type, view.getBigUint64(at + 8, true));
  }
  return entries;
}
