/*
 * Tries to get hold of descriptors that somebody else makes inside it: threads look through the descriptors of the process
 * and of each of its threads, new ones at once, and take what they find by pidfd_getfd(2); others fork all the time, and the
 * children look at what they inherited.
 *
 *   --threads N (of each kind that looks)
 *   --forks 0     none of them forks
 *   --sharer 1    a process that shares nothing but the descriptors looks at them as well
 * report: looks, born (threads that nobody here made), and how often a userfaultfd or /dev/userfaultfd was caught (taken from
 * another thread), kept (found in the process' own table), inherited (by a child) and listed (in /proc)
 */
#include "target.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif
#define FDS 12
#define TIDS_MAX 256
#define ADD(counter) __atomic_fetch_add(&(counter), 1, __ATOMIC_RELAXED)

/* shared with the children */
static struct shared {
  uint64_t looks, born, caught, inherited, kept, listed;
} *shared;
static int own[TIDS_MAX];
static unsigned own_count;
static volatile bool started, stopping;

static bool is_prey(int fd) {
  char path[64], link[128];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(path, link, sizeof link - 1);
  if (length <= 0) return false;
  link[length] = 0;
  return strstr(link, "userfaultfd") != NULL;
}

static bool is_own(int tid) {
  for (unsigned n = 0; n < own_count; n++)
    if (own[n] == tid) return true;
  return false;
}

/* Takes from a thread whatever it has under its first numbers; what is prey is kept for good. */
static void rob(int tid) {
  int pidfd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);
  if (pidfd < 0) return;
  ADD(shared->born);
  for (int idle = 0; idle < 1000; idle++)
    for (int fd = 0; fd < FDS; fd++) {
      int taken = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
      if (taken < 0) {
        if (errno == ESRCH) goto over;
        continue;
      }
      if (is_prey(taken)) ADD(shared->caught);
      else close(taken);
    }
over:
  close(pidfd);
}

/* Looks for threads that nobody here made. */
static void *hunt_threads(void *argument) {
  (void)argument;
  while (!started) {}
  DIR *tasks = opendir("/proc/self/task");
  if (!tasks) die("opendir");
  while (!stopping) {
    rewinddir(tasks);
    for (struct dirent *each; (each = readdir(tasks));) {
      int tid = atoi(each->d_name);
      if (tid && !is_own(tid)) rob(tid);
    }
    ADD(shared->looks);
  }
  return NULL;
}

/* The next thread has a number that can be guessed. */
static void *guess_threads(void *argument) {
  (void)argument;
  while (!started) {}
  while (!stopping) {
    char text[32] = "";
    int fd = open("/proc/sys/kernel/ns_last_pid", O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) die("ns_last_pid");
    close(fd);
    int last = atoi(text);
    for (int tid = last; tid < last + 3; tid++)
      if (!is_own(tid) && syscall(SYS_tgkill, getpid(), tid, 0) == 0) rob(tid);
    ADD(shared->looks);
  }
  return NULL;
}

/* To those that have to be quick: setpriority(2) is a thread's own on Linux. */
static void leave_the_cpu(void) { setpriority(PRIO_PROCESS, 0, 19); }

/* Looks through the process' own table, by its list and by doubling each number that is free as a rule. */
static void *hunt_own(void *argument) {
  (void)argument;
  leave_the_cpu();
  while (!stopping) {
    for (int fd = 3; fd < 64; fd++) {
      int copy = dup(fd);
      if (copy < 0) continue;
      if (is_prey(copy)) ADD(shared->kept);
      close(copy);
    }
    ADD(shared->looks);
    usleep(50);
  }
  return NULL;
}

static void *fork_all_the_time(void *argument) {
  (void)argument;
  leave_the_cpu();
  while (!stopping) {
    pid_t child = fork();
    if (child < 0) continue;
    if (child == 0) {
      for (int fd = 3; fd < 64; fd++)
        if (is_prey(fd)) ADD(shared->inherited);
      _exit(0);
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
    ADD(shared->looks);
    usleep(500);
  }
  return NULL;
}

/* What is open here must be what this program opened. */
static void *hunt_info(void *argument) {
  (void)argument;
  while (!stopping) {
    DIR *list = opendir("/proc/self/fdinfo");
    if (!list) die("opendir");
    for (struct dirent *each; (each = readdir(list));)
      if (atoi(each->d_name) > 2 && is_prey(atoi(each->d_name))) ADD(shared->listed);
    closedir(list);
    ADD(shared->looks);
    usleep(200);
  }
  return NULL;
}

static int share_descriptors(void *argument) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  hunt_own(argument);
  return 0;
}

static void report(void) {
  printf("{\"looks\":%lu,\"born\":%lu,\"caught\":%lu,\"inherited\":%lu,\"kept\":%lu,\"listed\":%lu}\n", shared->looks,
         shared->born, shared->caught, shared->inherited, shared->kept, shared->listed);
  fflush(stdout);
}

static void *sleep_on(void *argument) {
  (void)argument;
  while (!stopping) usleep(1000000);
  return NULL;
}

int main(int argc, char **argv) {
  (void)argc;
  only_options(argv, "--threads --forks --sharer");
  uint64_t threads = number(argv, "threads", 1);
  int flags = MAP_SHARED | MAP_ANONYMOUS;
  shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (shared == MAP_FAILED) die("mmap");
  void *(*kinds[])(void *) = {hunt_threads, guess_threads, hunt_own, fork_all_the_time, hunt_info, sleep_on};
  for (uint64_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
    for (uint64_t n = 0; n < threads; n++) {
      if (kinds[kind] == fork_all_the_time && !number(argv, "forks", 1)) continue;
      pthread_t thread;
      if (pthread_create(&thread, NULL, kinds[kind], NULL)) die("pthread_create");
    }
  static char stack[64 * KIB];
  if (number(argv, "sharer", 0) && clone(share_descriptors, stack + sizeof stack, CLONE_FILES | SIGCHLD, NULL) < 0)
    die("clone");
  DIR *tasks = opendir("/proc/self/task");
  for (struct dirent *each; (each = readdir(tasks));)
    if (atoi(each->d_name) && own_count < TIDS_MAX) own[own_count++] = atoi(each->d_name);
  closedir(tasks);
  started = true;
  printf("READY {\"pid\":%d}\n", getpid());
  fflush(stdout);
  for (char line[64]; next_command(line, sizeof line) && strcmp(line, "quit");) report();
  stopping = true;
  report();
  return 0;
}
