/*
 * Threads that write to memory by a plan (pattern.h) and record their own stalls (stalls.h).
 *
 *   --threads N --mib M --seed S
 *   --rate W          writes a second of the whole process, on a fixed schedule; 0 = as fast as it goes
 *   --pace spin|sleep how a thread waits for its next write; spin sees every stop in full
 *   --pattern random|sequential   --reads N (random reads before each write)   --own interleaved|slice
 *   --memory anon|shared|memfd|hugetlb   --thp on|off|default
 *   --reserve-gib G   the M MiB lie scattered over a reservation of G GiB
 *   --mappings N      the memory is N mappings with an inaccessible page between
 *   --zero P --empty P   percent of the pages that start as zeros, or untouched
 *   --child none|idle|write   a forked child that keeps its copy (idle), or does the last thread's writes (write)
 *   --lead L          write k of a thread waits for write k of the thread before it, and the first thread is at most
 *                     L writes ahead of the last: causal order (pattern.h); each thread's counters have a page
 *   --gap-us T        gaps from here on are logged one by one
 *
 * Commands: report, gaps FROM TO, buckets FROM TO (CLOCK_MONOTONIC ns), forkdump PATH, stop, check, quit; exec, exec-thread:
 * becomes a sleep, by the first thread or by another one, and says nothing any more.
 */
#include "forkdump.h"
#include "stalls.h"
#include "verify.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define FREE_RUN 16 /* writes between two readings of the clock when unthrottled */

static struct plan plan;
static struct stalls **stalls;
static pthread_t *threads;
static pthread_barrier_t barrier;
static uint64_t rate, reads, start_ns;
static bool spin, has_child, child_writes;
static bool *stopping; /* shared where a child writes */
static volatile uint64_t sink;

static void *map_memory(const char *kind, uint64_t size) {
  int flags = !strcmp(kind, "anon") ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
              : !strcmp(kind, "hugetlb") ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB
              : !strcmp(kind, "shared") ? MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE
              : !strcmp(kind, "memfd") ? MAP_SHARED : 0;
  int file = -1;
  if (!flags) die("--memory %s is not known", kind);
  if (flags == MAP_SHARED) {
    file = memfd_create("writer", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, (off_t)size)) die("memfd of %lu bytes", size);
  }
  void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, file, 0);
  if (at == MAP_FAILED) die("mmap of %lu bytes of %s memory", size, kind);
  if (file >= 0) close(file);
  return at;
}

