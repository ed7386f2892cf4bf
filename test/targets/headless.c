/*
 * A process whose first thread ends (pthread_exit) while the others go on: the kernel then shows a zombie, and nothing of
 * its memory under /proc/PID.
 *
 *   --after MS   how long after READY it ends
 * report: {beats}: rounds of work of the other two threads.
 */
#include "target.h"
#include <pthread.h>

static volatile uint64_t beats;
static volatile uint64_t memory[1 << 20]; /* 8 MiB, changed all the time */

static void *work(void *unused) {
  struct timespec pause = {0, MS};
  for (;; beats++) {
    for (uint64_t i = 0; i < sizeof memory / 8; i += 512) memory[i]++;
    nanosleep(&pause, NULL);
  }
  return unused;
}

static void *answer(void *unused) {
  char line[100];
  printf("READY {}\n");
  fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) {
    printf("{\"beats\":%lu}\n", beats);
    fflush(stdout);
  }
  printf("{\"beats\":%lu}\n", beats);
  fflush(stdout);
  _exit(0);
  return unused;
}

int main(int argc, char **argv) {
  pthread_t thread;
  (void)argc;
  only_options(argv, "--after");
  uint64_t after = number(argv, "after", 0) * MS;
  if (pthread_create(&thread, NULL, work, NULL) || pthread_create(&thread, NULL, answer, NULL)) die("pthread_create");
  sleep_until(now_ns() + after);
  pthread_exit(NULL);
}
