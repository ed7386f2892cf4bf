/**
 * What this kernel offers to this process, found by trying it on memory and children of our own; never by its version.
 */

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

type Finding = Pick<Feature, 'ok' | 'detail'> & { readonly cure?: string };

const NEW_KERNEL = (version: string): string => `use a kernel of version ${version} or newer`;
const FROM_ERROR = (result: number): Finding =>
  result >= 0 ? { ok: true, detail: 'works' } : { ok: false, detail: errnoName(-result) };

/** Tries everything once; takes some 10 ms. Starts one child, which is killed before it does anything. */
export function probeFeatures(): ReadonlyMap<FeatureName, Feature> {
  const found = new Map<FeatureName, Feature>();
  const add = (name: FeatureName, since: string, { ok, detail, cure }: Finding): void => {
    found.set(name, { name, ok, detail, cure: ok ? '' : (cure ?? NEW_KERNEL(since)), since });
  };
  probeUserfaultfd(add);
  add('pagemap scan', '6.7', probeScan());
  probeDescriptors(add);
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

type Add = (name: FeatureName, since: string, finding: Finding) => void;

function probeUserfaultfd(add: Add): void {
  const rights = 'run as root or with CAP_SYS_PTRACE, or give this user /dev/userfaultfd';
  add(
    'userfaultfd',
    '4.3',
    attempt(() => createUserfaultfd()[Symbol.dispose](), rights),
  );
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
    cure: 'use a kernel with CONFIG_KCMP, and a container profile that allows kcmp',
  });
  // a range that ends before it begins: refused with EINVAL after the flags were accepted, so nothing is unshared
  const refused = libc.syscall(SYS_close_range, 1, 0, CLOSE_RANGE_UNSHARE, 0, 0, 0) < 0 ? errno() : 0;
  add('own descriptor table', '5.9', {
    ok: refused === ERRNO.EINVAL,
    detail: refused === ERRNO.EINVAL ? 'works' : errnoName(refused),
  });
}

function probeAio(): Finding {
  return attempt(
    () => new AioQueue(1, 1)[Symbol.dispose](),
    'raise fs.aio-max-nr; a container profile may forbid io_setup',
  );
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
