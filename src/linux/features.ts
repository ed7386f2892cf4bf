/**
 * What this kernel offers to this process, found by trying it on memory and children of our own; never by its version.
 */

import { release } from 'node:os';
import { type ErrorCode, LivecoreError } from '../errors.ts';
import {
  CAP_SYS_ADMIN,
  CAP_SYS_PTRACE,
  CLOSE_RANGE_UNSHARE,
  KCMP_VM,
  PAGE_IS_PRESENT,
  SYS_close_range,
  UFFD_FEATURE_EVENT_REMOVE,
  UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
  UFFD_FEATURE_WP_UNPOPULATED,
} from './abi.ts';
import { AioQueue } from './aio.ts';
import { ERRNO, errnoName } from './errno.ts';
import { closeFile } from './file.ts';
import { MappedMemory } from './memory.ts';
import { errno, libc } from './native.ts';
import { Pagemap } from './pagemap.ts';
import { compareTasks, openPidfd, openThreadPidfd, takeDescriptor } from './pidfd.ts';
import { readStatus } from './proc.ts';
import { readProcText } from './proc-file.ts';
import { probeTracing } from './tracing-probe.ts';
import { UringQueue } from './uring.ts';
import { createUserfaultfd, openUserfaultfdDevice, type Userfaultfd } from './userfaultfd.ts';

/** One thing that was tried. */
export interface Feature {
  readonly name: FeatureName;
  readonly ok: boolean;
  /** what was seen: 'works', 'EPERM', the value of a setting */
  readonly detail: string;
  /** what brings it, where it is not ok */
  readonly cure: string;
  /** kernel version that brought it */
  readonly since: string;
}

/** Everything that is probed. */
export type FeatureName = (typeof NAMES)[number];

const NAMES = [
  'x86-64',
  'userfaultfd',
  'userfaultfd device',
  'unprivileged userfaultfd',
  'write-protection',
  'write-protection of shared memory',
  'write-protection of untouched pages',
  'notice before madvise',
  'pagemap scan',
  'descriptors of threads',
  'descriptors of others',
  'comparing tasks',
  'own descriptor table',
  'asynchronous writes',
  'tracing',
  'rseq of others',
  'suspended seccomp',
  'syscall user dispatch of others',
  'ptrace scope',
  'capabilities',
  'own seccomp',
] as const;

/** What the kernel itself must have for a dump, whoever asks for it. */
const NEEDED: readonly FeatureName[] = [
  'x86-64',
  'userfaultfd',
  'write-protection',
  'write-protection of untouched pages',
  'notice before madvise',
  'pagemap scan',
  'descriptors of threads',
  'descriptors of others',
  'comparing tasks',
  'own descriptor table',
];

type Finding = Pick<Feature, 'ok' | 'detail'> & { readonly cure?: string };
type Add = (name: FeatureName, since: string, finding: Finding) => void;

/** What a kernel says of what it has not; any other error (EMFILE) is of the moment. */
const ABSENCES: readonly string[] = ['absent', 'ENOSYS', 'EINVAL', 'ENOTTY'];
/** What is said instead by who may refuse it, seccomp filters first; a filter that does not know a call says ENOSYS. */
const REFUSALS: readonly string[] = ['EPERM', 'EACCES'];

const NEW_KERNEL = (version: string): string => `use Linux ${version} or newer`;
const NOT_REFUSED =
  'a seccomp profile forbids it: run without one (docker --security-opt seccomp=unconfined)';
const FROM_ERROR = (result: number): Finding =>
  result >= 0 ? { ok: true, detail: 'works' } : { ok: false, detail: errnoName(-result) };

/**
 * For tests only: names of features, with commas between, that this kernel is to be taken not to have. It lies about no
 * more than what a probe says, so nothing that is there can be made to look safer than it is.
 */
const LACKING: ReadonlySet<string> = new Set(process.env['LIVECORE_TEST_LACKS']?.split(',') ?? []);

