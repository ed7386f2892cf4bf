/*
 * A process at its limits: every descriptor that RLIMIT_NOFILE allows is open, and, where the limit is as low as
 * that, no further task can be made. Whatever works on it must do without.
 *
 *   --nofile N       sets the limit to N and fills it (64)
 *   --nproc P        sets RLIMIT_NPROC (only means something without root's rights)
 * report: {open, canOpen, canStart, reused, wrong}: could it open a descriptor, start a thread, just now; is a
 * descriptor that is closed the next to be opened; how many are not any more what was opened.
 */
#include "target.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

static int opened[65536];
static ino_t inodes[65536];
static int count;

static void fill(void) {
  for (int fd; count < 65536 && (fd = open("/proc/self/status", O_RDONLY)) >= 0; count++) {
    struct stat s;
    opened[count] = fd;
    inodes[count] = fstat(fd, &s) ? 0 : s.st_ino;
  }
}

static void *nothing(void *unused) { return unused; }

static bool can_start(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, nothing, NULL)) return false;
  pthread_join(thread, NULL);
  return true;
}

static bool can_open(void) {
  int fd = open("/dev/null", O_RDONLY);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

/* A program that closes descriptor n and opens a file counts on getting n. */
static bool lowest_is_reused(void) {
  struct stat s;
  int middle = opened[count / 2];
  if (close(middle)) return false;
  int again = open("/proc/self/status", O_RDONLY);
  inodes[count / 2] = fstat(again, &s) ? 0 : s.st_ino;
  return again == middle;
}

static void print_report(void) {
  int wrong = 0;
  for (int i = 0; i < count; i++) {
    struct stat s;
    wrong += fstat(opened[i], &s) || s.st_ino != inodes[i];
  }
  bool reused = lowest_is_reused(), opens = can_open(), starts = can_start();
  printf("{\"open\":%d,\"canOpen\":%s,\"canStart\":%s,\"reused\":%s,\"wrong\":%d}\n", count, opens ? "true" : "false",
         starts ? "true" : "false", reused ? "true" : "false", wrong);
  fflush(stdout);
}

int main(int argc, char **argv) {
  char line[100];
  (void)argc;
  only_options(argv, "--nofile --nproc");
  struct rlimit files = {number(argv, "nofile", 64), number(argv, "nofile", 64)};
  struct rlimit processes = {number(argv, "nproc", 0), number(argv, "nproc", 0)};
  if (setrlimit(RLIMIT_NOFILE, &files)) die("RLIMIT_NOFILE");
  if (processes.rlim_cur && setrlimit(RLIMIT_NPROC, &processes)) die("RLIMIT_NPROC");
  fill();
  printf("READY {\"open\":%d}\n", count);
  fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) print_report();
  print_report();
  return 0;
}
