/*
 * A process that changes its address space as it is told, one command at a time: for tests that place a change between
 * two steps of a snapshot. Its arena is --pages pages of address space, in which nothing is mapped at first.
 *
 * Commands, numbers in pages of the arena: map FIRST COUNT, fill FIRST COUNT VALUE (each word), move FIRST COUNT TO, keep
 * FIRST COUNT TO (MREMAP_DONTUNMAP), grow FIRST COUNT NEW (in place), unmap FIRST COUNT, drop FIRST COUNT (MADV_DONTNEED),
 * forbid FIRST COUNT and allow FIRST COUNT (mprotect).
 * Each is answered with {"errno"}. With "other" in front, a second thread does it, and the answer does not wait for it.
 */
#include "target.h"
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

#ifndef MREMAP_DONTUNMAP /* musl */
#define MREMAP_DONTUNMAP 4
#endif

static char *arena;
static char others[100];
static sem_t told;

static void *page(uint64_t number) { return arena + number * PAGE; }

static bool fill(uint64_t first, uint64_t count, uint64_t value) {
  for (volatile uint64_t *word = page(first); word < (uint64_t *)page(first + count); word++) *word = value;
  return true;
}

static bool map(uint64_t first, uint64_t count) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  return mmap(page(first), count * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == page(first);
}

static bool move(uint64_t first, uint64_t count, uint64_t to, int flags) {
  size_t size = count * PAGE;
  return mremap(page(first), size, size, MREMAP_MAYMOVE | MREMAP_FIXED | flags, page(to)) == page(to);
}

/* errno, or 0. */
static int perform(const char *command) {
  char name[20];
  uint64_t first, count, third = 0;
  if (sscanf(command, "%19s %lu %lu %lu", name, &first, &count, &third) < 3) return EINVAL;
  bool good = false;
  errno = EINVAL;
  if (!strcmp(name, "map")) good = map(first, count);
  if (!strcmp(name, "fill")) good = fill(first, count, third);
  if (!strcmp(name, "move")) good = move(first, count, third, 0);
  if (!strcmp(name, "keep")) good = move(first, count, third, MREMAP_DONTUNMAP);
  if (!strcmp(name, "grow")) good = mremap(page(first), count * PAGE, third * PAGE, 0) == page(first);
  if (!strcmp(name, "unmap")) good = !munmap(page(first), count * PAGE);
  if (!strcmp(name, "forbid")) good = !mprotect(page(first), count * PAGE, PROT_NONE);
  if (!strcmp(name, "allow")) good = !mprotect(page(first), count * PAGE, PROT_READ | PROT_WRITE);
  if (!strcmp(name, "drop")) good = !madvise(page(first), count * PAGE, MADV_DONTNEED);
  return good ? 0 : errno;
}

static void *other_thread(void *unused) {
  for (;;) {
    while (sem_wait(&told)) {}
    perform(others);
  }
  return unused;
}

int main(int argc, char **argv) {
  static char line[100];
  pthread_t other;
  (void)argc;
  only_options(argv, "--pages");
  size_t size = number(argv, "pages", 4096) * PAGE;
  /* far from where the kernel puts what has no address of its own */
  arena = mmap(NULL, size + GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (arena == MAP_FAILED || munmap(arena, size + GIB)) die("finding room");
  sem_init(&told, 0, 0);
  if (pthread_create(&other, NULL, other_thread, NULL)) die("pthread_create");
  printf("READY {\"arena\":%lu}\n", (uint64_t)arena);
  fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) {
    int error = 0;
    if (!strncmp(line, "other ", 6)) {
      strcpy(others, line + 6);
      sem_post(&told);
    } else {
      error = perform(line);
    }
    printf("{\"errno\":%d}\n", error);
    fflush(stdout);
  }
  puts("{}");
  fflush(stdout);
  return 0;
}
