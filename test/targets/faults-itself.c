/*
 * A process that serves its own page faults with a userfaultfd, as garbage collectors and live migration do: one thread
 * touches a page after the other and throws it away again, another fills each with what belongs there.
 *
 *   --registers yes|no   no: it has a userfaultfd, but no memory is registered with it
 * report: {beats, wrong}: pages that were touched; of them such that held something else.
 */
#include "target.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGES 256ul

static char *memory;
static int faults;
static volatile uint64_t beats, wrong;

static void *serve(void *unused) {
  static uint64_t page[PAGE / 8] __attribute__((aligned(PAGE)));
  struct uffd_msg message;
  while (read(faults, &message, sizeof message) == sizeof message) {
    uint64_t at = message.arg.pagefault.address & ~(PAGE - 1);
    for (uint64_t i = 0; i < PAGE / 8; i++) page[i] = mix64(at);
    struct uffdio_copy copy = {.dst = at, .src = (uint64_t)page, .len = PAGE};
    if (ioctl(faults, UFFDIO_COPY, &copy)) die("UFFDIO_COPY");
  }
  return unused;
}

static void *touch(void *unused) {
  struct timespec pause = {0, MS / 10};
  for (uint64_t i = 0;; i = (i + 1) % PAGES) {
    char *at = memory + i * PAGE;
    if (*(volatile uint64_t *)at != mix64((uint64_t)at)) wrong++;
    if (madvise(at, PAGE, MADV_DONTNEED)) wrong++;
    beats++;
    nanosleep(&pause, NULL);
  }
  return unused;
}

static void report(void) {
  printf("{\"beats\":%lu,\"wrong\":%lu}\n", beats, wrong);
  fflush(stdout);
}

int main(int argc, char **argv) {
  char line[100];
  pthread_t thread;
  (void)argc;
  only_options(argv, "--registers");
  memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  struct uffdio_api api = {.api = UFFD_API};
  if (memory == MAP_FAILED || faults < 0 || ioctl(faults, UFFDIO_API, &api)) die("userfaultfd");
  if (chosen(argv, "registers", "yes", "yes")) {
    struct uffdio_register all = {.range = {(uint64_t)memory, PAGES * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (ioctl(faults, UFFDIO_REGISTER, &all)) die("UFFDIO_REGISTER");
    if (pthread_create(&thread, NULL, serve, NULL) || pthread_create(&thread, NULL, touch, NULL)) die("pthread_create");
  }
  printf("READY {}\n");
  fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) report();
  report();
  exit(0);
}
