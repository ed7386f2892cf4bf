/*
 * A process that waits in one system call for ever, after "READY": what a tracer sees of each kind of interrupted call.
 *
 *   waits --call nanosleep|read|pause|lock_pi|spin|dispatch
 *
 * `dispatch` turns on syscall user dispatch (prctl(2), PR_SET_SYSCALL_USER_DISPATCH) for calls from outside the whole
 * address space, that is for none, and pauses.
 */
#include "target.h"
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static pthread_mutex_t held;

static void *hold_for_ever(void *unused) {
  (void)unused;
  pthread_mutex_lock(&held);
  for (;;) pause();
  return NULL;
}

/* A mutex with priority inheritance whose owner sleeps: FUTEX_LOCK_PI. */
static void wait_for_held_mutex(void) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(&held, &attributes);
  pthread_t owner;
  if (pthread_create(&owner, NULL, hold_for_ever, NULL)) die("pthread_create");
  while (pthread_mutex_trylock(&held) == 0) {
    pthread_mutex_unlock(&held);
    sched_yield();
  }
  puts("READY");
  fflush(stdout);
  pthread_mutex_lock(&held);
}

int main(int argc, char **argv) {
  (void)argc;
  only_options(argv, "--call");
  if (chosen(argv, "call", "lock_pi", "")) wait_for_held_mutex();
  if (chosen(argv, "call", "dispatch", "") && prctl(59, 1, 0, ~0ul, 0)) die("PR_SET_SYSCALL_USER_DISPATCH");
  puts("READY");
  fflush(stdout);
  char byte;
  int silent[2];
  if (pipe(silent)) die("pipe");
  struct timespec long_time = {1000000, 0};
  for (;;) {
    if (chosen(argv, "call", "nanosleep", "")) nanosleep(&long_time, NULL);
    else if (chosen(argv, "call", "read", "")) (void)!read(silent[0], &byte, 1);
    else if (chosen(argv, "call", "spin", "")) BARRIER();
    else pause();
  }
}
