/* Changes one thing about itself for each command, so that a watch can be seen to notice it. */
#include "target.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char *memory;
static int epoll, file;

static void *sleeper(void *unused) {
  for (;;) pause();
  return unused;
}

static bool change_signals(const char *what) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  if (!strcmp(what, "block")) return !sigprocmask(SIG_BLOCK, &set, NULL);
  if (!strcmp(what, "ignore")) return signal(SIGUSR2, SIG_IGN) != SIG_ERR;
  if (!strcmp(what, "pend")) return !sigprocmask(SIG_BLOCK, &set, NULL) && !raise(SIGUSR1);
  return false;
}

static bool change_memory(const char *what) {
  if (!strcmp(what, "map")) return mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
  if (!strcmp(what, "unmap")) return !munmap(memory + 8 * PAGE, PAGE);
  if (!strcmp(what, "protect")) return !mprotect(memory, PAGE, PROT_READ);
  if (!strcmp(what, "touch")) return memset(memory, 1, 4 * PAGE);
  if (!strcmp(what, "lock")) return !mlock(memory, PAGE);
  if (strcmp(what, "uffd")) return false;
  int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  struct uffdio_api api = {.api = UFFD_API};
  struct uffdio_register range = {{(uint64_t)memory, 16 * PAGE}, UFFDIO_REGISTER_MODE_WP, 0};
  return fd >= 0 && !ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &range);
}

static bool change_rest(const char *what) {
  cpu_set_t cpus;
  pthread_t thread;
  struct rlimit limit = {100, 100};
  struct sched_param low = {0};
  struct epoll_event event = {.events = EPOLLIN};
  CPU_ZERO(&cpus);
  CPU_SET(0, &cpus);
  if (!strcmp(what, "open")) return open("/dev/null", O_RDONLY) >= 0;
  if (!strcmp(what, "cloexec")) return !fcntl(file, F_SETFD, FD_CLOEXEC);
  if (!strcmp(what, "epoll")) return !epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
  if (!strcmp(what, "flock")) return !flock(file, LOCK_EX);
  if (!strcmp(what, "thread")) return !pthread_create(&thread, NULL, sleeper, NULL);
  if (!strcmp(what, "name")) return !prctl(PR_SET_NAME, "renamed");
  if (!strcmp(what, "nice")) return nice(3) == 3;
  if (!strcmp(what, "policy")) return !sched_setscheduler(0, SCHED_BATCH, &low);
  if (!strcmp(what, "affinity")) return !sched_setaffinity(0, sizeof cpus, &cpus);
  if (!strcmp(what, "limit")) return !setrlimit(RLIMIT_NOFILE, &limit);
  if (!strcmp(what, "privileges")) return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (!strcmp(what, "chdir")) return !chdir("/");
  if (!strcmp(what, "slack")) return !prctl(PR_SET_TIMERSLACK, 12345);
  if (strcmp(what, "child")) return false;
  pid_t self = getpid(), child = fork();
  if (child == 0) {
    die_with(self);
    sleeper(NULL);
  }
  return child > 0;
}

int main(int argc, char **argv) {
  char line[100];
  (void)argc;
  /* between two pages of another kind, or the kernel would make one mapping of it and its neighbours */
  memory = mmap(NULL, 18 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memory += PAGE;
  mprotect(memory, 16 * PAGE, PROT_READ | PROT_WRITE);
  epoll = epoll_create1(0);
  file = open(argv[0], O_RDONLY);
  printf("READY\n");
  fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) {
    errno = 0;
    bool done = change_signals(line) || change_memory(line) || change_rest(line);
    printf("{\"done\":%s,\"errno\":%d}\n", done ? "true" : "false", errno);
    fflush(stdout);
  }
  puts("{}");
  return 0;
}
