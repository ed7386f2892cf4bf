/**
 * Constants of the x86-64 Linux ABI, each group under the header that declares it.
 *
 * test/abi compiles a C program that prints every one of them from the system's headers; what Debian 12's headers do
 * not have yet is listed there with the kernel that brought it and is checked by behaviour.
 */

// ---- asm/unistd_64.h: calls made or injected or recognised by number
export const SYS_read = 0;
export const SYS_write = 1;
export const SYS_mmap = 9;
export const SYS_munmap = 11;
export const SYS_rt_sigprocmask = 14;
export const SYS_rt_sigreturn = 15;
export const SYS_ioctl = 16;
export const SYS_pread64 = 17;
export const SYS_pwrite64 = 18;
export const SYS_readv = 19;
export const SYS_writev = 20;
export const SYS_madvise = 28;
export const SYS_pause = 34;
export const SYS_connect = 42;
export const SYS_accept = 43;
export const SYS_sendto = 44;
export const SYS_recvfrom = 45;
export const SYS_sendmsg = 46;
export const SYS_recvmsg = 47;
export const SYS_socketpair = 53;
export const SYS_clone = 56;
export const SYS_exit = 60;
export const SYS_semop = 65;
export const SYS_msgrcv = 70;
export const SYS_rt_sigtimedwait = 128;
export const SYS_prctl = 157;
export const SYS_gettid = 186;
export const SYS_futex = 202;
export const SYS_io_setup = 206;
export const SYS_io_destroy = 207;
export const SYS_io_getevents = 208;
export const SYS_io_submit = 209;
export const SYS_restart_syscall = 219;
export const SYS_semtimedop = 220;
export const SYS_clock_nanosleep = 230;
export const SYS_exit_group = 231;
export const SYS_epoll_wait = 232;
export const SYS_tgkill = 234;
export const SYS_close = 3;
export const SYS_get_robust_list = 274;
export const SYS_epoll_pwait = 281;
export const SYS_accept4 = 288;
export const SYS_preadv = 295;
export const SYS_pwritev = 296;
export const SYS_recvmmsg = 299;
export const SYS_sendmmsg = 307;
export const SYS_kcmp = 312;
export const SYS_sched_setattr = 314;
export const SYS_bpf = 321;
export const SYS_userfaultfd = 323;
export const SYS_preadv2 = 327;
export const SYS_pwritev2 = 328;
export const SYS_io_pgetevents = 333;
export const SYS_pidfd_send_signal = 424;
export const SYS_io_uring_setup = 425;
export const SYS_io_uring_enter = 426;
export const SYS_pidfd_open = 434;
export const SYS_clone3 = 435;
export const SYS_close_range = 436;
export const SYS_pidfd_getfd = 438;
export const SYS_epoll_pwait2 = 441;

// ---- sys/mman.h
export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_POPULATE = 0x8000;
export const MADV_DONTNEED = 4;
export const MADV_FREE = 8;
export const MADV_REMOVE = 9;
export const MADV_HUGEPAGE = 14;
export const MADV_NOHUGEPAGE = 15;
export const MADV_DONTDUMP = 16;
export const MADV_POPULATE_READ = 22;
export const MADV_POPULATE_WRITE = 23;
export const MADV_DONTNEED_LOCKED = 24;
export const MCL_CURRENT = 1;
export const MCL_FUTURE = 2;
export const MCL_ONFAULT = 4;

// ---- fcntl.h
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NONBLOCK = 0o4000;
export const O_DIRECT = 0o40000;
export const O_DIRECTORY = 0o200000;
export const O_NOFOLLOW = 0o400000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
export const O_TMPFILE = 0o20200000;
export const F_DUPFD_CLOEXEC = 1030;
export const F_GETFD = 1;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const FD_CLOEXEC = 1;
export const AT_FDCWD = -100;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_EMPTY_PATH = 0x1000;
export const RENAME_NOREPLACE = 1;
export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;

// ---- unistd.h
export const SEEK_SET = 0;

// ---- linux/futex.h
export const FUTEX_WAIT = 0;
export const FUTEX_WAKE = 1;
export const FUTEX_PRIVATE_FLAG = 128;

// ---- linux/stat.h
export const STATX_BLOCKS = 0x400;
export const STATX_DIOALIGN = 0x2000;

