/*
 * Threads without a C library's: made by clone(2), on stacks of their own, joined by the word that the kernel clears and
 * wakes (CLONE_CHILD_CLEARTID), with robust lists of their own (set_robust_list(2)). Some die as owners of a robust
 * futex. And processes that share memory lock such a futex there and are killed (SIGKILL). Whoever is next must
 * find FUTEX_OWNER_DIED. Command "kill" has that done once.
 *
 *   --rate R     threads a second (500)
 *   --living L   threads that live at the same time (8, at most 64)
 * report: {born, joined, wrong, hung, deaths, ownerDead, killed}; at the end deaths = ownerDead, born = joined, and wrong =
 * hung = 0.
 */
#include "target.h"
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PATIENCE_S 20
#define LIVING 64
#define ADD(counter) __atomic_fetch_add(&(counter), 1, __ATOMIC_RELAXED)
#define STACK (64 * KIB)

/* One robust futex; the list's head finds the futex behind its node. */
struct robust {
  struct robust_list node;
  uint32_t word;
};

struct raw_thread {
  volatile uint32_t tid; /* cleared by the kernel at the end */
  uint64_t id;
  char *stack;
  struct robust lock;
  struct robust_list_head head;
};

static struct raw_thread *threads;
static struct {
  struct robust lock;
  struct robust_list_head head;
  volatile uint32_t locked;
} *shared; /* with processes that are killed */
static volatile uint64_t born, joined, wrong, hung, deaths, owner_dead, killed;
static uint64_t living, rate;
static volatile bool stopping;

