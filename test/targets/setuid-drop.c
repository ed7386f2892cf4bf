/*
 * A daemon that gave its rights up: started as root, it becomes nobody, by which the kernel makes it non-dumpable
 * (prctl(2), PR_SET_DUMPABLE), and works on, in two threads.
 *
 *   --keep dumpable     makes itself dumpable again
 * report: {uid, dumpable, beats, wrong}
 */
#include "target.h"
#include <grp.h>
#include <pthread.h>
#include <sys/prctl.h>

#define NOBODY 65534

static volatile uint64_t beats, wrong;

static void *work_for_ever(void *unused) {
  uint64_t *memory = malloc(MIB);
  for (uint64_t round = 0; memory; round++, beats = round) {
    for (uint64_t i = 0; i < MIB / 8; i += 64) {
      if (round && memory[i] != mix64(i + round - 1)) wrong++;
      memory[i] = mix64(i + round);
    }
    usleep(1000);
  }
  return unused;
}

static void print_report(void) {
  printf("{\"uid\":%d,\"dumpable\":%d,\"beats\":%lu,\"wrong\":%lu}\n", getuid(), prctl(PR_GET_DUMPABLE), beats, wrong);
  fflush(stdout);
}

int main(int argc, char **argv) {
  char line[100];
  pthread_t thread;
  (void)argc;
  only_options(argv, "--keep");
  if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY)) die("becoming nobody");
  if (chosen(argv, "keep", "dumpable", "nothing") && prctl(PR_SET_DUMPABLE, 1)) die("PR_SET_DUMPABLE");
  if (pthread_create(&thread, NULL, work_for_ever, NULL)) die("pthread_create");
  puts("READY");
  fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) print_report();
  print_report();
  return 0;
}
