/*
 * A great number of mappings and of threads, all asleep. Each mapping's one page holds a word that is known, and each thread
 * one on its stack.
 *
 *   --mappings M (pairs of one that can be written and one that can only be read, so that no two are joined)
 *   --full 1 (as many single pages more as the limit of mappings allows)
 *   --threads T (with stacks of 32 KiB, two mappings each)
 * report: {mappings, threads, wrong}. SIGUSR1 ends the last thread, whoever else is stopped.
 */
#include "target.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define STACK (32 * KIB)

static char *memory;
static uint64_t mappings, threads, ready, wrong;
static pthread_t *handles;
static pid_t *ids;
static sigset_t only_usr1;
static int told; /* a futex */

static long futex(int *word, int operation, int value) { return syscall(SYS_futex, word, operation, value, NULL, NULL, 0); }

static void end_thread(int signal) {
  (void)signal;
  syscall(SYS_exit, 0);
}

static void *sleep_on(void *argument) {
  uint64_t number = (uint64_t)argument;
  volatile uint64_t word = mix64(number);
  ids[number] = gettid();
  if (number == threads - 1) pthread_sigmask(SIG_UNBLOCK, &only_usr1, NULL);
  __atomic_fetch_add(&ready, 1, __ATOMIC_RELEASE);
  while (!__atomic_load_n(&told, __ATOMIC_ACQUIRE)) futex(&told, FUTEX_WAIT_PRIVATE, 0);
  if (word != mix64(number)) __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
  return NULL;
}

static uint64_t *word_of(uint64_t mapping) { return (uint64_t *)(memory + 2 * mapping * PAGE); }

static void report(void) {
  uint64_t bad = wrong;
  for (uint64_t mapping = 0; mapping < mappings; mapping++) bad += *word_of(mapping) != mix64(mapping);
  printf("{\"mappings\":%lu,\"threads\":%lu,\"wrong\":%lu}\n", 2 * mappings, threads, bad);
  fflush(stdout);
}

int main(int argc, char **argv) {
  (void)argc;
  only_options(argv, "--mappings --threads --full");
  mappings = number(argv, "mappings", 0) / 2;
  threads = number(argv, "threads", 0);
  if (mappings) {
    memory = mmap(NULL, 2 * mappings * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) die("mmap");
    madvise(memory, 2 * mappings * PAGE, MADV_NOHUGEPAGE);
  }
  for (uint64_t mapping = 0; mapping < mappings; mapping++) {
    *word_of(mapping) = mix64(mapping);
    if (mprotect((char *)word_of(mapping) + PAGE, PAGE, PROT_READ)) die("mprotect of mapping %lu", mapping);
  }
  sigemptyset(&only_usr1);
  sigaddset(&only_usr1, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &only_usr1, NULL);
  signal(SIGUSR1, end_thread);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK);
  handles = calloc(threads + 1, sizeof *handles);
  ids = calloc(threads + 1, sizeof *ids);
  for (uint64_t thread = 0; thread < threads; thread++)
    if (pthread_create(&handles[thread], &attributes, sleep_on, (void *)thread)) die("pthread_create of %lu", thread);
  while (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) < threads) usleep(1000);
  bool full = number(argv, "full", 0);
  while (full) {
    /* every second page of a reservation, so that no two are joined */
    char *pair = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pair == MAP_FAILED || mprotect(pair, PAGE, PROT_READ | PROT_WRITE)) break;
  }
  /* a whole mapping more is allowed where a part of one is not (mm/mmap.c, mm/vma.c); shared ones are never joined */
  while (full && mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {}
  printf("READY {\"pid\":%d,\"memory\":%lu,\"lastTid\":%d}\n", getpid(), (uint64_t)memory, threads ? ids[threads - 1] : 0);
  fflush(stdout);
  for (char line[64]; next_command(line, sizeof line) && strcmp(line, "quit");) report();
  __atomic_store_n(&told, 1, __ATOMIC_RELEASE);
  futex(&told, FUTEX_WAKE_PRIVATE, INT32_MAX);
  for (uint64_t thread = 0; thread < threads; thread++) pthread_join(handles[thread], NULL);
  report();
  return 0;
}