/* Threads of no C library may not use its errno: system calls by hand. */
static inline long call6(long n, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

static void sleep_ns(uint64_t ns) {
  struct timespec t = {(time_t)(ns / 1000000000ul), (long)(ns % 1000000000ul)};
  call6(SYS_nanosleep, (long)&t, 0, 0, 0, 0, 0);
}

/* Takes the list's only lock, and never gives it back. */
static void die_as_owner(struct robust *lock, struct robust_list_head *head, uint32_t tid) {
  head->list.next = &lock->node;
  head->futex_offset = (long)offsetof(struct robust, word) - (long)offsetof(struct robust, node);
  head->list_op_pending = NULL;
  lock->node.next = &head->list;
  call6(SYS_set_robust_list, (long)head, sizeof *head, 0, 0, 0, 0);
  __atomic_store_n(&lock->word, tid, __ATOMIC_SEQ_CST);
}

static void live_and_die(struct raw_thread *self) {
  volatile uint64_t kept[256];
  for (int i = 0; i < 256; i++) kept[i] = mix64(self->id + (uint64_t)i);
  sleep_ns(mix64(self->id) % 4000000);
  for (int i = 0; i < 256; i++)
    if (kept[i] != mix64(self->id + (uint64_t)i)) ADD(wrong);
  if (self->id % 3 == 0) {
    die_as_owner(&self->lock, &self->head, (uint32_t)call6(SYS_gettid, 0, 0, 0, 0, 0, 0));
    ADD(deaths);
  }
}

/* clone(2) returns twice on two stacks, so the second return may not come back to C: it calls `run`, and exits. */
static long make_thread(void (*run)(struct raw_thread *), struct raw_thread *self) {
  uint64_t *top = (uint64_t *)(self->stack + STACK);
  *--top = (uint64_t)self;
  *--top = (uint64_t)run;
  long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID |
               CLONE_CHILD_CLEARTID, result;
  register long r10 __asm__("r10") = (long)&self->tid, r8 __asm__("r8") = 0;
  __asm__ volatile("syscall\n test %%rax, %%rax\n jnz 1f\n"
                   " xor %%ebp, %%ebp\n pop %%rax\n pop %%rdi\n call *%%rax\n"
                   " mov %[exit], %%eax\n xor %%edi, %%edi\n syscall\n hlt\n1:"
                   : "=a"(result)
                   : "a"(SYS_clone), "D"(flags), "S"(top), "d"(&self->tid), "r"(r10), "r"(r8), [exit] "i"(SYS_exit)
                   : "rcx", "r11", "memory");
  return result;
}

/* Waits until the word is not `value` any more; false when that takes too long. */
static bool wait_while(volatile uint32_t *word, uint32_t value) {
  struct timespec slice = {0, 100 * MS};
  for (uint64_t start = now_ns(); __atomic_load_n(word, __ATOMIC_SEQ_CST) == value;) {
    if (now_ns() - start > PATIENCE_S * 1000 * MS) return false;
    /* without FUTEX_PRIVATE_FLAG: the kernel's wake at an exit has it not */
    call6(SYS_futex, (long)word, FUTEX_WAIT, value, (long)&slice, 0, 0);
  }
  return true;
}

static void join(struct raw_thread *thread) {
  uint32_t tid;
  while ((tid = thread->tid) != 0)
    if (!wait_while(&thread->tid, tid)) {
      ADD(hung);
      return;
    }
  ADD(joined);
  if (thread->id % 3 == 0) {
    if (thread->lock.word & FUTEX_OWNER_DIED) ADD(owner_dead);
    thread->lock.word = 0;
  }
}

/* A process that is killed as the owner of a robust futex in shared memory. */
static void kill_owner(void) {
  shared->locked = 0;
  pid_t self = getpid(), pid = fork();
  if (pid == 0) {
    die_with(self);
    die_as_owner(&shared->lock, &shared->head, (uint32_t)getpid());
    shared->locked = 1;
    for (;;) pause();
  }
  if (pid < 0) return;
  for (uint64_t start = now_ns(); !shared->locked && now_ns() - start < PATIENCE_S * 1000 * MS;) sleep_ns(50000);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  ADD(deaths);
  ADD(killed);
  if (shared->lock.word & FUTEX_OWNER_DIED) ADD(owner_dead);
  shared->lock.word = 0;
}

static void give_birth(struct raw_thread *unused) {
  (void)unused;
  uint64_t start = now_ns();
  for (uint64_t n = 0; !stopping; n++) {
    struct raw_thread *thread = &threads[n % living];
    if (n >= living) join(thread);
    thread->id = n;
    thread->lock.word = 0;
    if (make_thread(live_and_die, thread) < 0) ADD(wrong);
    ADD(born);
    uint64_t due = start + n * 1000000000ul / rate, now = now_ns();
    if (due > now) sleep_ns(due - now);
  }
  for (uint64_t i = 0; i < living; i++) join(&threads[i]);
}

static void print_report(void) {
  printf("{\"born\":%lu,\"joined\":%lu,\"wrong\":%lu,\"hung\":%lu,\"deaths\":%lu,\"ownerDead\":%lu,\"killed\":%lu}\n", born,
         joined, wrong, hung, deaths, owner_dead, killed);
  fflush(stdout);
}

int main(int argc, char **argv) {
  char line[100];
  (void)argc;
  only_options(argv, "--rate --living");
  rate = number(argv, "rate", 500);
  living = number(argv, "living", 8);
  if (!living || living > LIVING || !rate) die("--living wants 1 to %d, --rate 1 or more", LIVING);
  size_t room = (LIVING + 1) * (STACK + PAGE);
  char *memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  threads = calloc(LIVING + 1, sizeof *threads);
  if (memory == MAP_FAILED || shared == MAP_FAILED || !threads) die("memory");
  for (size_t i = 0; i <= LIVING; i++) threads[i].stack = memory + i * (STACK + PAGE);
  struct raw_thread *first = &threads[LIVING];
  if (make_thread(give_birth, first) < 0) die("clone");
  puts("READY");
  fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) {
    if (!strcmp(line, "kill")) kill_owner();
    print_report();
  }
  stopping = true;
  if (!wait_while(&first->tid, first->tid)) ADD(hung);
  print_report();
  return 0;
}
