/*
 * A process that names everything as badly as it can: itself, its threads, its arguments, its environment, files that it maps.
 * Each file's page and each thread are told, so that a core can be compared with them.
 *
 *   --folder DIR (where the files are made)
 *   --password P (which nobody asks for, and which stays among the arguments)
 * READY {pid, comm, threads: [{tid, comm}], files: [{address, path, word}]}, names as hexadecimal bytes
 */
#include "target.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* 15 bytes each: what /proc/PID/stat has behind its name, a clear screen, a title, no UTF-8, spaces at both ends */
static const char comm[] = ") S 1\n\x1b[2J\xff\x07";
static const char *const thread_comms[] = {"\x1b]0;owned\x07", "\xff\xfe\x80 a) R", " \t\n\\n\\ ", "\xe2\x80\xae" "txt.exe"};
static const char *const file_names[] = {
  "plain",
  "\x1b[31mred\x1b[2J\x07",
  "gone (deleted)",
  "line\n7f0000000000-7f0000001000 rw-p 00000000 00:00 0                          [heap]",
  "not \xff\xfe UTF-8",
  "\xe2\x80\xae" "fdp.exe",
  "VmFlags: dd",
};
#define THREADS (sizeof thread_comms / sizeof *thread_comms)
#define NAMES (sizeof file_names / sizeof *file_names)

static pid_t tids[THREADS];
static unsigned named;

static void print_hex(const char *text) {
  putchar('"');
  for (const char *at = text; *at; at++) printf("%02x", (unsigned char)*at);
  putchar('"');
}

static void *live(void *argument) {
  uint64_t number = (uint64_t)argument;
  tids[number] = gettid();
  prctl(PR_SET_NAME, thread_comms[number]);
  __atomic_fetch_add(&named, 1, __ATOMIC_RELEASE);
  for (;;) pause();
  return NULL;
}

static uint64_t *map_file(const char *path, uint64_t number) {
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (fd < 0 || ftruncate(fd, PAGE)) die("open %s", path);
  uint64_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (page == MAP_FAILED) die("mmap");
  close(fd);
  *page = mix64(number);
  return page;
}

int main(int argc, char **argv) {
  static char path[4096];
  (void)argc;
  only_options(argv, "--folder --password");
  const char *folder = option(argv, "folder", ".");
  if (prctl(PR_SET_NAME, comm)) die("prctl");
  for (uint64_t number = 0; number < THREADS; number++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, live, (void *)number)) die("pthread_create");
  }
  while (__atomic_load_n(&named, __ATOMIC_ACQUIRE) < THREADS) usleep(1000);
  printf("READY {\"pid\":%d,\"comm\":", getpid());
  print_hex(comm);
  for (unsigned n = 0; n < THREADS; n++) {
    printf("%s{\"tid\":%d,\"comm\":", n ? "," : ",\"threads\":[", tids[n]);
    print_hex(thread_comms[n]);
    putchar('}');
  }
  for (uint64_t n = 0; n < NAMES; n++) {
    snprintf(path, sizeof path, "%s/%s", folder, file_names[n]);
    printf("%s{\"address\":%lu,\"word\":\"%lu\",\"path\":", n ? "," : "],\"files\":[", (uint64_t)map_file(path, n), mix64(n));
    print_hex(path);
    putchar('}');
  }
  puts("]}");
  fflush(stdout);
  /* over its arguments, as ps shows them: a sequence and no UTF-8 */
  memcpy(argv[0], "\x1b]0;\xff\x07", 6);
  for (char line[64]; next_command(line, sizeof line) && strcmp(line, "quit");) puts("{}"), fflush(stdout);
  puts("{}");
  fflush(stdout);
  return 0;
}
