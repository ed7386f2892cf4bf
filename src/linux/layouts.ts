/** Structs of the x86-64 Linux ABI as tables, each with its header; test/abi compares them with the C compiler. */

import { type Struct, struct } from '../bytes/struct.ts';

const userRegsFields = {
  r15: 'u64',
  r14: 'u64',
  r13: 'u64',
  r12: 'u64',
  rbp: 'u64',
  rbx: 'u64',
  r11: 'u64',
  r10: 'u64',
  r9: 'u64',
  r8: 'u64',
  rax: 'u64',
  rcx: 'u64',
  rdx: 'u64',
  rsi: 'u64',
  rdi: 'u64',
  orig_rax: 'u64',
  rip: 'u64',
  cs: 'u64',
  eflags: 'u64',
  rsp: 'u64',
  ss: 'u64',
  fs_base: 'u64',
  gs_base: 'u64',
  ds: 'u64',
  es: 'u64',
  fs: 'u64',
  gs: 'u64',
} as const;
/** sys/user.h: PTRACE_GETREGS, NT_PRSTATUS */
export const userRegs: Struct<typeof userRegsFields> = struct('struct user_regs_struct', 216, userRegsFields);

const iovecFields = { iov_base: 'u64', iov_len: 'u64' } as const;
/** sys/uio.h */
export const iovec: Struct<typeof iovecFields> = struct('struct iovec', 16, iovecFields);

const siginfoFields = { si_signo: 'i32', si_errno: 'i32', si_code: 'i32', _pad0: 4, _sifields: 112 } as const;
/** signal.h; what follows si_code differs by signal */
export const siginfo: Struct<typeof siginfoFields> = struct('siginfo_t', 128, siginfoFields);

const uffdioApiFields = { api: 'u64', features: 'u64', ioctls: 'u64' } as const;
/** linux/userfaultfd.h: UFFDIO_API */
export const uffdioApi: Struct<typeof uffdioApiFields> = struct('struct uffdio_api', 24, uffdioApiFields);

const uffdioRangeFields = { start: 'u64', len: 'u64' } as const;
/** linux/userfaultfd.h: UFFDIO_UNREGISTER, UFFDIO_WAKE */
export const uffdioRange: Struct<typeof uffdioRangeFields> = struct(
  'struct uffdio_range',
  16,
  uffdioRangeFields,
);

const uffdioRegisterFields = {
  'range.start': 'u64',
  'range.len': 'u64',
  mode: 'u64',
  ioctls: 'u64',
} as const;
/** linux/userfaultfd.h: UFFDIO_REGISTER */
export const uffdioRegister: Struct<typeof uffdioRegisterFields> = struct(
  'struct uffdio_register',
  32,
  uffdioRegisterFields,
);

const uffdioWriteprotectFields = { 'range.start': 'u64', 'range.len': 'u64', mode: 'u64' } as const;
/** linux/userfaultfd.h: UFFDIO_WRITEPROTECT */
export const uffdioWriteprotect: Struct<typeof uffdioWriteprotectFields> = struct(
  'struct uffdio_writeprotect',
  24,
  uffdioWriteprotectFields,
);

const uffdioContinueFields = {
  'range.start': 'u64',
  'range.len': 'u64',
  mode: 'u64',
  mapped: 'i64',
} as const;
/** linux/userfaultfd.h: UFFDIO_CONTINUE */
export const uffdioContinue: Struct<typeof uffdioContinueFields> = struct(
  'struct uffdio_continue',
  32,
  uffdioContinueFields,
);

const uffdMsgFields = {
  event: 'u8',
  reserved1: 'u8',
  reserved2: 'u16',
  reserved3: 'u32',
  'arg.pagefault.flags': 'u64',
  'arg.pagefault.address': 'u64',
  'arg.pagefault.feat.ptid': 'u32',
  _pad0: 4,
} as const;
/** linux/userfaultfd.h: a message as a page fault; other events are {@link uffdMsgRemap}, {@link uffdMsgRemove} */
export const uffdMsg: Struct<typeof uffdMsgFields> = struct('struct uffd_msg', 32, uffdMsgFields);

