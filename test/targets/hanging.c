/*
 * Memory whose faults nobody answers: of a userfaultfd of its own, and of a file that may be on a file system that hangs. A
 * thread writes to other memory all the time, and knows how long it had to wait.
 *
 *   --file PATH (mapped, private and shared; its second page is never touched here)
 *   --faults early|late|never (when the userfaultfd is registered: from the start, or when told)
 * Commands: "register" (answers {"errno"}), "report" {beats, wrong, longestMs}
 */
#include "target.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGES 512ul

static uint64_t *arena, beats, wrong, longest;
static char *blind;
static volatile bool stopping;

static int register_own(void) {
  int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  if (fd < 0) return errno;
  struct uffdio_api api = {.api = UFFD_API};
  struct uffdio_register range = {.range = {(uint64_t)blind, PAGES * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &range)) return errno;
  return 0;
}

static void *beat(void *argument) {
  (void)argument;
  for (uint64_t n = 0; !stopping; n++) {
    uint64_t start = now_ns(), *word = arena + n * 64 % (PAGES * PAGE / 8);
    if (*word && *word != mix64((uint64_t)word)) wrong++;
    *(volatile uint64_t *)word = mix64((uint64_t)word);
    uint64_t waited = now_ns() - start;
    if (waited > longest) longest = waited;
    beats++;
    if (n % 64 == 0) usleep(1000);
  }
  return NULL;
}

static void *map(size_t size, int flags, int fd) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (memory == MAP_FAILED) die("mmap");
  return memory;
}

static void report(void) {
  printf("{\"beats\":%lu,\"wrong\":%lu,\"longestMs\":%lu}\n", beats, wrong, longest / MS);
  fflush(stdout);
}

int main(int argc, char **argv) {
  (void)argc;
  only_options(argv, "--file --faults");
  arena = map(PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  blind = map(PAGES * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  blind[0] = 1;
  const char *path = option(argv, "file", NULL);
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (path && fd < 0) die("open %s", path);
  if (path) ((volatile char *)map(4 * PAGE, MAP_PRIVATE, fd))[0] = 'x';
  if (chosen(argv, "faults", "early", "never") && register_own()) die("userfaultfd");
  pthread_t thread;
  if (pthread_create(&thread, NULL, beat, NULL)) die("pthread_create");
  printf("READY {\"pid\":%d,\"blind\":%lu}\n", getpid(), (uint64_t)blind);
  fflush(stdout);
  for (char line[64]; next_command(line, sizeof line) && strcmp(line, "quit");) {
    if (strcmp(line, "register")) report();
    else printf("{\"errno\":%d}\n", register_own()), fflush(stdout);
  }
  stopping = true;
  pthread_join(thread, NULL);
  report();
  return 0;
}
