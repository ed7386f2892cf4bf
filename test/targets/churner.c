/*
 * Changes its address space as fast as it can: threads map, fill, protect, move, grow, and unmap mappings of their own, while
 * an arena that stays is written and read back.
 *
 *   --threads N
 * report: {changes, wrong}
 */
#include "target.h"
#include <pthread.h>
#include <sys/mman.h>

#define ARENA_PAGES 256ul
#define PIECE_PAGES 16ul

static uint64_t *arena, changes, wrong;
static volatile bool stopping;

static bool holds(const char *piece, uint64_t pages, uint64_t value) {
  for (uint64_t page = 0; page < pages; page++)
    if (*(const uint64_t *)(piece + page * PAGE) != mix64(value + page)) return false;
  return true;
}

static void *churn(void *argument) {
  uint64_t value = (uint64_t)argument << 32;
  while (!stopping) {
    char *piece = mmap(NULL, PIECE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (piece == MAP_FAILED) die("mmap");
    for (uint64_t page = 0; page < PIECE_PAGES; page++) *(uint64_t *)(piece + page * PAGE) = mix64(value + page);
    if (mprotect(piece + PAGE, PAGE, PROT_READ)) die("mprotect");
    if (mprotect(piece + PAGE, PAGE, PROT_READ | PROT_WRITE)) die("mprotect");
    char *moved = mremap(piece, PIECE_PAGES * PAGE, 2 * PIECE_PAGES * PAGE, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED) die("mremap");
    if (!holds(moved, PIECE_PAGES, value)) __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
    if (munmap(moved + PAGE, PAGE) || munmap(moved, 2 * PIECE_PAGES * PAGE)) die("munmap");
    value += PIECE_PAGES;
    __atomic_fetch_add(&changes, 6, __ATOMIC_RELAXED);
  }
  return NULL;
}

/* Word n of the arena is mix64(n): what does not change must be in the core, whatever stands around it. */
static void *keep(void *argument) {
  (void)argument;
  for (uint64_t round = 0; !stopping; round++) {
    uint64_t word = round % (ARENA_PAGES * PAGE / 8);
    if (arena[word] != mix64(word)) __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
    ((volatile uint64_t *)arena)[word] = mix64(word);
    if (round % 1024 == 0) usleep(1000);
  }
  return NULL;
}

static void report(void) {
  printf("{\"changes\":%lu,\"wrong\":%lu}\n", changes, wrong);
  fflush(stdout);
}

int main(int argc, char **argv) {
  (void)argc;
  only_options(argv, "--threads");
  uint64_t threads = number(argv, "threads", 2);
  arena = mmap(NULL, ARENA_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (arena == MAP_FAILED) die("mmap");
  for (uint64_t word = 0; word < ARENA_PAGES * PAGE / 8; word++) arena[word] = mix64(word);
  pthread_t handles[64], keeper;
  if (threads > 64) die("--threads wants 64 at most");
  pthread_create(&keeper, NULL, keep, NULL);
  for (uint64_t n = 0; n < threads; n++)
    if (pthread_create(&handles[n], NULL, churn, (void *)(n + 1))) die("pthread_create");
  printf("READY {\"pid\":%d,\"arena\":%lu,\"words\":%lu}\n", getpid(), (uint64_t)arena, ARENA_PAGES * PAGE / 8);
  fflush(stdout);
  for (char line[64]; next_command(line, sizeof line) && strcmp(line, "quit");) report();
  stopping = true;
  for (uint64_t n = 0; n < threads; n++) pthread_join(handles[n], NULL);
  pthread_join(keeper, NULL);
  report();
  return 0;
}