// ---- linux/userfaultfd.h
export const UFFD_API = 0xaa;
export const UFFD_USER_MODE_ONLY = 1;
/** On /dev/userfaultfd. */
export const USERFAULTFD_IOC_NEW = 0xaa00;
export const UFFDIO_API = 0xc018aa3f;
export const UFFDIO_REGISTER = 0xc020aa00;
export const UFFDIO_UNREGISTER = 0x8010aa01;
export const UFFDIO_WAKE = 0x8010aa02;
export const UFFDIO_WRITEPROTECT = 0xc018aa06;
export const UFFDIO_CONTINUE = 0xc020aa07;
export const UFFDIO_REGISTER_MODE_MISSING = 1;
export const UFFDIO_REGISTER_MODE_WP = 2;
export const UFFDIO_WRITEPROTECT_MODE_WP = 1;
export const UFFDIO_WRITEPROTECT_MODE_DONTWAKE = 2;
export const UFFD_EVENT_PAGEFAULT = 0x12;
export const UFFD_EVENT_FORK = 0x13;
export const UFFD_EVENT_REMAP = 0x14;
export const UFFD_EVENT_REMOVE = 0x15;
export const UFFD_EVENT_UNMAP = 0x16;
export const UFFD_PAGEFAULT_FLAG_WRITE = 1;
export const UFFD_PAGEFAULT_FLAG_WP = 2;
export const UFFD_PAGEFAULT_FLAG_MINOR = 4;
export const UFFD_FEATURE_PAGEFAULT_FLAG_WP = 1;
export const UFFD_FEATURE_EVENT_FORK = 2;
export const UFFD_FEATURE_EVENT_REMAP = 4;
export const UFFD_FEATURE_EVENT_REMOVE = 8;
export const UFFD_FEATURE_EVENT_UNMAP = 0x40;
export const UFFD_FEATURE_THREAD_ID = 0x100;
export const UFFD_FEATURE_EXACT_ADDRESS = 0x800;
export const UFFD_FEATURE_WP_HUGETLBFS_SHMEM = 0x1000;
export const UFFD_FEATURE_WP_UNPOPULATED = 0x2000;
export const UFFD_FEATURE_WP_ASYNC = 0x8000;

// ---- linux/fs.h: PAGEMAP_SCAN, PROCMAP_QUERY
export const PROCMAP_QUERY = 0xc0686611;
export const PROCMAP_QUERY_COVERING_OR_NEXT_VMA = 0x10;
export const PAGEMAP_SCAN = 0xc0606610;
export const PAGE_IS_WPALLOWED = 1;
export const PAGE_IS_WRITTEN = 2;
export const PAGE_IS_FILE = 4;
export const PAGE_IS_PRESENT = 8;
export const PAGE_IS_SWAPPED = 16;
export const PAGE_IS_PFNZERO = 32;
export const PAGE_IS_HUGE = 64;
export const PAGE_IS_GUARD = 256;

// ---- sys/ptrace.h, linux/ptrace.h
export const PTRACE_CONT = 7;
export const PTRACE_SINGLESTEP = 9;
export const PTRACE_GETREGS = 12;
export const PTRACE_SETREGS = 13;
export const PTRACE_GETFPREGS = 14;
export const PTRACE_DETACH = 17;
export const PTRACE_SYSCALL = 24;
export const PTRACE_SETOPTIONS = 0x4200;
export const PTRACE_GETEVENTMSG = 0x4201;
export const PTRACE_GETSIGINFO = 0x4202;
export const PTRACE_SETSIGINFO = 0x4203;
export const PTRACE_GETREGSET = 0x4204;
export const PTRACE_SETREGSET = 0x4205;
export const PTRACE_SEIZE = 0x4206;
export const PTRACE_INTERRUPT = 0x4207;
export const PTRACE_LISTEN = 0x4208;
export const PTRACE_GETSIGMASK = 0x420a;
export const PTRACE_SETSIGMASK = 0x420b;
export const PTRACE_GET_SYSCALL_INFO = 0x420e;
export const PTRACE_GET_RSEQ_CONFIGURATION = 0x420f;
export const PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG = 0x4211;
export const PTRACE_O_TRACESYSGOOD = 1;
export const PTRACE_O_TRACEFORK = 2;
export const PTRACE_O_TRACEVFORK = 4;
export const PTRACE_O_TRACECLONE = 8;
export const PTRACE_O_TRACEEXEC = 0x10;
export const PTRACE_O_TRACEEXIT = 0x40;
export const PTRACE_O_EXITKILL = 0x100000;
export const PTRACE_O_SUSPEND_SECCOMP = 0x200000;
export const PTRACE_EVENT_FORK = 1;
export const PTRACE_EVENT_VFORK = 2;
export const PTRACE_EVENT_CLONE = 3;
export const PTRACE_EVENT_EXEC = 4;
export const PTRACE_EVENT_VFORK_DONE = 5;
export const PTRACE_EVENT_EXIT = 6;
export const PTRACE_EVENT_SECCOMP = 7;
export const PTRACE_EVENT_STOP = 128;
export const PTRACE_SYSCALL_INFO_NONE = 0;
export const PTRACE_SYSCALL_INFO_ENTRY = 1;
export const PTRACE_SYSCALL_INFO_EXIT = 2;

// ---- elf.h: types of register sets, and of core notes
export const NT_PRSTATUS = 1;
export const NT_PRFPREG = 2;
export const NT_X86_XSTATE = 0x202;

// ---- linux/errno.h of the kernel, not exported: what a tracer sees in rax of an interrupted call
export const ERESTARTSYS = 512;
export const ERESTARTNOINTR = 513;
export const ERESTARTNOHAND = 514;
export const ERESTART_RESTARTBLOCK = 516;

// ---- sys/wait.h
export const WNOHANG = 1;
export const __WALL = 0x40000000;

