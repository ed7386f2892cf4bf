/*
 * A process whose threads stand still in a place that a debugger can tell: each is named still-N and waits in
 * level_1, called by level_2, called by thread_main, with N in its own thread-local variable and a mark on its stack.
 *
 *   --threads N   beside the main thread, 3 by default
 *
 * READY tells the addresses of: `word` (anonymous, 8 bytes known), `hidden` (MADV_DONTDUMP), `changed` (a written
 * page of a private file mapping), `untouched` (never written).
 */
#include "target.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static pthread_barrier_t all_there;
static __thread uint64_t own_number;
static char changed[PAGE] = "initial";

__attribute__((noinline)) static void level_1(volatile uint64_t *mark) {
  pthread_barrier_wait(&all_there);
  for (;;) pause();
  (void)mark;
}

__attribute__((noinline)) static void level_2(uint64_t number) {
  volatile uint64_t mark = mix64(number);
  level_1(&mark);
  BARRIER();
}

static void *thread_main(void *argument) {
  own_number = (uint64_t)argument;
  char name[16];
  snprintf(name, sizeof name, "still-%lu", own_number);
  prctl(PR_SET_NAME, name);
  level_2(own_number);
  return NULL;
}

static uint64_t *map(void) {
  void *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) die("mmap");
  return memory;
}

int main(int argc, char **argv) {
  (void)argc;
  only_options(argv, "--threads");
  uint64_t threads = number(argv, "threads", 3);
  uint64_t *word = map();
  *word = 0x1122334455667788ul;
  uint64_t *hidden = map();
  *hidden = 1;
  if (madvise(hidden, 4 * PAGE, MADV_DONTDUMP)) die("madvise");
  strcpy(changed, "changed");
  if (pthread_barrier_init(&all_there, NULL, (unsigned)threads + 1)) die("barrier");
  for (uint64_t n = 1; n <= threads; n++) {
    pthread_t thread;
    if ((errno = pthread_create(&thread, NULL, thread_main, (void *)n))) die("pthread_create");
  }
  pthread_barrier_wait(&all_there);
  printf("READY {\"word\":\"%p\",\"hidden\":\"%p\",\"changed\":\"%p\",\"untouched\":\"%p\"}\n", (void *)word, (void *)hidden,
         (void *)changed, (void *)map());
  fflush(stdout);
  char line[16];
  while (next_command(line, sizeof line))
    if (!strcmp(line, "quit")) break;
    else if (!strcmp(line, "abort")) abort();
  printf("{}\n");
  fflush(stdout);
  _exit(0);
}