const uffdMsgRemapFields = {
  _pad0: 8,
  'arg.remap.from': 'u64',
  'arg.remap.to': 'u64',
  'arg.remap.len': 'u64',
} as const;
/** linux/userfaultfd.h: a message of mremap */
export const uffdMsgRemap: Struct<typeof uffdMsgRemapFields> = struct(
  'struct uffd_msg',
  32,
  uffdMsgRemapFields,
);

const uffdMsgRemoveFields = {
  _pad0: 8,
  'arg.remove.start': 'u64',
  'arg.remove.end': 'u64',
  _pad1: 8,
} as const;
/** linux/userfaultfd.h: a message of madvise and of munmap */
export const uffdMsgRemove: Struct<typeof uffdMsgRemoveFields> = struct(
  'struct uffd_msg',
  32,
  uffdMsgRemoveFields,
);

const uffdMsgForkFields = { _pad0: 8, 'arg.fork.ufd': 'u32', _pad1: 20 } as const;
/** linux/userfaultfd.h: a message of fork */
export const uffdMsgFork: Struct<typeof uffdMsgForkFields> = struct('struct uffd_msg', 32, uffdMsgForkFields);

const pmScanArgFields = {
  size: 'u64',
  flags: 'u64',
  start: 'u64',
  end: 'u64',
  walk_end: 'u64',
  vec: 'u64',
  vec_len: 'u64',
  max_pages: 'u64',
  category_inverted: 'u64',
  category_mask: 'u64',
  category_anyof_mask: 'u64',
  return_mask: 'u64',
} as const;
/** linux/fs.h: PAGEMAP_SCAN (6.7) */
export const pmScanArg: Struct<typeof pmScanArgFields> = struct('struct pm_scan_arg', 96, pmScanArgFields);

const pageRegionFields = { start: 'u64', end: 'u64', categories: 'u64' } as const;
/** linux/fs.h: PAGEMAP_SCAN (6.7) */
export const pageRegion: Struct<typeof pageRegionFields> = struct('struct page_region', 24, pageRegionFields);

const procmapQueryFields = {
  size: 'u64',
  query_flags: 'u64',
  query_addr: 'u64',
  vma_start: 'u64',
  vma_end: 'u64',
  vma_flags: 'u64',
  vma_page_size: 'u64',
  vma_offset: 'u64',
  inode: 'u64',
  dev_major: 'u32',
  dev_minor: 'u32',
  vma_name_size: 'u32',
  build_id_size: 'u32',
  vma_name_addr: 'u64',
  build_id_addr: 'u64',
} as const;
/** linux/fs.h: PROCMAP_QUERY (6.11) */
export const procmapQuery: Struct<typeof procmapQueryFields> = struct(
  'struct procmap_query',
  104,
  procmapQueryFields,
);

const iocbFields = {
  aio_data: 'u64',
  aio_key: 'u32',
  aio_rw_flags: 'i32',
  aio_lio_opcode: 'u16',
  aio_reqprio: 'i16',
  aio_fildes: 'u32',
  aio_buf: 'u64',
  aio_nbytes: 'u64',
  aio_offset: 'i64',
  aio_reserved2: 'u64',
  aio_flags: 'u32',
  aio_resfd: 'u32',
} as const;
/** linux/aio_abi.h */
export const iocb: Struct<typeof iocbFields> = struct('struct iocb', 64, iocbFields);

const ioEventFields = { data: 'u64', obj: 'u64', res: 'i64', res2: 'i64' } as const;
/** linux/aio_abi.h */
export const ioEvent: Struct<typeof ioEventFields> = struct('struct io_event', 32, ioEventFields);

const ioUringParamsFields = {
  sq_entries: 'u32',
  cq_entries: 'u32',
  flags: 'u32',
  sq_thread_cpu: 'u32',
  sq_thread_idle: 'u32',
  features: 'u32',
  wq_fd: 'u32',
  resv: 12,
  'sq_off.head': 'u32',
  'sq_off.tail': 'u32',
  'sq_off.ring_mask': 'u32',
  'sq_off.ring_entries': 'u32',
  'sq_off.flags': 'u32',
  'sq_off.dropped': 'u32',
  'sq_off.array': 'u32',
  'sq_off.resv1': 'u32',
  // headers before 6.5 call it resv2
  _pad_sq: 8,
  'cq_off.head': 'u32',
  'cq_off.tail': 'u32',
  'cq_off.ring_mask': 'u32',
  'cq_off.ring_entries': 'u32',
  'cq_off.overflow': 'u32',
  'cq_off.cqes': 'u32',
  'cq_off.flags': 'u32',
  'cq_off.resv1': 'u32',
  _pad_cq: 8,
} as const;
/** linux/io_uring.h */
export const ioUringParams: Struct<typeof ioUringParamsFields> = struct(
  'struct io_uring_params',
  120,
  ioUringParamsFields,
);

