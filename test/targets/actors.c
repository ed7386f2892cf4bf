/*
 * Writers that each do one thing after the other as they are told, and never answer: a command may have to wait for a
 * snapshot, and whoever gives it must not. What was done is in memory: page 0 of the arena holds counters for each writer
 * (target.h), around everything that it does.
 *
 *   --writers N --pages P (of the arena, all mapped and filled; as many again are left free behind it)
 * Commands: W store OFFSET VALUE, W kernel OFFSET VALUE (by read(2) from a pipe), W remove PAGE COUNT (MADV_DONTNEED),
 * and at once by the first thread: - destroy PAGE COUNT (munmap), - appear PAGE COUNT (mmap).
 * report: {done: tasks of each writer}
 */
#include "target.h"
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

#define MAX_WRITERS 8
#define MAX_TASKS 65536ul
#define STACK (64 * KIB)

enum kind { STORE, KERNEL, REMOVE };
struct task {
  enum kind kind;
  uint64_t at, value;
};

static char *arena;
static uint64_t writers, told[MAX_WRITERS];
static struct task tasks[MAX_WRITERS][MAX_TASKS];
static sem_t more[MAX_WRITERS];

static struct counters *counters_of(uint64_t writer) { return (struct counters *)arena + writer; }

static void kernel_store(int *pipe_ends, struct task t) {
  if (write(pipe_ends[1], &t.value, sizeof t.value) != sizeof t.value) die("write");
  while (read(pipe_ends[0], arena + t.at, sizeof t.value) != sizeof t.value)
    if (errno != EINTR) die("read");
}

static void perform(int *pipe_ends, struct task t) {
  if (t.kind == STORE) *(volatile uint64_t *)(arena + t.at) = t.value;
  if (t.kind == KERNEL) kernel_store(pipe_ends, t);
  if (t.kind == REMOVE && madvise(arena + t.at * PAGE, t.value * PAGE, MADV_DONTNEED) && errno != ENOMEM) die("madvise");
}

static void *work(void *argument) {
  uint64_t writer = (uint64_t)argument;
  int pipe_ends[2];
  if (pipe(pipe_ends)) die("pipe");
  for (uint64_t n = 0;; n++) {
    while (sem_wait(&more[writer])) {}
    counters_of(writer)->begin = n + 1;
    BARRIER();
    perform(pipe_ends, tasks[writer][n]);
    BARRIER();
    counters_of(writer)->end = n + 1;
  }
  return NULL;
}

static void tell(const char *line) {
  uint64_t writer, at, value;
  char name[20];
  if (sscanf(line, "- %19s %lu %lu", name, &at, &value) == 3) {
    char *from = arena + at * PAGE;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    if (!strcmp(name, "destroy")) munmap(from, value * PAGE);
    if (!strcmp(name, "appear") && mmap(from, value * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == from)
      for (uint64_t page = 0; page < value; page++) *(volatile uint64_t *)(from + page * PAGE) = 1;
    return;
  }
  if (sscanf(line, "%lu %19s %lu %lu", &writer, name, &at, &value) != 4 || writer >= writers) die("%s", line);
  if (told[writer] == MAX_TASKS) die("too many tasks");
  enum kind kind = !strcmp(name, "store") ? STORE : !strcmp(name, "kernel") ? KERNEL : REMOVE;
  tasks[writer][told[writer]++] = (struct task){kind, at, value};
  sem_post(&more[writer]);
}

int main(int argc, char **argv) {
  static char line[100], out[4096];
  (void)argc;
  only_options(argv, "--writers --pages");
  setvbuf(stdout, out, _IOFBF, sizeof out);
  writers = number(argv, "writers", 3);
  uint64_t pages = number(argv, "pages", 64);
  if (!writers || writers > MAX_WRITERS) die("--writers wants 1 to %d", MAX_WRITERS);
  /* far from where the kernel puts what has no address of its own */
  arena = mmap(NULL, 2 * pages * PAGE + GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (arena == MAP_FAILED || munmap(arena, 2 * pages * PAGE + GIB)) die("finding room");
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  if (mmap(arena, pages * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) != arena) die("mmap");
  for (uint64_t page = 1; page < pages; page++)
    for (uint64_t word = 0; page % 4 && word < PAGE / 8; word++) ((uint64_t *)arena)[page * PAGE / 8 + word] = page << 32 | word;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK);
  for (uint64_t writer = 0; writer < writers; writer++) {
    pthread_t thread;
    sem_init(&more[writer], 0, 0);
    counters_of(writer)->begin = 0;
    if (pthread_create(&thread, &attributes, work, (void *)writer)) die("pthread_create");
  }
  printf("READY {\"pid\":%d,\"arena\":%lu}\n", getpid(), (uint64_t)arena);
  fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) {
    if (strcmp(line, "report")) {
      tell(line);
      continue;
    }
    printf("{\"done\":[");
    for (uint64_t writer = 0; writer < writers; writer++) printf("%s%lu", writer ? "," : "", counters_of(writer)->end);
    puts("]}");
    fflush(stdout);
  }
  puts("{}");
  fflush(stdout);
  return 0;
}
