/*
 * What every target shares: clocks, options, and the way it talks.
 *
 * A target prints "READY {json}" once it does what it is for. After that each line on its stdin is a command and
 * is answered by one line of JSON on its stdout; "quit", or the end of stdin, ends it with its final report.
 * What goes wrong inside a target is a field of its report, never an exit in silence.
 */
#ifndef TARGET_H
#define TARGET_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define KIB 1024ul
#define MIB (1024ul * KIB)
#define GIB (1024ul * MIB)
#define MS 1000000ul /* nanoseconds */
#define PAGE 4096ul

/* Keeps the compiler from moving memory accesses; x86 keeps the order of stores itself (SDM vol. 3, 9.2.2). */
#define BARRIER() __asm__ volatile("" ::: "memory")

/* One time base for everything a target reports: CLOCK_MONOTONIC in nanoseconds, read through the vDSO. */
static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static inline void sleep_until(uint64_t when) {
  struct timespec t = {(time_t)(when / 1000000000ull), (long)(when % 1000000000ull)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {}
}

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...) {
  int saved = errno;
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, " (errno %d: %s)\n", saved, strerror(saved));
  exit(70);
}

/* The value of "--name value", or fallback. */
static inline const char *option(char **argv, const char *name, const char *fallback) {
  for (char **at = argv + 1; *at; at++)
    if (!strncmp(*at, "--", 2) && !strcmp(*at + 2, name)) {
      if (!at[1]) die("--%s wants a value", name);
      return at[1];
    }
  return fallback;
}

static inline uint64_t number(char **argv, const char *name, uint64_t fallback) {
  const char *text = option(argv, name, NULL);
  if (!text) return fallback;
  char *end;
  uint64_t value = strtoull(text, &end, 0);
  if (*end || end == text) die("--%s wants a number, not %s", name, text);
  return value;
}

/* Is option `name` the word `word`? `fallback` is what holds when it is not given. */
static inline bool chosen(char **argv, const char *name, const char *word, const char *fallback) {
  return !strcmp(option(argv, name, fallback), word);
}

/* A target started with a misspelt option would measure something else: every option must be known. */
static inline void only_options(char **argv, const char *known) {
  for (char **at = argv + 1; *at; at += 2) {
    const char *found = strncmp(*at, "--", 2) ? NULL : strstr(known, *at);
    size_t length = strlen(*at);
    if (!found || (found[length] != ' ' && found[length] != 0)) die("unknown option %s; known are %s", *at, known);
    if (!at[1]) die("%s wants a value", *at);
  }
}

/* For a child: ends with its parent, also with one that ended before this call. */
static inline void die_with(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
}

/* The next command into `line`, without its newline; false at the end of stdin. One read a byte: commands are short. */
static inline bool next_command(char *line, size_t size) {
  size_t length = 0;
  for (;;) {
    char byte;
    ssize_t got = read(0, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    if (byte == '\n') break;
    if (length + 1 < size) line[length++] = byte;
  }
  line[length] = 0;
  return true;
}

/* What a thread has begun and ended; both are in the image that is checked. */
struct counters {
  volatile uint64_t begin, end;
};

/* The next decimal number of a text such as a plan. */
static inline uint64_t take_number(const char **text, const char *name) {
  char *end;
  uint64_t value = strtoull(*text, &end, 10);
  if (end == *text) die("the plan lacks its field %s", name);
  *text = end;
  return value;
}

/* splitmix64's finaliser: a bijection of 64 bits that looks random. */
static inline uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

#endif
