/*
 * A process whose first thread ends (pthread_exit) at the command "end", while the others go on: the kernel then shows a zombie,
 * and nothing of its memory under /proc/PID.
 *
 * report: {beats}: rounds of work of the other two threads.
 */
#include "target.h"
#include <pthread.h>
#include <semaphore.h>

static volatile uint64_t beats;
static sem_t told;
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
    if (!strcmp(line, "end")) sem_post(&told);
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
  only_options(argv, "");
  sem_init(&told, 0, 0);
  if (pthread_create(&thread, NULL, work, NULL) || pthread_create(&thread, NULL, answer, NULL)) die("pthread_create");
  while (sem_wait(&told)) {}
  pthread_exit(NULL);
}