/** Tries everything once; takes some 40 ms. Starts one child, which is killed before it does anything. */
export function probeFeatures(): ReadonlyMap<FeatureName, Feature> {
  const found = new Map<FeatureName, Feature>();
  const add = adding(found);
  if (!probeKernel(add)) {
    for (const name of NAMES.slice(1)) add(name, '2.6', UNTRIED);
    return found;
  }
  add('asynchronous writes', '2.6', probeAio());
  const tracing = probeTracing();
  const notTraced = 'allow this process to trace its children (seccomp profile, ptrace_scope)';
  add('tracing', '3.4', { ...FROM_ERROR(tracing.seize), cure: notTraced });
  add('rseq of others', '5.13', FROM_ERROR(tracing.rseq));
  add('suspended seccomp', '4.3', {
    ...FROM_ERROR(tracing.suspendSeccomp),
    cure: 'needs CAP_SYS_ADMIN in the first user namespace, no filter of our own, and CONFIG_CHECKPOINT_RESTORE',
  });
  add('syscall user dispatch of others', '6.4', FROM_ERROR(tracing.userDispatch));
  probeSettings(add);
  return found;
}

/** Throws KERNEL_FEATURE with all that this kernel lacks for a dump, or NO_RIGHT for what it does not let us use. */
export function requireKernel(pid: number): void {
  const found = new Map<FeatureName, Feature>();
  const refuse = (code: ErrorCode, text: string, cure: string): never => {
    throw new LivecoreError(code, `dump process ${pid}: ${text}`, { pid, cure });
  };
  if (!probeKernel(adding(found))) {
    const { detail, cure } = found.get('x86-64')!;
    refuse('KERNEL_FEATURE', `${detail}, and livecore knows x86-64 only`, cure);
  }
  const missing = NEEDED.map((name) => found.get(name)!).filter(({ ok }) => !ok);
  const lacking = missing.filter(({ detail }) => ABSENCES.includes(detail));
  if (lacking.length > 0) {
    const names = lacking.map(({ name, detail, since }) => `"${name}" (${detail}; since Linux ${since})`);
    const text = `this kernel (Linux ${release()}) lacks ${names.join(', ')}`;
    refuse('KERNEL_FEATURE', text, newestCure(lacking));
  }
  // Who may have a userfaultfd is for rights.ts to say: the target perhaps, where we may not.
  const refused = missing.find(({ name, detail }) => name !== 'userfaultfd' && REFUSALS.includes(detail));
  if (refused !== undefined)
    refuse('NO_RIGHT', `"${refused.name}" is refused (${refused.detail})`, refused.cure);
}

/** The newest of the kernels that are asked for, then what else is. */
function newestCure(lacking: readonly Feature[]): string {
  const isNewKernel = ({ cure, since }: Feature): boolean => cure.startsWith(NEW_KERNEL(since));
  const byAge = lacking.filter(isNewKernel).sort((a, b) => compareVersions(a.since, b.since));
  const others = lacking.filter((feature) => !isNewKernel(feature)).map(({ cure }) => cure);
  return [...new Set([...byAge.slice(-1).map(({ cure }) => cure), ...others])].join('; ');
}

function compareVersions(left: string, right: string): number {
  const [a = 0, b = 0] = left.split('.').map(Number);
  const [c = 0, d = 0] = right.split('.').map(Number);
  return a - c || b - d;
}

function adding(found: Map<FeatureName, Feature>): Add {
  const isFiltered = (readStatus('self').seccomp ?? 0) !== 0;
  return (name, since, { ok: works, detail: seen, cure }) => {
    const ok = works && !LACKING.has(name);
    const detail = works && !ok ? 'absent' : seen;
    const doubt = isFiltered && detail === 'ENOSYS' ? `; or ${NOT_REFUSED}` : '';
    const advice = REFUSALS.includes(detail) ? NOT_REFUSED : NEW_KERNEL(since) + doubt;
    found.set(name, { name, ok, detail, cure: ok ? '' : (cure ?? advice), since });
  };
}