static void lay_out(char **argv) {
  const char *kind = option(argv, "memory", "anon");
  uint64_t size = number(argv, "mib", 64) * MIB, mappings = number(argv, "mappings", 1);
  uint64_t reserve = number(argv, "reserve-gib", 0) * GIB;
  plan.extent = size < MIB ? size : MIB;
  while (mappings > 1 && plan.extent > PAGE && size / plan.extent < mappings) plan.extent /= 2;
  plan.extents = size / plan.extent;
  plan.stride = mappings > 1 ? plan.extent + PAGE : plan.extent;
  if (reserve) plan.stride = reserve / plan.extents / (2 * MIB) * (2 * MIB);
  if (!plan.extents || plan.stride < plan.extent) die("%lu bytes do not fit the reservation", size);
  uint64_t all = plan.extents * plan.stride;
  plan.base = ((uint64_t)map_memory(kind, all + 2 * MIB) + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
  for (uint64_t i = 0; mappings > 1 && i < plan.extents; i++)
    if (mprotect((char *)plan.base + i * plan.stride + plan.extent, PAGE, PROT_NONE)) die("mprotect of guard %lu", i);
  if (!chosen(argv, "thp", "default", "default")) {
    int advice = chosen(argv, "thp", "on", "default") ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;
    if (madvise((void *)plan.base, all, advice)) die("madvise for huge pages");
  }
  plan.counters = (uint64_t)map_memory(strcmp(kind, "hugetlb") ? kind : "anon", counters_size(&plan));
  memset((void *)plan.counters, 0, counters_size(&plan));
  plan_divide(&plan);
}

static struct counters *counters_of(uint64_t t) {
  return (struct counters *)(plan.counters + t * plan.counters_step);
}

/* Thread t's share of the first touch. */
static void touch(uint64_t t) {
  uint64_t pages = plan_words(&plan) / (PAGE / 8);
  for (uint64_t page = pages * t / plan.threads; page < pages * (t + 1) / plan.threads; page++) {
    uint64_t word = page * (PAGE / 8);
    if (page_kind(&plan, word) == PAGE_EMPTY) continue;
    /* volatile: GCC would drop the stores of zeros to fresh memory, and the page would stay untouched */
    volatile uint64_t *at = (uint64_t *)word_address(&plan, word);
    for (uint64_t i = 0; i < PAGE / 8; i++) at[i] = first_value(&plan, word + i);
  }
}

static void read_around(uint64_t *state) {
  uint64_t words = plan_words(&plan), sum = 0;
  for (uint64_t i = 0; i < reads; i++) {
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    sum += *(volatile uint64_t *)word_address(&plan, (uint64_t)(((__uint128_t)*state * words) >> 64));
  }
  sink += sum;
}

/* Waits until the cause of write k of thread t is seen, in the very word it was written to; false when stopping. */
static bool see_cause(uint64_t t, uint64_t k, struct round *round) {
  uint64_t cause, cause_k;
  if (!causal_order(&plan, t, k, &cause, &cause_k)) return true;
  if (round->number != (cause_k - 1) / plan.slots) *round = make_round(&plan, cause, (cause_k - 1) / plan.slots);
  uint64_t slot = round_slot(round, (cause_k - 1) % plan.slots);
  volatile uint64_t *at = (uint64_t *)word_address(&plan, slot_word(&plan, cause, slot));
  for (unsigned spins = 1; *at != written_value(cause, cause_k); spins++) {
    if (__atomic_load_n(stopping, __ATOMIC_RELAXED)) return false;
    if (spins % 64 == 0) sched_yield();
  }
  return true;
}

static void write_until_stopped(uint64_t t) {
  struct stalls *mine = stalls[t];
  struct counters *count = counters_of(t);
  struct round cause_round = {.number = ~0ul};
  struct round round = make_round(&plan, t, 0);
  uint64_t k = 0, position = 0, rounds = 0, random = mix64(plan.seed + t);
  double period = rate ? 1e9 * (double)plan.threads / (double)rate : 0;
  uint64_t last = now_ns(), start = last, due = last;
  while (!__atomic_load_n(stopping, __ATOMIC_RELAXED)) {
    unsigned many = FREE_RUN;
    if (rate) {
      if (last < due && !spin) {
        sleep_until(due);
        last = due; /* the thread wanted to run from then on */
      }
      many = last >= due;
    }
    for (unsigned i = 0; i < many; i++) {
      if (!see_cause(t, k + 1, &cause_round)) {
        many = i;
        break;
      }
      if (reads) read_around(&random);
      uint64_t *at = (uint64_t *)word_address(&plan, slot_word(&plan, t, round_slot(&round, position)));
      k++;
      count->begin = k;
      BARRIER();
      *(volatile uint64_t *)at = written_value(t, k);
      BARRIER();
      count->end = k;
      if (++position == plan.slots) {
        position = 0;
        round = make_round(&plan, t, ++rounds);
      }
    }
    due = start + (uint64_t)((double)k * period);
    uint64_t now = now_ns();
    stalls_note(mine, last, now, many);
    last = now;
  }
}

static void *thread_main(void *argument) {
  uint64_t t = (uint64_t)argument;
  char name[16];
  snprintf(name, sizeof name, "writer-%lu", t);
  pthread_setname_np(pthread_self(), name);
  prctl(PR_SET_TIMERSLACK, 1);
  touch(t);
  pthread_barrier_wait(&barrier); /* memory is touched */
  pthread_barrier_wait(&barrier); /* the child is forked */
  if (child_writes && t == plan.threads - 1) return NULL;
  write_until_stopped(t);
  return NULL;
}

static struct tally verify_live(void) {
  struct tally tally = {0};
  struct counters *counters = calloc(plan.threads, sizeof *counters);
  if (!counters) die("calloc");
  for (uint64_t t = 0; t < plan.threads; t++) counters[t] = *counters_of(t);
  struct image image = make_image(&plan, counters);
  for (uint64_t extent = 0; extent < plan.extents; extent++) {
    uint64_t word = extent * (plan.extent / 8);
    verify_words(&image, word, plan.extent / 8, (uint64_t *)word_address(&plan, word), &tally);
  }
  free(image.progress);
  free(counters);
  return tally;
}

/* The child: writes as the last thread, or keeps its copy and tells at the end how many of its words changed. */
static int child_ask[2], child_tell[2];
static pid_t child_pid;

static void start_child(void) {
  if (pipe(child_ask) || pipe(child_tell)) die("pipe");
  pid_t self = getpid();
  child_pid = fork();
  if (child_pid) return;
  die_with(self);
  close(child_ask[1]);
  if (child_writes) write_until_stopped(plan.threads - 1);
  char byte;
  while (read(child_ask[0], &byte, 1) < 0 && errno == EINTR) {}
  uint64_t wrong = 0;
  if (!child_writes) {
    /* plain anonymous memory: what the parent wrote since the fork is not in this copy, nor are its counters */
    struct tally tally = verify_live();
    wrong = tally_wrong(&tally);
  }
  if (write(child_tell[1], &wrong, sizeof wrong) < 0) _exit(1);
  _exit(0);
}

static uint64_t end_child(void) {
  uint64_t wrong = ~0ull;
  int status;
  if (write(child_ask[1], "", 1) < 0 || read(child_tell[0], &wrong, sizeof wrong) != sizeof wrong) wrong = ~0ull;
  while (waitpid(child_pid, &status, 0) < 0 && errno == EINTR) {}
  has_child = false;
  return wrong;
}

static void stop_writing(void) {
  if (__atomic_exchange_n(stopping, true, __ATOMIC_SEQ_CST)) return;
  for (uint64_t t = 0; t < plan.threads; t++) pthread_join(threads[t], NULL);
}

static uint64_t writes_done(void) {
  uint64_t sum = 0;
  for (uint64_t t = 0; t < plan.threads; t++) sum += counters_of(t)->end;
  return sum;
}

static void print_report(void) {
  printf("{\"nowNs\":%lu,\"writes\":%lu,", now_ns(), writes_done());
  stalls_summary(stalls, plan.threads);
  printf("}\n");
}

static void print_check(void) {
  stop_writing();
  uint64_t child_wrong = has_child ? end_child() : 0;
  struct tally tally = verify_live();
  printf("{\"childWrong\":%lu,", child_wrong);
  print_tally(&tally);
  printf("}\n");
}

static void forkdump_all(const char *path) {
  bool joined = plan.stride == plan.extent; /* then it is one piece */
  uint64_t many = joined ? 1 : plan.extents;
  struct piece *pieces = calloc(many + 1, sizeof *pieces);
  for (uint64_t i = 0; i < many; i++)
    pieces[i] = (struct piece){plan.base + i * plan.stride, joined ? plan.extents * plan.extent : plan.extent};
  pieces[many] = (struct piece){plan.counters, counters_size(&plan)};
  forkdump(path, pieces, many + 1);
  free(pieces);
}

static void *become_sleep(void *unused) {
  execl("/bin/sleep", "sleep", "600", (char *)NULL);
  die("exec of sleep");
  return unused;
}

static bool answer(char *line) {
  uint64_t from = 0, to = ~0ull;
  if (!strcmp(line, "report")) {
    print_report();
  } else if (!strncmp(line, "gaps", 4)) {
    sscanf(line, "gaps %lu %lu", &from, &to);
    stalls_print_gaps(stalls, plan.threads, from, to);
    putchar('\n');
  } else if (!strncmp(line, "buckets", 7)) {
    to = now_ns();
    sscanf(line, "buckets %lu %lu", &from, &to);
    stalls_print_buckets(stalls, plan.threads, from, to);
    putchar('\n');
  } else if (!strncmp(line, "forkdump ", 9)) {
    forkdump_all(line + 9);
  } else if (!strcmp(line, "exec")) {
    become_sleep(NULL);
  } else if (!strcmp(line, "exec-thread")) {
    pthread_t other;
    if (pthread_create(&other, NULL, become_sleep, NULL)) die("pthread_create");
    pthread_join(other, NULL);
  } else if (!strcmp(line, "stop")) {
    stop_writing();
    print_report();
  } else if (!strcmp(line, "check")) {
    print_check();
  } else if (!strcmp(line, "quit")) {
    stop_writing();
    if (has_child) end_child();
    print_report();
    return false;
  } else {
    printf("{\"error\":\"unknown command\"}\n");
  }
  fflush(stdout);
  return true;
}

static void configure(char **argv) {
  only_options(argv, "--threads --mib --seed --rate --pace --pattern --reads --own --memory --thp --reserve-gib "
                     "--mappings --zero --empty --child --lead --gap-us");
  plan.seed = number(argv, "seed", 1);
  plan.threads = number(argv, "threads", 1);
  plan.sequential = chosen(argv, "pattern", "sequential", "random");
  plan.slice = chosen(argv, "own", "slice", "interleaved");
  plan.lead = number(argv, "lead", 0);
  plan.counters_step = plan.lead ? PAGE : 64;
  plan.zero_percent = number(argv, "zero", 0);
  plan.empty_percent = number(argv, "empty", 0);
  rate = number(argv, "rate", 0);
  reads = number(argv, "reads", 0);
  has_child = !chosen(argv, "child", "none", "none");
  child_writes = chosen(argv, "child", "write", "none");
  bool room = plan.threads < (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
  spin = chosen(argv, "pace", "spin", room ? "spin" : "sleep");
  if (!plan.threads || plan.threads > 256) die("--threads wants 1 to 256");
  if (child_writes && (chosen(argv, "memory", "anon", "anon") || plan.threads < 2))
    die("--child write wants shared memory and a thread to give away");
}

int main(int argc, char **argv) {
  (void)argc;
  configure(argv);
  lay_out(argv);
  start_ns = now_ns();
  /* shared memory only where it is asked for: a dump has to say of it that others may write it */
  int sharing = child_writes ? MAP_SHARED : MAP_PRIVATE;
  stopping = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);
  stalls = calloc(plan.threads, sizeof *stalls);
  threads = calloc(plan.threads, sizeof *threads);
  uint64_t capacity = 4 * MIB / sizeof(struct gap) / plan.threads;
  for (uint64_t t = 0; t < plan.threads; t++)
    stalls[t] = stalls_create(capacity, number(argv, "gap-us", 100) * 1000, start_ns);
  pthread_barrier_init(&barrier, NULL, (unsigned)plan.threads + 1);
  for (uint64_t t = 0; t < plan.threads; t++)
    if ((errno = pthread_create(&threads[t], NULL, thread_main, (void *)t))) die("pthread_create %lu", t);
  pthread_barrier_wait(&barrier);
  if (has_child) start_child();
  pthread_barrier_wait(&barrier);
  for (uint64_t t = 0; t < plan.threads; t++)
    while (!counters_of(t)->end) usleep(100);
  printf("READY {\"pid\":%d,\"child\":%d,\"startNs\":%lu,\"spin\":%s,", getpid(), child_pid, start_ns,
         spin ? "true" : "false");
  print_plan(&plan);
  printf("}\n");
  fflush(stdout);
  char line[4096];
  while (next_command(line, sizeof line) && answer(line)) {}
  return 0;
}
