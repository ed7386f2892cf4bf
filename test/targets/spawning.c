/*
 * A thread that waits in vfork(2) for a child that goes nowhere: nothing stops it, for the kernel lets it go only with
 * the child. The first thread sleeps a millisecond at a time.
 *
 * report: {longestNs: what the longest of these sleeps took}
 */
#include "target.h"
#include <pthread.h>
#include <sys/prctl.h>

static volatile uint64_t longest;
static volatile pid_t child;

static void *spawn(void *unused) {
  (void)unused;
  pid_t self = getpid();
  pid_t made = vfork();
  if (made == 0) {
    die_with(self);
    child = getpid();
    for (;;) pause();
  }
  return NULL;
}

static void *report(void *unused) {
  (void)unused;
  char line[100];
  while (next_command(line, sizeof line) && strcmp(line, "quit")) {
    printf("{\"longestNs\":%lu}\n", longest);
    fflush(stdout);
  }
  kill(child, SIGKILL);
  printf("{\"longestNs\":%lu}\n", longest);
  fflush(stdout);
  _exit(0);
}

int main(int argc, char **argv) {
  pthread_t threads[2];
  (void)argc;
  only_options(argv, "");
  prctl(PR_SET_DUMPABLE, 1); /* who has given up its user is not */
  if (pthread_create(&threads[0], NULL, spawn, NULL)) die("pthread_create");
  while (child == 0) usleep(1000);
  if (pthread_create(&threads[1], NULL, report, NULL)) die("pthread_create");
  puts("READY {}");
  fflush(stdout);
  for (;;) {
    uint64_t before = now_ns();
    usleep(1000);
    if (now_ns() - before > longest) longest = now_ns() - before;
  }
}