/** what stands beside all else on another processor */
const UNTRIED: Finding = { ok: false, detail: 'not tried', cure: 'see x86-64' };

/** What the kernel has, whoever asks. False on another processor: system calls have other numbers there, so none is made. */
function probeKernel(add: Add): boolean {
  const isOurs = process.arch === 'x64' && !LACKING.has('x86-64');
  add('x86-64', '2.6', {
    ok: isOurs,
    detail: isOurs ? 'works' : `this is ${process.arch}`,
    cure: 'run it on an x86-64 machine: there is no other port yet',
  });
  if (!isOurs) return false;
  probeUserfaultfd(add);
  add('pagemap scan', '6.7', probeScan());
  probeDescriptors(add);
  return true;
}

function probeUserfaultfd(add: Add): void {
  const rights = 'run as root or with CAP_SYS_PTRACE, or give this user /dev/userfaultfd';
  const made = attempt(() => createUserfaultfd()[Symbol.dispose](), rights);
  const isRight = REFUSALS.includes(made.detail);
  add('userfaultfd', '4.3', { ...made, cure: isRight ? rights : 'use a kernel with CONFIG_USERFAULTFD' });
  add(
    'userfaultfd device',
    '6.1',
    attempt(() => void closeFile(openUserfaultfdDevice()), 'chown /dev/userfaultfd'),
  );
  const setting = readSetting('/proc/sys/vm/unprivileged_userfaultfd');
  add('unprivileged userfaultfd', '5.2', {
    ok: setting === '1',
    detail: setting ?? 'absent',
    cure: 'sysctl vm.unprivileged_userfaultfd=1; only needed without CAP_SYS_PTRACE and /dev/userfaultfd',
  });
  const features = supportedUserfaultfdFeatures();
  const bit = (feature: number): Finding => {
    if (features === undefined) return { ok: false, detail: 'unknown: no userfaultfd at all', cure: rights };
    const ok = (features & feature) !== 0;
    return { ok, detail: ok ? 'works' : 'absent' };
  };
  add('write-protection', '5.7', bit(UFFD_FEATURE_PAGEFAULT_FLAG_WP));
  add('write-protection of shared memory', '5.19', bit(UFFD_FEATURE_WP_HUGETLBFS_SHMEM));
  add('write-protection of untouched pages', '6.4', bit(UFFD_FEATURE_WP_UNPOPULATED));
  add('notice before madvise', '4.11', bit(UFFD_FEATURE_EVENT_REMOVE));
}

/** All UFFD_FEATURE_* of this kernel; undefined where not even a user-mode userfaultfd can be made. */
export function supportedUserfaultfdFeatures(): number | undefined {
  try {
    // needs no right since 5.11; a handshake is for once, so this one serves no other purpose
    using probe = createUserfaultfd({ userModeOnly: true });
    return probe.handshake(0);
  } catch {
    return undefined;
  }
}

/**
 * The pagemap entry of a page that was never touched and that is write-protected: the kernel keeps a marker in the page
 * table, which looks like a page in swap. With CAP_SYS_ADMIN the entry tells what kind; it differs by kernel
 * configuration, so it is asked here, and an entry that differs is really swapped out.
 *
 * @returns the entry, or undefined where untouched pages cannot be protected
 */
export function untouchedMarkerEntry(): bigint | undefined {
  try {
    using memory = new MappedMemory(4096);
    using protector: Userfaultfd = createUserfaultfd();
    protector.handshake(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_UNPOPULATED);
    if (protector.register(memory.address, 4096) < 0) return undefined;
    if (protector.writeProtect(memory.address, 4096, true) < 0) return undefined;
    using pagemap = new Pagemap('self', { capacity: 1 });
    return pagemap.readEntries(memory.address, 1) === 1 ? pagemap.entry(0) : undefined;
  } catch {
    return undefined;
  }
}

