/*
 * Memory under a userfaultfd, and one thread that does to it what it is told: for tests of src/linux, which take the
 * descriptor (pidfd_getfd) and serve it. A command is answered once it is done, so a protected write answers late.
 *
 *   faults [--pages 64] [--features 0]   READY {"uffd", "address", "length", "tid", "features"}
 *   write INDEX VALUE [OFFSET]   stores a word into a page        read INDEX     answers {"value"}
 *   dontneed INDEX N             madvise                          unmap INDEX N  munmap
 *   remap INDEX N                mremap elsewhere: {"to"}         fork           a child that exits at once
 */
#include "target.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int open_userfaultfd(void) {
  int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) die("userfaultfd");
  return fd;
}

int main(int argc, char **argv) {
  (void)argc;
  only_options(argv, "--pages --features");
  uint64_t length = number(argv, "pages", 64) * PAGE;
  int uffd = open_userfaultfd();
  struct uffdio_api api = {.api = UFFD_API, .features = number(argv, "features", 0)};
  if (ioctl(uffd, UFFDIO_API, &api)) die("UFFDIO_API");
  char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) die("mmap");
  madvise(memory, length, MADV_NOHUGEPAGE);
  memset(memory, 1, length);
  printf("READY {\"uffd\": %d, \"address\": %lu, \"length\": %lu, \"tid\": %d}\n", uffd, (uint64_t)memory, length,
         (int)syscall(SYS_gettid));
  fflush(stdout);
  char line[100];
  while (next_command(line, sizeof line) && strcmp(line, "quit")) {
    char verb[16] = "";
    unsigned long index = 0, count = 0, offset = 0;
    sscanf(line, "%15s %lu %lu %lu", verb, &index, &count, &offset);
    char *page = memory + index * PAGE;
    if (!strcmp(verb, "write")) {
      *(volatile uint64_t *)(page + offset) = count;
      printf("{\"value\": %lu}\n", count);
    } else if (!strcmp(verb, "read")) {
      printf("{\"value\": %lu}\n", *(volatile uint64_t *)page);
    } else if (!strcmp(verb, "dontneed")) {
      printf("{\"result\": %d}\n", madvise(page, count * PAGE, MADV_DONTNEED));
    } else if (!strcmp(verb, "unmap")) {
      printf("{\"result\": %d}\n", munmap(page, count * PAGE));
    } else if (!strcmp(verb, "remap")) {
      char *space = mmap(NULL, count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      void *to = mremap(page, count * PAGE, count * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, space);
      if (to == MAP_FAILED) die("mremap");
      printf("{\"to\": %lu}\n", (uint64_t)to);
    } else if (!strcmp(verb, "fork")) {
      int pid = fork();
      if (pid == 0) _exit(0);
      waitpid(pid, NULL, 0);
      printf("{\"pid\": %d}\n", pid);
    } else {
      printf("{\"error\": \"unknown command\"}\n");
    }
    fflush(stdout);
  }
  printf("{\"bye\": true}\n");
  return 0;
}
