/*
 * The bare limits of this machine, against which a dump is measured: what each step costs with nothing around it.
 *
 *   --mib M --threads N --file PATH (a file that is made, written and removed) --rounds R
 * Prints one JSON object: {stopNs, resumeNs: medians over the rounds; memcpyGibPerS, memoryGibPerS (/proc/PID/mem in
 * 1 MiB steps), bufferedGibPerS and directGibPerS (fsync included), stolenMs}.
 */
#include "target.h"
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define STEP MIB
#define DEPTH 16
#define MAX_THREADS 256

static uint64_t size, rounds, thread_count;
static char *memory, *ring;
static volatile pid_t *tids; /* shared with the victim */

static void *spin(void *argument) {
  tids[(uint64_t)argument] = (pid_t)syscall(SYS_gettid);
  for (volatile uint64_t i = 0;; i++) {}
  return NULL;
}

/* A process with threads that spin, and with the memory that is read. */
static pid_t start_victim(void) {
  pid_t self = getpid(), pid = fork();
  if (pid) {
    for (uint64_t t = 0; t < thread_count; t++)
      while (!tids[t]) usleep(100);
    return pid;
  }
  die_with(self);
  for (uint64_t t = 1; t < thread_count; t++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, spin, (void *)t)) die("pthread_create");
  }
  spin(NULL);
  return 0;
}

static int by_number(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static uint64_t median(uint64_t *values, uint64_t count) {
  qsort(values, count, sizeof *values, by_number);
  return values[count / 2];
}

/* From the first interrupt until the last thread is known to stand, and from then until the last is let go. */
static void measure_stop(uint64_t *stop_ns, uint64_t *resume_ns) {
  uint64_t *stops = calloc(rounds, 8), *resumes = calloc(rounds, 8);
  for (uint64_t t = 0; t < thread_count; t++)
    if (ptrace(PTRACE_SEIZE, tids[t], 0, 0)) die("PTRACE_SEIZE");
  for (uint64_t r = 0; r < rounds; r++) {
    usleep(2000);
    uint64_t start = now_ns();
    for (uint64_t t = 0; t < thread_count; t++)
      if (ptrace(PTRACE_INTERRUPT, tids[t], 0, 0)) die("PTRACE_INTERRUPT");
    for (uint64_t t = 0; t < thread_count; t++)
      if (waitpid(tids[t], NULL, __WALL) != tids[t]) die("waitpid");
    uint64_t stood = now_ns();
    for (uint64_t t = 0; t < thread_count; t++)
      if (ptrace(PTRACE_CONT, tids[t], 0, 0)) die("PTRACE_CONT");
    stops[r] = stood - start;
    resumes[r] = now_ns() - stood;
  }
  *stop_ns = median(stops, rounds);
  *resume_ns = median(resumes, rounds);
}

static double gib_per_s(uint64_t bytes, uint64_t ns) { return (double)bytes / (double)GIB / ((double)ns / 1e9); }

static double measure_memcpy(void) {
  uint64_t start = now_ns();
  for (uint64_t at = 0; at < size; at += STEP) memcpy(ring + at % (DEPTH * STEP), memory + at, STEP);
  BARRIER();
  return gib_per_s(size, now_ns() - start);
}

static double measure_memory(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/mem", pid);
  int file = open(path, O_RDONLY);
  uint64_t start = now_ns();
  for (uint64_t at = 0; at < size; at += STEP)
    if (pread(file, ring + at % (DEPTH * STEP), STEP, (off_t)((uint64_t)memory + at)) != (ssize_t)STEP) die("%s", path);
  double speed = gib_per_s(size, now_ns() - start);
  close(file);
  return speed;
}

static double measure_buffered(const char *path) {
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file < 0) die("%s", path);
  uint64_t start = now_ns();
  for (uint64_t at = 0; at < size; at += STEP)
    if (pwrite(file, memory + at, STEP, (off_t)at) != (ssize_t)STEP) die("writing %s", path);
  if (fsync(file)) die("fsync");
  double speed = gib_per_s(size, now_ns() - start);
  close(file);
  unlink(path);
  return speed;
}

