/**
 * The C functions, and the one place where koffi is loaded (on the first call, so that importing livecore loads no
 * native code).
 *
 * Each function stands beside its C prototype, with these rules:
 * - a pointer is `uintptr_t` and travels as a number (user addresses stay below 2^47): a koffi pointer would be a
 *   BigInt, allocated on every call;
 * - koffi has no `ssize_t`: `int64_t`;
 * - variadic functions (ioctl, syscall, ptrace, fcntl, open, prctl, semctl) are declared with the arguments we pass. The
 *   x86-64 ABI passes integer arguments of variadic functions in the same registers (psABI 3.5.7), and koffi's own
 *   variadic calls are slower.
 *
 * Nothing here looks at a result: the modules of this folder do, each for its own functions.
 */

import { createRequire } from 'node:module';

const PROTOTYPES = {
  // memory
  mmap: 'int64_t mmap(uintptr_t address, size_t length, int protection, int flags, int fd, int64_t offset)',
  munmap: 'int munmap(uintptr_t address, size_t length)',
  mprotect: 'int mprotect(uintptr_t address, size_t length, int protection)',
  madvise: 'int madvise(uintptr_t address, size_t length, int advice)',
  mlockall: 'int mlockall(int flags)',
  munlockall: 'int munlockall()',
  memcmp: 'int memcmp(uintptr_t left, uintptr_t right, size_t length)',
  memcpy: 'uintptr_t memcpy(uintptr_t to, uintptr_t from, size_t length)',
  memset: 'uintptr_t memset(uintptr_t to, int byte, size_t length)',
  // files
  openat: 'int openat(int directory, const char *path, int flags, int mode)',
  close: 'int close(int fd)',
  dup3: 'int dup3(int from, int to, int flags)',
  read: 'int64_t read(int fd, uintptr_t buffer, size_t length)',
  write: 'int64_t write(int fd, uintptr_t buffer, size_t length)',
  pread: 'int64_t pread(int fd, uintptr_t buffer, size_t length, int64_t offset)',
  pwrite: 'int64_t pwrite(int fd, uintptr_t buffer, size_t length, int64_t offset)',
  pwritev: 'int64_t pwritev(int fd, uintptr_t vectors, int count, int64_t offset)',
  ioctl: 'int ioctl(int fd, uintptr_t request, uintptr_t argument)',
  fcntl: 'int fcntl(int fd, int command, int64_t argument)',
  ftruncate: 'int ftruncate(int fd, int64_t length)',
  fallocate: 'int fallocate(int fd, int mode, int64_t offset, int64_t length)',
  fsync: 'int fsync(int fd)',
  linkat: 'int linkat(int fromDirectory, const char *from, int toDirectory, const char *to, int flags)',
  unlinkat: 'int unlinkat(int directory, const char *path, int flags)',
  renameat2:
    'int renameat2(int fromDirectory, const char *from, int toDirectory, const char *to, uint flags)',
  lseek: 'int64_t lseek(int fd, int64_t offset, int whence)',
  getdents64: 'int64_t getdents64(int fd, uintptr_t buffer, size_t length)',
  statx: 'int statx(int directory, const char *path, int flags, uint mask, uintptr_t buffer)',
  fstatfs: 'int fstatfs(int fd, uintptr_t buffer)',
  // processes
  ptrace: 'int64_t ptrace(int64_t request, int64_t pid, uintptr_t address, uintptr_t data)',
  wait4: 'int wait4(int pid, uintptr_t status, int options, uintptr_t usage)',
  setsid: 'int setsid()',
  prctl: 'int prctl(int option, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d)',
  prlimit: 'int prlimit(int pid, int resource, uintptr_t newLimit, uintptr_t oldLimit)',
  getpriority: 'int getpriority(int which, int who)',
  setpriority: 'int setpriority(int which, int who, int priority)',
  sched_setaffinity: 'int sched_setaffinity(int pid, size_t size, uintptr_t mask)',
  sched_getaffinity: 'int sched_getaffinity(int pid, size_t size, uintptr_t mask)',
  sched_getscheduler: 'int sched_getscheduler(int pid)',
  sched_setscheduler: 'int sched_setscheduler(int pid, int policy, uintptr_t parameter)',
  signal: 'int64_t signal(int signal, uintptr_t handler)',
  // time and waiting
  clock_gettime: 'int clock_gettime(int clock, uintptr_t time)',
  ppoll: 'int ppoll(uintptr_t fds, size_t count, uintptr_t timeout, uintptr_t mask)',
  timer_create: 'int timer_create(int clock, uintptr_t event, uintptr_t timer)',
  timer_settime: 'int timer_settime(uintptr_t timer, int flags, uintptr_t value, uintptr_t old)',
  timer_delete: 'int timer_delete(uintptr_t timer)',
  // sockets
  socketpair: 'int socketpair(int domain, int type, int protocol, uintptr_t fds)',
  sendmsg: 'int64_t sendmsg(int fd, uintptr_t message, int flags)',
  recvmsg: 'int64_t recvmsg(int fd, uintptr_t message, int flags)',
  // everything that glibc 2.36 has no function for
  syscall:
    'int64_t syscall(int64_t number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f)',
} as const;