const ioUringSqeFields = {
  opcode: 'u8',
  flags: 'u8',
  ioprio: 'u16',
  fd: 'i32',
  off: 'u64',
  addr: 'u64',
  len: 'u32',
  rw_flags: 'u32',
  user_data: 'u64',
  buf_index: 'u16',
  personality: 'u16',
  splice_fd_in: 'i32',
  addr3: 'u64',
  _pad: 8,
} as const;
/** linux/io_uring.h; the members of its unions that a write uses */
export const ioUringSqe: Struct<typeof ioUringSqeFields> = struct(
  'struct io_uring_sqe',
  64,
  ioUringSqeFields,
);

const ioUringCqeFields = { user_data: 'u64', res: 'i32', flags: 'u32' } as const;
/** linux/io_uring.h */
export const ioUringCqe: Struct<typeof ioUringCqeFields> = struct(
  'struct io_uring_cqe',
  16,
  ioUringCqeFields,
);

const timespecFields = { tv_sec: 'i64', tv_nsec: 'i64' } as const;
/** time.h */
export const timespec: Struct<typeof timespecFields> = struct('struct timespec', 16, timespecFields);

const itimerspecFields = {
  'it_interval.tv_sec': 'i64',
  'it_interval.tv_nsec': 'i64',
  'it_value.tv_sec': 'i64',
  'it_value.tv_nsec': 'i64',
} as const;
/** time.h */
export const itimerspec: Struct<typeof itimerspecFields> = struct('struct itimerspec', 32, itimerspecFields);

const sigeventFields = {
  sigev_value: 'u64',
  sigev_signo: 'i32',
  sigev_notify: 'i32',
  _sigev_un: 48,
} as const;
/** signal.h */
export const sigevent: Struct<typeof sigeventFields> = struct('struct sigevent', 64, sigeventFields);

const pollfdFields = { fd: 'i32', events: 'i16', revents: 'i16' } as const;
/** poll.h */
export const pollfd: Struct<typeof pollfdFields> = struct('struct pollfd', 8, pollfdFields);

const rlimitFields = { rlim_cur: 'u64', rlim_max: 'u64' } as const;
/** sys/resource.h */
export const rlimit: Struct<typeof rlimitFields> = struct('struct rlimit', 16, rlimitFields);

const msghdrFields = {
  msg_name: 'u64',
  msg_namelen: 'u32',
  _pad0: 4,
  msg_iov: 'u64',
  msg_iovlen: 'u64',
  msg_control: 'u64',
  msg_controllen: 'u64',
  msg_flags: 'i32',
  _pad1: 4,
} as const;
/** sys/socket.h */
export const msghdr: Struct<typeof msghdrFields> = struct('struct msghdr', 56, msghdrFields);

const cmsghdrFields = { cmsg_len: 'u64', cmsg_level: 'i32', cmsg_type: 'i32' } as const;
/** sys/socket.h; the data follows at 16 */
export const cmsghdr: Struct<typeof cmsghdrFields> = struct('struct cmsghdr', 16, cmsghdrFields);

const statfsFields = {
  f_type: 'i64',
  f_bsize: 'i64',
  f_blocks: 'u64',
  f_bfree: 'u64',
  f_bavail: 'u64',
  f_files: 'u64',
  f_ffree: 'u64',
  f_fsid: 8,
  f_namelen: 'i64',
  f_frsize: 'i64',
  f_flags: 'i64',
  f_spare: 32,
} as const;
/** sys/statfs.h */
export const statfs: Struct<typeof statfsFields> = struct('struct statfs', 120, statfsFields);