/* 1 MiB writes, 16 of them under way; 0 where the file system has no O_DIRECT. */
static double measure_direct(const char *path) {
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT, 0600);
  if (file < 0) return 0;
  aio_context_t context = 0;
  struct iocb blocks[DEPTH], *one;
  struct io_event events[DEPTH];
  if (syscall(SYS_io_setup, DEPTH, &context)) die("io_setup");
  uint64_t start = now_ns(), under_way = 0;
  for (uint64_t at = 0; at < size || under_way;) {
    for (; at < size && under_way < DEPTH; at += STEP, under_way++) {
      one = &blocks[at / STEP % DEPTH]; /* the kernel has copied it by the time it is used again */
      *one = (struct iocb){.aio_fildes = (uint32_t)file, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_nbytes = STEP};
      one->aio_buf = (uint64_t)(ring + at % (DEPTH * STEP));
      one->aio_offset = (int64_t)at;
      if (syscall(SYS_io_submit, context, 1, &one) != 1) die("io_submit");
    }
    long got = syscall(SYS_io_getevents, context, 1, DEPTH, events, NULL);
    for (long i = 0; i < got; i++)
      if (events[i].res != (int64_t)STEP) die("an O_DIRECT write ended with %ld", (long)events[i].res);
    under_way -= got > 0 ? (uint64_t)got : 0;
  }
  if (fsync(file)) die("fsync");
  double speed = gib_per_s(size, now_ns() - start);
  syscall(SYS_io_destroy, context);
  close(file);
  unlink(path);
  return speed;
}

/* Time that the host took from this machine: the eighth number of /proc/stat, in 10 ms (proc_stat(5)). */
static uint64_t stolen_ms(void) {
  unsigned long steal = 0;
  FILE *stat = fopen("/proc/stat", "r");
  if (stat && fscanf(stat, "cpu %*u %*u %*u %*u %*u %*u %*u %lu", &steal) != 1) steal = 0;
  if (stat) fclose(stat);
  return steal * 10;
}

int main(int argc, char **argv) {
  (void)argc;
  only_options(argv, "--mib --threads --file --rounds");
  size = number(argv, "mib", 256) * MIB;
  thread_count = number(argv, "threads", 1);
  rounds = number(argv, "rounds", 51);
  const char *path = option(argv, "file", NULL);
  if (!path || !size || !thread_count || thread_count > MAX_THREADS || !rounds) die("--file, --mib, --threads, --rounds");
  memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ring = mmap(NULL, DEPTH * STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  tids = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (uint64_t at = 0; at < size; at += 8) *(volatile uint64_t *)(memory + at) = mix64(at);
  memset(ring, 1, DEPTH * STEP);
  uint64_t stop_ns, resume_ns, stolen = stolen_ms();
  double copied = measure_memcpy(), buffered = measure_buffered(path), direct = measure_direct(path);
  pid_t victim = start_victim();
  measure_stop(&stop_ns, &resume_ns);
  for (uint64_t t = 0; t < thread_count; t++) ptrace(PTRACE_INTERRUPT, tids[t], 0, 0); /* stands while it is read */
  for (uint64_t t = 0; t < thread_count; t++) waitpid(tids[t], NULL, __WALL);
  double read = measure_memory(victim);
  kill(victim, SIGKILL);
  printf("{\"mib\":%lu,\"threads\":%lu,\"stopNs\":%lu,\"resumeNs\":%lu,\"memcpyGibPerS\":%.3f,\"memoryGibPerS\":%.3f,"
         "\"bufferedGibPerS\":%.3f,\"directGibPerS\":%.3f,\"stolenMs\":%lu}\n",
         size / MIB, thread_count, stop_ns, resume_ns, copied, read, buffered, direct, stolen_ms() - stolen);
  return 0;
}