function probeScan(): Finding {
  try {
    using memory = new MappedMemory(4096, { populate: true });
    using pagemap = new Pagemap('self', { capacity: 1 });
    pagemap.scan(memory.address, memory.address + 4096, { all: PAGE_IS_PRESENT, returned: PAGE_IS_PRESENT });
    return FROM_ERROR(pagemap.nextRegions());
  } catch (error) {
    return { ok: false, detail: String(error) };
  }
}

function probeDescriptors(add: Add): void {
  const thread = openThreadPidfd(process.pid);
  add('descriptors of threads', '6.9', FROM_ERROR(thread));
  const own = openPidfd(process.pid);
  const taken = own < 0 ? own : takeDescriptor(own, own);
  add('descriptors of others', '5.6', FROM_ERROR(taken));
  for (const fd of [thread, own, taken]) if (fd >= 0) closeFile(fd);
  add('comparing tasks', '3.5', {
    ...FROM_ERROR(compareTasks(process.pid, process.pid, KCMP_VM)),
    cure: 'use a kernel with CONFIG_KCMP, and a seccomp profile that allows kcmp',
  });
  // a range that ends before it begins: refused with EINVAL after the flags were accepted, so nothing is unshared
  const refused = libc.syscall(SYS_close_range, 1, 0, CLOSE_RANGE_UNSHARE, 0, 0, 0) < 0 ? errno() : 0;
  add('own descriptor table', '5.9', {
    ok: refused === ERRNO.EINVAL,
    detail: refused === ERRNO.EINVAL ? 'works' : errnoName(refused),
  });
}

/** Either of the two that a direct write can take. */
function probeAio(): Finding {
  const aio = attempt(
    () => new AioQueue(1, 1)[Symbol.dispose](),
    'raise fs.aio-max-nr; a container profile may forbid io_setup',
  );
  return aio.ok || !attempt(() => new UringQueue(1, 1)[Symbol.dispose](), '').ok ? aio : { ...aio, ok: true };
}

function probeSettings(add: Add): void {
  const scope = readSetting('/proc/sys/kernel/yama/ptrace_scope');
  const status = readStatus('self');
  const has = (capability: number): boolean =>
    ((status.effectiveCapabilities >> BigInt(capability)) & 1n) === 1n;
  add('ptrace scope', '3.4', {
    ok: scope === undefined || scope === '0' || (scope !== '3' && has(CAP_SYS_PTRACE)),
    detail: scope ?? 'no Yama',
    cure:
      scope === '3' ? 'restart the machine with kernel.yama.ptrace_scope below 3' : 'run with CAP_SYS_PTRACE',
  });
  const missing = [has(CAP_SYS_PTRACE) ? '' : 'CAP_SYS_PTRACE', has(CAP_SYS_ADMIN) ? '' : 'CAP_SYS_ADMIN'];
  const names = missing.filter((name) => name !== '').join(', ');
  add('capabilities', '2.2', {
    ok: names === '',
    detail: names === '' ? 'CAP_SYS_PTRACE, CAP_SYS_ADMIN' : `without ${names}`,
    cure: 'run as root, outside of a container or in a privileged one',
  });
  add('own seccomp', '3.5', {
    ok: status.seccomp === undefined || status.seccomp === 0,
    detail: ['off', 'strict', 'filter'][status.seccomp ?? 0] ?? String(status.seccomp),
    cure: 'run without a seccomp profile (docker --security-opt seccomp=unconfined)',
  });
}

function attempt(action: () => void, cure: string): Finding {
  try {
    action();
    return { ok: true, detail: 'works', cure };
  } catch (error) {
    const { errno } = error as { errno?: number };
    return { ok: false, detail: errno === undefined ? String(error) : errnoName(errno), cure };
  }
}

function readSetting(path: string): string | undefined {
  try {
    return readProcText(path).trim();
  } catch {
    return undefined;
  }
}