/** Name of a C function of the table. */
export type NativeName = keyof typeof PROTOTYPES;

// the TypeScript type of a function follows from its prototype: a string for `const char *`, else a number
type Parameter<P extends string> = P extends `const char *${string}` ? string : number;
type Parameters<P extends string> = P extends ''
  ? []
  : P extends `${infer First}, ${infer Rest}`
    ? [Parameter<First>, ...Parameters<Rest>]
    : [Parameter<P>];
type NativeFunction<P extends string> = P extends `${string}(${infer A})`
  ? (...args: Parameters<A>) => number
  : never;

/** The table as functions. Results are as in C: usually -1 with {@link errno} set. */
export type Native = { [N in NativeName]: NativeFunction<(typeof PROTOTYPES)[N]> };

type AnyFunction = (...args: (number | string)[]) => number;

/** A function as koffi has it: also one that runs on a thread of libuv's pool, and calls back. */
type KoffiFunction = AnyFunction & {
  async(...args: [...(number | string)[], (error: unknown, result: number) => void]): void;
};

/** Stands between a wrapper and a C function: gets its name and the function, returns what is called instead. */
export type Interposer = (
  name: NativeName,
  original: AnyFunction,
  fail: (errno: number) => -1,
) => AnyFunction;

interface Koffi {
  load(path: string): { func(prototype: string): KoffiFunction };
  view(address: number, length: number): ArrayBuffer;
  errno(value?: number): number;
}

let koffi: Koffi | undefined;
const later = new Map<NativeName, KoffiFunction>();
let interposer: Interposer | undefined;

/** The C functions. Each entry loads the library on its first call and replaces itself by the function. */
export const libc: Native = Object.fromEntries(
  Object.keys(PROTOTYPES).map((name) => [name, unloaded(name as NativeName)]),
) as unknown as Native;

function unloaded(name: NativeName): AnyFunction {
  return (...args) => {
    loadNative();
    return (libc[name] as AnyFunction)(...args);
  };
}

function loadKoffi(): Koffi {
  koffi ??= createRequire(import.meta.url)('koffi') as Koffi;
  return koffi;
}

/** Loads the library now, so that no later call pays for it. */
export function loadNative(): void {
  const native = loadKoffi();
  const library = native.load('libc.so.6');
  const fail = (errno: number): -1 => {
    native.errno(errno);
    return -1;
  };
  for (const [name, prototype] of Object.entries(PROTOTYPES) as [NativeName, string][]) {
    const original = library.func(prototype);
    (libc as Record<string, AnyFunction>)[name] = interposer ? interposer(name, original, fail) : original;
  }
}

/**
 * Calls a C function on another thread, for calls that may wait where this one must not. Its errno is lost. Not for
 * the loop, which has no event loop running.
 */
export function callLater(name: NativeName, ...args: number[]): Promise<number> {
  const called = later.get(name) ?? loadKoffi().load('libc.so.6').func(PROTOTYPES[name]);
  later.set(name, called);
  return new Promise((resolve, reject) => {
    called.async(...args, (error, result) => (error ? reject(error) : resolve(result)));
  });
}

/**
 * The seam of fault injection: from now on every C function is called through what `wrap` makes of it. For tests only;
 * `undefined` restores the plain functions.
 */
export function interpose(wrap: Interposer | undefined): void {
  interposer = wrap;
  loadNative();
}

/** Error number of the last C function that failed, positive. Ask at once: any other call may change it. */
export function errno(): number {
  return koffi!.errno();
}

/** Foreign memory as an ArrayBuffer. It must outlive every use of the buffer: touching it after munmap is a crash. */
export function viewMemory(address: number, length: number): ArrayBuffer {
  return loadKoffi().view(address, length);
}
