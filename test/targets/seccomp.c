/*
 * A process behind a seccomp filter, which does its work, in two threads, with what is left to it.
 *
 *   --filter docker   the calls that Docker's default profile denies fail with EPERM, userfaultfd among them
 *            allow    only the calls it needs; any other kills the process
 *            strict   SECCOMP_MODE_STRICT: read, write, exit; any other kills it (one thread)
 * report: {beats, wrong, denied}: rounds of work; results that were wrong; which of the denied calls were denied.
 */
#include "target.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static volatile uint64_t beats, wrong;
static uint64_t memory[1 << 17]; /* 1 MiB, changed all the time */
static bool alone;

static const unsigned docker_denied[] = {
    SYS_userfaultfd, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_bpf, SYS_perf_event_open,
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_setns, SYS_unshare, SYS_open_by_handle_at, SYS_init_module,
    SYS_keyctl, SYS_add_key, SYS_request_key, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_memfd_create,
    438 /* pidfd_getfd */,
};
static const unsigned needed[] = {
    SYS_read, SYS_write, SYS_exit, SYS_exit_group, SYS_futex, SYS_nanosleep, SYS_clock_nanosleep, SYS_clock_gettime,
    SYS_rt_sigreturn, SYS_restart_syscall, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_madvise, SYS_brk,
    SYS_rt_sigprocmask, SYS_set_robust_list, 334 /* rseq */, SYS_clone, 435 /* clone3 */, SYS_gettid,
};

/* seccomp(2): a call in the list gets `listed`, any other `other`. */
static void install(const unsigned *list, size_t count, uint32_t listed, uint32_t other) {
  struct sock_filter program[256];
  unsigned short n = 0;
  program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
  program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
  program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (size_t i = 0; i < count; i++) {
    program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, list[i], 0, 1);
    program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, listed);
  }
  program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, other);
  struct sock_fprog filter = {n, program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) die("PR_SET_NO_NEW_PRIVS");
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter)) die("seccomp");
}

static uint64_t work(uint64_t round) {
  uint64_t bad = 0;
  for (uint64_t i = 0; i < sizeof memory / 8; i += 64) {
    if (round && memory[i] != mix64(i + round - 1)) bad++;
    memory[i] = mix64(i + round);
  }
  return bad;
}

static void *work_for_ever(void *unused) {
  struct timespec pause = {0, MS};
  for (uint64_t round = 0;; round++) {
    wrong += work(round);
    beats = round + 1;
    nanosleep(&pause, NULL);
  }
  return unused;
}

/* write, not stdio: nothing but the calls that every filter lets through. */
__attribute__((format(printf, 1, 0))) static void say(const char *format, uint64_t a, uint64_t b, uint64_t c) {
  char text[200];
  int length = snprintf(text, sizeof text, format, a, b, c);
  if (write(1, text, (size_t)length) != length) syscall(SYS_exit, 1);
}

static void print_report(unsigned denied) {
  if (alone) {
    static uint64_t round;
    wrong += work(round++);
    beats = round;
  }
  say("{\"beats\":%lu,\"wrong\":%lu,\"denied\":%lu}\n", beats, wrong, denied);
}

static unsigned count_denied(void) {
  unsigned denied = 0;
  for (size_t i = 0; i < sizeof docker_denied / sizeof *docker_denied; i++)
    denied += syscall(docker_denied[i], -1, -1, -1, -1, -1, -1) == -1 && errno == EPERM;
  return denied;
}

int main(int argc, char **argv) {
  char line[100];
  pthread_t thread;
  unsigned denied = 0;
  (void)argc;
  only_options(argv, "--filter");
  const char *filter = option(argv, "filter", "docker");
  alone = !strcmp(filter, "strict");
  if (!alone && pthread_create(&thread, NULL, work_for_ever, NULL)) die("pthread_create");
  size_t denials = sizeof docker_denied / sizeof *docker_denied;
  if (!strcmp(filter, "docker")) {
    install(docker_denied, denials, SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ALLOW);
    denied = count_denied();
  } else if (!strcmp(filter, "allow")) {
    install(needed, sizeof needed / sizeof *needed, SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS);
  } else if (!alone || prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) {
    die("--filter %s", filter);
  }
  say("READY {\"denies\":%lu}\n", alone ? 0 : denials, 0, 0);
  while (next_command(line, sizeof line) && strcmp(line, "quit") && strcmp(line, "forbidden")) print_report(denied);
  if (!strcmp(line, "forbidden")) syscall(SYS_getpid);
  print_report(denied);
  syscall(alone ? SYS_exit : SYS_exit_group, 0);
}
