/*
 * Threads that change the address space by the plan of mutate.h: fill pages, throw their content away, unmap, map
 * anew, move and shrink mappings, move the program break.
 *
 *   --threads N --mib M (of each arena) --rate R (operations a second of each thread) --seed S
 *   --ops all | a list such as dontneed,unmap
 * Commands: report {operations, intruders, failures}; check: stops, compares the live memory with the model.
 */
#include "mutate.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MREMAP_DONTUNMAP /* musl */
#define MREMAP_DONTUNMAP 4
#endif

static struct mutator_plan plan;
static struct model *models;
static pthread_t threads[64];
static uint64_t rate, intruders, failures;
static char first_failure[120];
static bool going, stopping;

static struct counters *counters_of(uint64_t t) { return (struct counters *)(plan.counters + t * PAGE); }

static void expect(bool good, const char *what) {
  if (good) return;
  if (!__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED))
    snprintf(first_failure, sizeof first_failure, "%s: errno %d", what, errno);
  /* the model is not true from here on, and a report may never come */
  dprintf(2, "%s: errno %d\n", what, errno);
}

/* Maps where nothing is; somebody else's mapping there is an intruder. */
static void map_at(void *at, size_t size, int protection) {
  void *got = mmap(at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (got == at) return;
  if (got == MAP_FAILED && errno == EEXIST) __atomic_fetch_add(&intruders, 1, __ATOMIC_RELAXED);
  else expect(false, "mmap");
}

/* The call itself: musl's brk() refuses whatever it is asked. */
static bool move_break(void *to) { return (void *)syscall(SYS_brk, to) == to; }

static void fill(const struct model *m, uint64_t k, struct operation o) {
  for (uint64_t i = 0; i < o.count; i++) {
    volatile uint64_t *page = (uint64_t *)page_address(m, o.page + i);
    for (uint64_t word = 0; word < 512; word++) page[word] = content_word(CONTENT(k, i), word);
  }
}

static void move(const struct model *m, struct operation o, int flags) {
  void *from = (void *)page_address(m, o.page), *to = (void *)page_address(m, o.target);
  size_t size = o.count * PAGE;
  map_at(to, size, PROT_NONE); /* so that MREMAP_FIXED replaces a mapping of ours and no other */
  expect(mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED | flags, to) == to, "mremap");
}

static void perform(const struct model *m, uint64_t k, struct operation o) {
  void *at = (void *)page_address(m, o.page);
  size_t size = o.count * PAGE;
  if (!o.count) return;
  switch (o.op) {
    case FILL: return fill(m, k, o);
    case MAP: return map_at(at, size, PROT_READ | PROT_WRITE);
    case DONTNEED: return expect(!madvise(at, size, MADV_DONTNEED), "MADV_DONTNEED");
    case FREE: return expect(!madvise(at, size, MADV_FREE), "MADV_FREE");
    case UNMAP: return expect(!munmap(at, size), "munmap");
    case FIXED:
      return expect(mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at, "mmap");
    case MOVE: return move(m, o, 0);
    case MOVE_KEEP: return move(m, o, MREMAP_DONTUNMAP);
    case SHRINK: return expect(mremap((char *)at - PAGE, size + PAGE, PAGE, 0) == (char *)at - PAGE, "mremap");
    case BRK_GROW: return expect(move_break((char *)at + size), "brk");
    case BRK_SHRINK: return expect(move_break(at), "brk");
    case OPS: return;
  }
}

static void *mutate(void *argument) {
  struct model *m = argument;
  struct counters *count = counters_of(m->thread);
  while (!__atomic_load_n(&going, __ATOMIC_RELAXED)) usleep(100);
  uint64_t start = now_ns();
  for (uint64_t k = 1; !__atomic_load_n(&stopping, __ATOMIC_RELAXED); k++) {
    struct operation o = choose_operation(m, k);
    count->begin = k;
    BARRIER();
    perform(m, k, o);
    BARRIER();
    count->end = k;
    apply_operation(m, k, o);
    sleep_until(start + k * 1000000000ul / rate);
  }
  return NULL;
}

