/**
 * What Debian 12's headers (kernel 6.1, glibc 2.36) do not declare: the kernel that brought it, or why no header ever
 * has it, and the test that checks it by behaviour.
 */

/** One absent name. */
export interface Absent {
  readonly since: string;
  /** test file that names it, from the root of the project */
  readonly checkedBy: string;
}

const pagemap = 'src/linux/pagemap.test.ts';
const userfaultfd = 'src/linux/userfaultfd.test.ts';
const mappingQuery = 'src/linux/mapping-query.test.ts';
const ptrace = 'src/linux/ptrace.test.ts';

/** Constants of abi.ts. */
export const ABSENT_CONSTANTS: Readonly<Record<string, Absent>> = {
  UFFD_FEATURE_WP_UNPOPULATED: { since: '6.4', checkedBy: userfaultfd },
  UFFD_FEATURE_WP_ASYNC: { since: '6.7', checkedBy: userfaultfd },
  PAGEMAP_SCAN: { since: '6.7', checkedBy: pagemap },
  PROCMAP_QUERY: { since: '6.11', checkedBy: mappingQuery },
  PROCMAP_QUERY_COVERING_OR_NEXT_VMA: { since: '6.11', checkedBy: mappingQuery },
  PAGE_IS_WPALLOWED: { since: '6.7', checkedBy: pagemap },
  PAGE_IS_WRITTEN: { since: '6.7', checkedBy: pagemap },
  PAGE_IS_FILE: { since: '6.7', checkedBy: pagemap },
  PAGE_IS_PRESENT: { since: '6.7', checkedBy: pagemap },
  PAGE_IS_SWAPPED: { since: '6.7', checkedBy: pagemap },
  PAGE_IS_PFNZERO: { since: '6.7', checkedBy: pagemap },
  PAGE_IS_HUGE: { since: '6.7', checkedBy: pagemap },
  PAGE_IS_GUARD: { since: '6.15', checkedBy: pagemap },
  PIDFD_THREAD: { since: '6.9', checkedBy: 'src/linux/pidfd.test.ts' },
  PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG: { since: '6.4', checkedBy: ptrace },
  ERESTARTSYS: { since: 'internal to the kernel', checkedBy: ptrace },
  ERESTARTNOINTR: { since: 'internal to the kernel', checkedBy: ptrace },
  ERESTARTNOHAND: { since: 'internal to the kernel', checkedBy: ptrace },
  ERESTART_RESTARTBLOCK: { since: 'internal to the kernel', checkedBy: ptrace },
};

/** Structs of layouts.ts, by the name in C. */
export const ABSENT_STRUCTS: Readonly<Record<string, Absent>> = {
  'struct pm_scan_arg': { since: '6.7', checkedBy: pagemap },
  'struct page_region': { since: '6.7', checkedBy: pagemap },
  'struct procmap_query': { since: '6.11', checkedBy: mappingQuery },
  'struct ptrace_sud_config': { since: '6.4', checkedBy: ptrace },
};