const sigcontextFields = {
  r8: 'u64',
  r9: 'u64',
  r10: 'u64',
  r11: 'u64',
  r12: 'u64',
  r13: 'u64',
  r14: 'u64',
  r15: 'u64',
  rdi: 'u64',
  rsi: 'u64',
  rbp: 'u64',
  rbx: 'u64',
  rdx: 'u64',
  rax: 'u64',
  rcx: 'u64',
  rsp: 'u64',
  rip: 'u64',
  eflags: 'u64',
  cs: 'u16',
  gs: 'u16',
  fs: 'u16',
  ss: 'u16',
  err: 'u64',
  trapno: 'u64',
  oldmask: 'u64',
  cr2: 'u64',
  fpstate: 'u64',
  reserved1: 64,
} as const;
/** asm/sigcontext.h: what a signal handler finds as uc_mcontext */
export const sigcontext: Struct<typeof sigcontextFields> = struct('struct sigcontext', 256, sigcontextFields);

const ucontextFields = {
  uc_flags: 'u64',
  uc_link: 'u64',
  'uc_stack.ss_sp': 'u64',
  'uc_stack.ss_flags': 'i32',
  _pad0: 4,
  'uc_stack.ss_size': 'u64',
  uc_mcontext: 256,
  uc_sigmask: 'u64',
} as const;
/** The kernel's struct ucontext (asm-generic/ucontext.h), 8-byte sigset; glibc's ucontext_t is longer */
export const ucontext: Struct<typeof ucontextFields> = struct('struct ucontext', 304, ucontextFields);

const rtSigframeFields = { pretcode: 'u64', uc: 304, info: 128 } as const;
/** arch/x86/include/asm/sigframe.h, not exported: where rt_sigreturn looks, with rsp just above pretcode */
export const rtSigframe: Struct<typeof rtSigframeFields> = struct(
  'struct rt_sigframe',
  440,
  rtSigframeFields,
);

const fpxSwBytesFields = {
  magic1: 'u32',
  extended_size: 'u32',
  xfeatures: 'u64',
  xstate_size: 'u32',
  padding: 28,
} as const;
/** asm/sigcontext.h: at 464 of the FXSAVE image of a signal frame */
export const fpxSwBytes: Struct<typeof fpxSwBytesFields> = struct(
  'struct _fpx_sw_bytes',
  48,
  fpxSwBytesFields,
);

const rseqConfigurationFields = {
  rseq_abi_pointer: 'u64',
  rseq_abi_size: 'u32',
  signature: 'u32',
  flags: 'u32',
  pad: 'u32',
} as const;
/** linux/ptrace.h: PTRACE_GET_RSEQ_CONFIGURATION (5.13) */
export const rseqConfiguration: Struct<typeof rseqConfigurationFields> = struct(
  'struct ptrace_rseq_configuration',
  24,
  rseqConfigurationFields,
);

const rseqAreaFields = {
  cpu_id_start: 'u32',
  cpu_id: 'u32',
  rseq_cs: 'u64',
  flags: 'u32',
  _pad0: 12,
} as const;
/** linux/rseq.h: the area a thread registers; the kernel writes cpu_id when it resumes the thread */
export const rseqArea: Struct<typeof rseqAreaFields> = struct('struct rseq', 32, rseqAreaFields);

const syscallInfoFields = {
  op: 'u8',
  _pad0: 3,
  arch: 'u32',
  instruction_pointer: 'u64',
  stack_pointer: 'u64',
  'entry.nr': 'u64',
  'entry.args': 48,
  _pad1: 8,
} as const;
/** linux/ptrace.h: PTRACE_GET_SYSCALL_INFO (5.3); rval of an exit stop is at entry.nr */
export const syscallInfo: Struct<typeof syscallInfoFields> = struct(
  'struct ptrace_syscall_info',
  88,
  syscallInfoFields,
);

const sudConfigFields = { mode: 'u64', selector: 'u64', offset: 'u64', len: 'u64' } as const;
/** linux/ptrace.h: PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG (6.4); mode 1 is on */
export const sudConfig: Struct<typeof sudConfigFields> = struct(
  'struct ptrace_sud_config',
  32,
  sudConfigFields,
);

const robustListHeadFields = { 'list.next': 'u64', futex_offset: 'i64', list_op_pending: 'u64' } as const;
/** linux/futex.h */
export const robustListHead: Struct<typeof robustListHeadFields> = struct(
  'struct robust_list_head',
  24,
  robustListHeadFields,
);

