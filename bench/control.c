/*
 * The control: the same bytes read from /proc/PID/mem and written the way livecore writes them (chunks of 512 KiB
 * through a ring of 64 MiB, asynchronous O_DIRECT writes from the thread that reads), with no protection and no T0.
 * What it takes is what this machine can do at best; what it makes is the memory of no instant.
 *
 *   control --pid PID --file PATH, then the ranges on stdin, a line each: address size (decimal)
 * Prints {startNs, endNs, bytes, direct}, CLOCK_MONOTONIC; the file is synced at endNs.
 */
#include "target.h"
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define CHUNK (512 * KIB)
#define DEPTH 64ul
#define RING (64 * MIB)
#define CHUNKS (RING / CHUNK)

static aio_context_t context;
static struct iocb requests[CHUNKS];
static bool busy[CHUNKS];
static uint64_t under_way;

static void reap(long least) {
  struct io_event events[DEPTH];
  long count = syscall(SYS_io_getevents, context, least, DEPTH, events, NULL);
  if (count < 0 && errno != EINTR) die("io_getevents");
  for (long i = 0; i < count; i++) {
    uint64_t slot = events[i].data;
    if (events[i].res != (int64_t)requests[slot].aio_nbytes) die("a write ended with %ld", (long)events[i].res);
    busy[slot] = false;
    under_way--;
  }
}

static void write_chunk(int file, uint64_t slot, const char *from, uint64_t size, uint64_t offset) {
  struct iocb *request = &requests[slot];
  *request = (struct iocb){.aio_data = slot, .aio_fildes = (uint32_t)file, .aio_lio_opcode = IOCB_CMD_PWRITE};
  request->aio_buf = (uint64_t)from;
  request->aio_nbytes = size;
  request->aio_offset = (int64_t)offset;
  while (under_way == DEPTH) reap(1);
  if (syscall(SYS_io_submit, context, 1, &request) != 1) die("io_submit");
  busy[slot] = true;
  under_way++;
}

static uint64_t copy_range(int memory, int file, char *ring, uint64_t address, uint64_t size, uint64_t offset) {
  static uint64_t next;
  for (uint64_t done = 0; done < size; done += CHUNK) {
    uint64_t many = size - done < CHUNK ? size - done : CHUNK, slot = next++ % CHUNKS;
    while (busy[slot]) reap(1);
    char *at = ring + slot * CHUNK;
    if (pread(memory, at, many, (off_t)(address + done)) != (ssize_t)many) die("reading %lx", address + done);
    write_chunk(file, slot, at, many, offset + done);
    if (under_way) reap(0);
  }
  return size;
}

int main(int argc, char **argv) {
  (void)argc;
  only_options(argv, "--pid --file");
  char path[64], line[128];
  snprintf(path, sizeof path, "/proc/%lu/mem", number(argv, "pid", 0));
  const char *name = option(argv, "file", NULL);
  int memory = open(path, O_RDONLY | O_CLOEXEC);
  if (memory < 0 || !name) die("--pid and --file: %s", path);
  bool direct = true;
  int file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_DIRECT, 0600);
  if (file < 0 && errno == EINVAL) {
    direct = false; /* a file system without O_DIRECT */
    file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  }
  if (file < 0) die("%s", name);
  char *ring = mmap(NULL, RING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (ring == MAP_FAILED || syscall(SYS_io_setup, DEPTH, &context)) die("ring and io_setup");
  uint64_t start = now_ns(), offset = 0, address, size;
  while (next_command(line, sizeof line) && sscanf(line, "%lu %lu", &address, &size) == 2)
    offset += copy_range(memory, file, ring, address, size, offset);
  while (under_way) reap(1);
  if (fsync(file)) die("fsync");
  printf("{\"startNs\":%lu,\"endNs\":%lu,\"bytes\":%lu,\"direct\":%s}\n", start, now_ns(), offset,
         direct ? "true" : "false");
  return 0;
}
