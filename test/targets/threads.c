/*
 * Threads are born and die all the time, some joined, some detached, some with a robust mutex held, whose next owner
 * must learn of the death. The kernel clears a word (clear_child_tid) and walks a list (robust list) in the memory
 * of each that dies; where one of these writes gets lost, a joiner or a waiter hangs for ever.
 *
 *   --rate R     threads a second (500)
 *   --living L   threads that live at the same time (8)
 * report: {born, joined, detached, wrong, hung, deaths, ownerDead}; at the end deaths = ownerDead, born = joined +
 * detached, and wrong = hung = 0.
 */
#include "target.h"
#include <pthread.h>

#define PATIENCE_S 20
#define MUTEXES 64

static struct {
  pthread_mutex_t mutex;
  char apart[PAGE - sizeof(pthread_mutex_t)]; /* each on a page of its own */
} robust[MUTEXES];
static uint64_t born, joined, detached, detached_done, wrong, hung, deaths, owner_dead, living;
static bool stopping;

#define ADD(counter) __atomic_fetch_add(&(counter), 1, __ATOMIC_RELAXED)

static struct timespec patience(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_sec += PATIENCE_S;
  return t;
}

/* Dies with a mutex held when its number says so; returns what its joiner knows. */
static void *live_and_die(void *argument) {
  uint64_t id = (uint64_t)argument;
  volatile uint64_t stack[512]; /* touches a page of a stack that is used again by the next */
  for (int i = 0; i < 512; i++) stack[i] = mix64(id + (uint64_t)i);
  usleep((useconds_t)(mix64(id) % 4000));
  for (int i = 0; i < 512; i++)
    if (stack[i] != mix64(id + (uint64_t)i)) ADD(wrong);
  if (id % 3 == 0) {
    pthread_mutex_t *mutex = &robust[id / 3 % MUTEXES].mutex;
    struct timespec end = patience();
    int result = pthread_mutex_timedlock(mutex, &end);
    if (result == EOWNERDEAD) {
      ADD(owner_dead);
      pthread_mutex_consistent(mutex);
    } else if (result == ETIMEDOUT) {
      ADD(hung);
      return (void *)~id;
    } else if (result) {
      ADD(wrong);
    }
    ADD(deaths); /* dies as the owner */
  }
  return (void *)~id;
}

static void *live_detached(void *argument) {
  live_and_die(argument);
  ADD(detached_done);
  return NULL;
}

static void *give_birth(void *argument) {
  uint64_t rate = (uint64_t)argument, start = now_ns(), ids[64];
  pthread_t threads[64];
  for (uint64_t n = 0; n < living || !stopping; n++) {
    uint64_t slot = n % living;
    if (n >= living) {
      struct timespec end = patience();
      void *result = NULL;
      int failed = pthread_timedjoin_np(threads[slot], &result, &end);
      if (failed) ADD(hung);
      else if (result != (void *)~ids[slot]) ADD(wrong);
      ADD(joined);
    }
    ids[slot] = n;
    if (pthread_create(&threads[slot], NULL, live_and_die, (void *)n)) die("pthread_create");
    ADD(born);
    if (n % 5 == 0) {
      pthread_t other;
      if (pthread_create(&other, NULL, live_detached, (void *)(n + 1))) die("pthread_create");
      pthread_detach(other);
      ADD(born);
      ADD(detached);
    }
    sleep_until(start + n * 1000000000ul / rate);
  }
  for (uint64_t slot = 0; slot < living; slot++) {
    struct timespec end = patience();
    if (pthread_timedjoin_np(threads[slot], NULL, &end)) ADD(hung);
    ADD(joined);
  }
  return NULL;
}

static void print_report(void) {
  printf("{\"born\":%lu,\"joined\":%lu,\"detached\":%lu,\"wrong\":%lu,\"hung\":%lu,\"deaths\":%lu,\"ownerDead\":%lu}\n",
         born, joined, detached_done, wrong, hung, deaths, owner_dead);
  fflush(stdout);
}

/* Takes every mutex once more: whoever died last as its owner is noticed now. */
static void settle(void) {
  for (uint64_t start = now_ns(); detached_done < detached && now_ns() - start < PATIENCE_S * 1000 * MS;) usleep(1000);
  for (int i = 0; i < MUTEXES; i++) {
    struct timespec end = patience();
    int result = pthread_mutex_timedlock(&robust[i].mutex, &end);
    if (result == EOWNERDEAD) ADD(owner_dead);
    else if (result) ADD(hung);
  }
}

int main(int argc, char **argv) {
  char line[100];
  pthread_t mother;
  pthread_mutexattr_t attributes;
  (void)argc;
  only_options(argv, "--rate --living");
  living = number(argv, "living", 8);
  if (!living || living > 64) die("--living wants 1 to 64");
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  for (int i = 0; i < MUTEXES; i++) pthread_mutex_init(&robust[i].mutex, &attributes);
  if (pthread_create(&mother, NULL, give_birth, (void *)number(argv, "rate", 500))) die("pthread_create");
  puts("READY");
  fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) print_report();
  __atomic_store_n(&stopping, true, __ATOMIC_RELAXED);
  pthread_join(mother, NULL);
  settle();
  print_report();
  return 0;
}
