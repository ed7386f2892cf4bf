/*
 * Takes the number of a process or thread that has ended, before anybody else does: makes a process that has it, which sleeps
 * and holds a secret. Needs the right to choose (clone3(2), set_tid).
 *
 * Commands: "succeed ID" (answers {"pid"}, or {"error"} while the number is taken), "quit" (ends both).
 */
#include "target.h"
#include <linux/sched.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char secret[PAGE] __attribute__((aligned(PAGE)));

int main(int argc, char **argv) {
  (void)argc;
  only_options(argv, "");
  pid_t child = 0, id;
  printf("READY {\"pid\":%d}\n", getpid());
  fflush(stdout);
  for (char line[64]; next_command(line, sizeof line) && strcmp(line, "quit");) {
    if (sscanf(line, "succeed %d", &id) != 1) die("%s", line);
    struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)&id, .set_tid_size = 1};
    child = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (child == 0) {
      for (unsigned at = 0; at + 32 <= sizeof secret; at += 32) memcpy(secret + at, "a successor's own secret, 32 by", 32);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (;;) pause();
    }
    if (child < 0) printf("{\"error\":\"%s\"}\n", strerror(errno));
    else printf("{\"pid\":%d}\n", child);
    fflush(stdout);
  }
  if (child > 0) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
  }
  puts("{}");
  fflush(stdout);
  return 0;
}