const direntFields = {
  d_ino: 'u64',
  d_off: 'i64',
  d_reclen: 'u16',
  d_type: 'u8',
  d_name: 256,
  _pad0: 5,
} as const;
/** dirent.h, as getdents64(2) gives it, each record cut to d_reclen */
export const dirent: Struct<typeof direntFields> = struct('struct dirent64', 280, direntFields);

const statxFields = {
  stx_mask: 'u32',
  stx_blksize: 'u32',
  stx_attributes: 'u64',
  stx_nlink: 'u32',
  stx_uid: 'u32',
  stx_gid: 'u32',
  stx_mode: 'u16',
  _pad1: 2,
  stx_ino: 'u64',
  stx_size: 'u64',
  stx_blocks: 'u64',
  stx_attributes_mask: 'u64',
  stx_atime: 16,
  stx_btime: 16,
  stx_ctime: 16,
  stx_mtime: 16,
  stx_rdev_major: 'u32',
  stx_rdev_minor: 'u32',
  stx_dev_major: 'u32',
  stx_dev_minor: 'u32',
  stx_mnt_id: 'u64',
  stx_dio_mem_align: 'u32',
  stx_dio_offset_align: 'u32',
  _pad0: 96,
} as const;
/** linux/stat.h */
export const statx: Struct<typeof statxFields> = struct('struct statx', 256, statxFields);

const schedAttrFields = {
  size: 'u32',
  sched_policy: 'u32',
  sched_flags: 'u64',
  sched_nice: 'i32',
  sched_priority: 'u32',
  sched_runtime: 'u64',
  sched_deadline: 'u64',
  sched_period: 'u64',
  sched_util_min: 'u32',
  sched_util_max: 'u32',
} as const;
/** linux/sched/types.h */
export const schedAttr: Struct<typeof schedAttrFields> = struct('struct sched_attr', 56, schedAttrFields);

const bpfProgLoadFields = {
  prog_type: 'u32',
  insn_cnt: 'u32',
  insns: 'u64',
  license: 'u64',
  log_level: 'u32',
  log_size: 'u32',
  log_buf: 'u64',
  kern_version: 'u32',
  prog_flags: 'u32',
  prog_name: 16,
  prog_ifindex: 'u32',
  expected_attach_type: 'u32',
  _pad0: 36,
  attach_btf_id: 'u32',
  _pad1: 32,
} as const;
/** linux/bpf.h: the argument of BPF_PROG_LOAD */
export const bpfProgLoad: Struct<typeof bpfProgLoadFields> = struct('union bpf_attr', 144, bpfProgLoadFields);

const bpfLinkCreateFields = {
  'link_create.prog_fd': 'u32',
  'link_create.target_fd': 'u32',
  'link_create.attach_type': 'u32',
  'link_create.flags': 'u32',
  'link_create.iter_info': 'u64',
  'link_create.iter_info_len': 'u32',
  _pad0: 116,
} as const;
/** linux/bpf.h: the argument of BPF_LINK_CREATE */
export const bpfLinkCreate: Struct<typeof bpfLinkCreateFields> = struct(
  'union bpf_attr',
  144,
  bpfLinkCreateFields,
);

const bpfIterLinkInfoFields = {
  'task.tid': 'u32',
  'task.pid': 'u32',
  'task.pid_fd': 'u32',
  _pad0: 4,
} as const;
/** linux/bpf.h: whose tasks an iterator visits (6.1) */
export const bpfIterLinkInfo: Struct<typeof bpfIterLinkInfoFields> = struct(
  'union bpf_iter_link_info',
  16,
  bpfIterLinkInfoFields,
);

const bpfInsnFields = { code: 'u8', _pad0: 1, off: 'i16', imm: 'i32' } as const;
/** linux/bpf.h; the registers, of 4 bits each, have no offset in C: destination low, source high */
export const bpfInsn: Struct<typeof bpfInsnFields> = struct('struct bpf_insn', 8, bpfInsnFields);

const btfHeaderFields = {
  magic: 'u16',
  version: 'u8',
  flags: 'u8',
  hdr_len: 'u32',
  type_off: 'u32',
  type_len: 'u32',
  str_off: 'u32',
  str_len: 'u32',
} as const;
/** linux/btf.h */
export const btfHeader: Struct<typeof btfHeaderFields> = struct('struct btf_header', 24, btfHeaderFields);