// ---- signal.h
export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGTRAP = 5;
export const SIGKILL = 9;
export const SIGUSR1 = 10;
export const SIGSEGV = 11;
export const SIGUSR2 = 12;
export const SIGTERM = 15;
export const SIGCONT = 18;
export const SIGSTOP = 19;
export const SIGTSTP = 20;
export const SIGTTIN = 21;
export const SIGTTOU = 22;
export const SIG_DFL = 0;
export const SIG_IGN = 1;
export const SIGEV_SIGNAL = 0;

// ---- linux/sched.h
export const CLONE_VM = 0x100;
export const CLONE_FS = 0x200;
export const CLONE_FILES = 0x400;
export const CLONE_SIGHAND = 0x800;
export const CLONE_THREAD = 0x10000;
export const CLONE_SYSVSEM = 0x40000;
export const SCHED_OTHER = 0;
export const SCHED_FIFO = 1;
export const SCHED_BATCH = 3;

// ---- linux/close_range.h
export const CLOSE_RANGE_UNSHARE = 2;

// ---- linux/pidfd.h
export const PIDFD_THREAD = 0o200;

// ---- linux/kcmp.h
export const KCMP_FILE = 0;
export const KCMP_VM = 1;
export const KCMP_FILES = 2;

// ---- sys/prctl.h
export const PR_SET_PDEATHSIG = 1;
export const PR_GET_DUMPABLE = 3;
export const PR_SET_NAME = 15;
export const PR_SET_TIMERSLACK = 29;
export const PR_GET_TID_ADDRESS = 40;

// ---- sys/resource.h
export const PRIO_PROCESS = 0;
export const RLIMIT_NPROC = 6;
export const RLIMIT_NOFILE = 7;
export const RLIMIT_CORE = 4;

// ---- time.h
export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
export const CLOCK_BOOTTIME = 7;

// ---- poll.h
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLNVAL = 32;

// ---- linux/aio_abi.h
export const IOCB_CMD_PREADV = 7;
export const IOCB_CMD_PWRITEV = 8;

// ---- linux/io_uring.h
export const IORING_OFF_SQES = 0x10000000;
export const IORING_SETUP_SINGLE_ISSUER = 0x1000;
export const IORING_SETUP_DEFER_TASKRUN = 0x2000;
export const IORING_ENTER_GETEVENTS = 1;
export const IORING_OP_READV = 1;
export const IORING_OP_WRITEV = 2;

// ---- sys/socket.h
export const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_SEQPACKET = 5;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SCM_RIGHTS = 1;
export const MSG_DONTWAIT = 0x40;
export const MSG_CTRUNC = 0x8;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x40000000;

// ---- asm/sigcontext.h, asm/ucontext.h: the signal frame
export const FP_XSTATE_MAGIC1 = 0x46505853;
export const FP_XSTATE_MAGIC2 = 0x46505845;
/** Size of FP_XSTATE_MAGIC2 after the extended state. */
export const FP_XSTATE_MAGIC2_SIZE = 4;
/** The frame has extended FPU state; the next two: ss is saved in it, and is to be restored exactly. */
export const UC_FP_XSTATE = 1;
export const UC_SIGCONTEXT_SS = 2;
export const UC_STRICT_RESTORE_SS = 4;

// ---- linux/capability.h
export const CAP_DAC_READ_SEARCH = 2;
export const CAP_KILL = 5;
export const CAP_IPC_LOCK = 14;
export const CAP_SYS_PTRACE = 19;
export const CAP_SYS_ADMIN = 21;
export const CAP_SYS_NICE = 23;
export const CAP_SYS_RESOURCE = 24;
export const CAP_CHECKPOINT_RESTORE = 40;

// ---- linux/magic.h
export const CEPH_SUPER_MAGIC = 0x00c36400;
export const CIFS_SUPER_MAGIC = 0xff534d42;
export const EXT4_SUPER_MAGIC = 0xef53;
export const FUSE_SUPER_MAGIC = 0x65735546;
export const NFS_SUPER_MAGIC = 0x6969;
export const SMB2_SUPER_MAGIC = 0xfe534d42;
export const TMPFS_MAGIC = 0x01021994;
export const V9FS_MAGIC = 0x01021997;

// ---- linux/bpf.h, linux/btf.h
export const BPF_PROG_LOAD = 5;
export const BPF_LINK_CREATE = 28;
export const BPF_ITER_CREATE = 33;
export const BPF_PROG_TYPE_TRACING = 26;
export const BPF_TRACE_ITER = 28;
export const BPF_FUNC_seq_write = 127;
export const BTF_MAGIC = 0xeb9f;
export const BTF_KIND_INT = 1;
export const BTF_KIND_ARRAY = 3;
export const BTF_KIND_STRUCT = 4;
export const BTF_KIND_UNION = 5;
export const BTF_KIND_ENUM = 6;
export const BTF_KIND_FUNC = 12;
export const BTF_KIND_FUNC_PROTO = 13;
export const BTF_KIND_VAR = 14;
export const BTF_KIND_DATASEC = 15;
export const BTF_KIND_DECL_TAG = 17;
export const BTF_KIND_ENUM64 = 19;