static void stop(void) {
  if (__atomic_exchange_n(&stopping, true, __ATOMIC_SEQ_CST)) return;
  for (uint64_t t = 0; t < plan.threads; t++) pthread_join(threads[t], NULL);
}

static void print_check(void) {
  uint64_t wrong = 0, pages = 0, holes = 0;
  stop();
  for (uint64_t t = 0; t < plan.threads; t++)
    for (uint64_t page = 0; page < models[t].pages; page++) {
      uint64_t state = models[t].state[page];
      unsigned char resident;
      bool there = !mincore((void *)page_address(&models[t], page), PAGE, &resident);
      pages++;
      holes += !there;
      if (there != (state != UNMAPPED)) wrong++;
      else if (there) wrong += !page_fits(state, state, (uint64_t *)page_address(&models[t], page));
    }
  printf("{\"pages\":%lu,\"holes\":%lu,\"wrong\":%lu}\n", pages, holes, wrong);
}

static void print_report(void) {
  uint64_t operations = 0;
  for (uint64_t t = 0; t < plan.threads; t++) operations += counters_of(t)->end;
  printf("{\"operations\":%lu,\"intruders\":%lu,\"failures\":%lu,\"first\":\"%s\"}\n", operations, intruders, failures,
         first_failure);
}

static uint64_t parse_ops(const char *text) {
  uint64_t ops = 0;
  if (!strcmp(text, "all")) return (1ul << OPS) - 1;
  char *copy = strdup(text);
  for (char *name = strtok(copy, ","); name; name = strtok(NULL, ",")) {
    int op = 0;
    while (op < OPS && strcmp(op_names[op], name)) op++;
    if (op == OPS) die("--ops does not know %s", name);
    ops |= 1ul << op;
  }
  free(copy);
  return ops;
}

static void lay_out(char **argv) {
  plan.seed = number(argv, "seed", 1);
  plan.threads = number(argv, "threads", 1);
  plan.pages = number(argv, "mib", 8) * MIB / PAGE;
  plan.ops = parse_ops(option(argv, "ops", "all"));
  rate = number(argv, "rate", 2000);
  if (!plan.threads || plan.threads > 64 || !rate) die("--threads wants 1 to 64, --rate at least 1");
  plan.counters = (uint64_t)mmap(NULL, plan.threads * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset((void *)plan.counters, 0, plan.threads * PAGE);
  /* the arenas begin as holes, far from where the kernel puts what has no address of its own */
  void *hole = mmap(NULL, plan.threads * plan.pages * PAGE + GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (hole == MAP_FAILED || munmap(hole, plan.threads * plan.pages * PAGE + GIB)) die("finding room");
  plan.base = (uint64_t)hole;
  models = calloc(plan.threads, sizeof *models);
  for (uint64_t t = 0; t < plan.threads; t++) models[t] = make_model(&plan, t);
}

int main(int argc, char **argv) {
  static char line[100], out[65536];
  (void)argc;
  only_options(argv, "--threads --mib --rate --seed --ops");
  setvbuf(stdout, out, _IOFBF, sizeof out);
  lay_out(argv);
  for (uint64_t t = 0; t < plan.threads; t++)
    if (pthread_create(&threads[t], NULL, mutate, &models[t])) die("pthread_create");
  /* From here on nothing may be allocated: the program break is the mutators'. */
  uint64_t top = ((uint64_t)sbrk(0) + PAGE - 1) / PAGE * PAGE;
  if (!move_break((void *)top)) die("brk");
  plan.brk_base = top;
  __atomic_store_n(&going, true, __ATOMIC_RELEASE);
  printf("READY {");
  print_mutator_plan(&plan);
  puts("}");
  fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) {
    if (!strcmp(line, "check")) print_check();
    else print_report();
    fflush(stdout);
  }
  stop();
  print_report();
  fflush(stdout);
  return 0;
}
