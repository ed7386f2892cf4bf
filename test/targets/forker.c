/*
 * A family of processes that share copy-on-write memory: the parent touches M MiB, its children write to a part of
 * it now and then, are replaced by new ones, and each checks that it sees its own writes and the parent's memory
 * as it was when it was forked. A second thread runs a program by vfork (posix_spawn) over and over.
 *
 *   --mib M --children C --life-ms L (0: they live until the end) --spawn R (programs a second)
 *   --idle 1         nobody writes and nobody dies: then Pss must not change
 * report: {children: [pid...], forks, spawns, wrong, failedSpawns}
 */
#include "target.h"
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define MAX_CHILDREN 64

static struct shared {
  uint64_t wrong; /* of all children, alive and dead */
} *shared;
static uint64_t *memory, words, children, life_ns, spawn_rate;
static pid_t pids[MAX_CHILDREN];
static uint64_t forks, spawns, failed_spawns, parent_writes;
static bool idle, stopping;

#define PAGE_WORDS (PAGE / 8)

/* Words 0 of each page: the parent's count of writes to it; the rest never changes. */
static uint64_t constant(uint64_t word) { return mix64(word) | 1; }

static uint64_t check_constants(uint64_t from) {
  uint64_t bad = 0;
  for (uint64_t word = from % 7 + 1; word < words; word += 97)
    if (word % PAGE_WORDS && memory[word] != constant(word)) bad++;
  return bad;
}

/* The child: its own value in some pages, everything else as it was at the fork, until it is told to die. */
static void live(uint64_t number, pid_t parent) {
  die_with(parent);
  uint64_t pages = words / PAGE_WORDS, mark = mix64(number), frozen = memory[0];
  uint64_t end = life_ns ? now_ns() + life_ns + mark % life_ns : ~0ul;
  for (uint64_t round = 1; now_ns() < end; round++) {
    if (idle) {
      pause();
      continue;
    }
    uint64_t own = 1 + mix64(mark + round) % (pages - 1);
    memory[own * PAGE_WORDS] = mark;
    usleep(2000);
    uint64_t bad = memory[own * PAGE_WORDS] != mark;
    bad += memory[0] != frozen; /* the parent's later writes are not seen here */
    if (round % 16 == 0) bad += check_constants(round);
    if (bad) __atomic_fetch_add(&shared->wrong, bad, __ATOMIC_RELAXED);
  }
  _exit(0);
}

static void bear(uint64_t slot) {
  pid_t self = getpid(), pid = fork();
  if (pid < 0) die("fork");
  if (pid == 0) live(++forks, self);
  pids[slot] = pid;
  forks++;
}

static void *run_family(void *unused) {
  for (uint64_t slot = 0; slot < children; slot++) bear(slot);
  __atomic_store_n(&parent_writes, 1, __ATOMIC_RELEASE);
  while (!__atomic_load_n(&stopping, __ATOMIC_RELAXED)) {
    usleep(1000);
    if (idle) continue;
    memory[0] = ++parent_writes;
    memory[parent_writes % (words / PAGE_WORDS) * PAGE_WORDS] = parent_writes;
    for (uint64_t slot = 0; slot < children; slot++) {
      int status;
      if (waitpid(pids[slot], &status, WNOHANG) != pids[slot]) continue;
      if (status) __atomic_fetch_add(&shared->wrong, 1, __ATOMIC_RELAXED);
      bear(slot);
    }
  }
  return unused;
}

static void *run_programs(void *unused) {
  extern char **environ;
  char *const arguments[] = {"true", NULL};
  uint64_t start = now_ns();
  for (uint64_t n = 0; spawn_rate && !__atomic_load_n(&stopping, __ATOMIC_RELAXED); n++) {
    pid_t pid;
    int status = 1;
    /* glibc's posix_spawn is clone(CLONE_VM | CLONE_VFORK): for a moment two tasks share this memory */
    if (posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ)) failed_spawns++;
    else if (waitpid(pid, &status, 0) != pid || status) failed_spawns++;
    spawns++;
    sleep_until(start + n * 1000000000ul / spawn_rate);
  }
  return unused;
}

static void print_report(void) {
  printf("{\"forks\":%lu,\"spawns\":%lu,\"failedSpawns\":%lu,\"wrong\":%lu,\"children\":[", forks, spawns,
         failed_spawns, shared->wrong);
  for (uint64_t slot = 0; slot < children; slot++) printf("%s%d", slot ? "," : "", pids[slot]);
  puts("]}");
  fflush(stdout);
}

int main(int argc, char **argv) {
  char line[100];
  pthread_t family, programs;
  (void)argc;
  only_options(argv, "--mib --children --life-ms --spawn --idle");
  words = number(argv, "mib", 64) * MIB / 8;
  children = number(argv, "children", 2);
  life_ns = number(argv, "life-ms", 0) * MS;
  spawn_rate = number(argv, "spawn", 0);
  idle = number(argv, "idle", 0);
  if (children > MAX_CHILDREN || words < 2 * PAGE_WORDS) die("--children or --mib");
  shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  memory = mmap(NULL, words * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || shared == MAP_FAILED) die("mmap");
  for (uint64_t word = 0; word < words; word++) memory[word] = word % PAGE_WORDS ? constant(word) : 0;
  if (pthread_create(&family, NULL, run_family, NULL) || pthread_create(&programs, NULL, run_programs, NULL))
    die("pthread_create");
  while (!__atomic_load_n(&parent_writes, __ATOMIC_ACQUIRE)) usleep(100);
  printf("READY {\"bytes\":%lu}\n", words * 8);
  fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) print_report();
  __atomic_store_n(&stopping, true, __ATOMIC_RELAXED);
  pthread_join(family, NULL);
  pthread_join(programs, NULL);
  shared->wrong += check_constants(0);
  for (uint64_t slot = 0; slot < children; slot++) {
    kill(pids[slot], SIGKILL);
    waitpid(pids[slot], NULL, 0);
  }
  print_report();
  return 0;
}
