/*
 * A forking dumper, the peer that benches compare with: the process cooperates (it forks itself when told to), the
 * child writes the memory it inherited to a file and syncs it, as Redis does for BGSAVE.
 *
 * The image is of the instant at which fork ends, with several threads too: until then parent and child share every
 * page, and a thread that meets a page already protected waits for fork's lock on the address space.
 */
#ifndef FORKDUMP_H
#define FORKDUMP_H
#include "pattern.h"
#include <fcntl.h>
#include <sys/wait.h>

struct piece {
  uint64_t address, size;
};

/* Writes the pages that exist; the others stay holes. Only calls that are safe after fork. */
static bool write_piece(int file, int pagemap, struct piece piece, uint64_t offset) {
  uint64_t entries[256];
  uint64_t pages = piece.size / PAGE;
  for (uint64_t page = 0; page < pages; page += 256) {
    uint64_t many = pages - page < 256 ? pages - page : 256;
    off_t at = (off_t)((piece.address / PAGE + page) * 8);
    if (pread(pagemap, entries, many * 8, at) != (ssize_t)(many * 8)) return false;
    for (uint64_t i = 0, run; i < many; i += run) {
      bool there = entries[i] >> 62; /* present or swapped: bits 63, 62 of Documentation/admin-guide/mm/pagemap.rst */
      for (run = 1; i + run < many && !!(entries[i + run] >> 62) == there; run++) {}
      if (!there) continue;
      const char *from = (const char *)(piece.address + (page + i) * PAGE);
      if (pwrite(file, from, run * PAGE, (off_t)(offset + (page + i) * PAGE)) != (ssize_t)(run * PAGE)) return false;
    }
  }
  return true;
}

/* Prints {forkNs, totalNs, bytes, startNs} or {error}. The pieces follow each other in the file. */
static void forkdump(const char *path, const struct piece *pieces, uint64_t count) {
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) {
    printf("{\"error\":\"open: errno %d\"}\n", errno);
    return;
  }
  uint64_t size = 0, start = now_ns();
  for (uint64_t i = 0; i < count; i++) size += pieces[i].size;
  pid_t child = fork();
  uint64_t forked = now_ns();
  if (child == 0) {
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t offset = 0;
    bool good = pagemap >= 0 && !ftruncate(file, (off_t)size);
    for (uint64_t i = 0; good && i < count; offset += pieces[i++].size)
      good = write_piece(file, pagemap, pieces[i], offset);
    _exit(good && !fsync(file) ? 0 : 1);
  }
  int status = -1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  close(file);
  printf("{\"forkNs\":%lu,\"totalNs\":%lu,\"startNs\":%lu,\"bytes\":%lu,\"status\":%d}\n", forked - start,
         now_ns() - start, start, size, status);
}

#endif
