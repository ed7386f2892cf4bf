/*
 * How a thread records its own stalls, in memory apart from the image: a stall is time that passed between two
 * readings of the clock although the thread wanted to run. The clock is never restarted after a wait, so a stop
 * shows in full whenever it comes.
 *
 * Each thread has a histogram of all gaps, a log of the gaps over a threshold with their start, and the number of
 * its writes in each bucket of 10 ms, from which lost work is computed against the thread's own undisturbed rate.
 * The memory is shared and left out of dumps (MADV_DONTDUMP), so that recording does not itself meet protection.
 */
#ifndef STALLS_H
#define STALLS_H
#include "target.h"
#include <sys/mman.h>

#define BUCKET_NS (10 * MS)
#define MINUTES 20ul
#define BUCKETS (MINUTES * 60000 * MS / BUCKET_NS)
#define STEPS 16ul /* histogram steps in each power of two: 6% wide */
#define STEP_BITS 4

struct gap {
  uint64_t start, length;
};

struct stalls {
  uint64_t origin;        /* when buckets begin */
  uint64_t threshold;     /* gaps from here on are logged */
  uint64_t capacity;      /* of the log */
  volatile uint64_t logged, lost; /* entries in the log; entries it had no room for */
  struct gap longest;
  uint64_t counts[64 * STEPS]; /* histogram of gaps, see step_of */
  uint32_t buckets[BUCKETS];
  struct gap log[];
};

static inline struct stalls *stalls_create(uint64_t capacity, uint64_t threshold, uint64_t origin) {
  size_t size = sizeof(struct stalls) + capacity * sizeof(struct gap);
  struct stalls *s = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (s == MAP_FAILED) die("mmap of %zu bytes for stalls", size);
  if (madvise(s, size, MADV_DONTDUMP)) die("madvise(MADV_DONTDUMP)");
  /* touched here: a first touch later would be a gap of our own making; volatile, or GCC drops the stores */
  for (volatile char *page = (volatile char *)s; page < (volatile char *)s + size; page += PAGE) *page = 0;
  s->origin = origin;
  s->threshold = threshold;
  s->capacity = capacity;
  return s;
}

static inline unsigned step_of(uint64_t length) {
  if (length < STEPS) return (unsigned)length;
  unsigned exponent = 63 - (unsigned)__builtin_clzll(length);
  return (exponent - STEP_BITS + 1) * STEPS + (unsigned)((length >> (exponent - STEP_BITS)) & (STEPS - 1));
}

/* The smallest length that falls into a step. */
static inline uint64_t step_start(unsigned step) {
  if (step < STEPS) return step;
  return (STEPS + step % STEPS) << (step / STEPS - 1);
}

/* Notes that `writes` writes were done and that the thread, wanting to run from `start` on, got as far as `now`. */
static inline void stalls_note(struct stalls *s, uint64_t start, uint64_t now, uint64_t writes) {
  uint64_t length = now > start ? now - start : 0;
  s->counts[step_of(length)]++;
  uint64_t bucket = (now - s->origin) / BUCKET_NS;
  if (bucket < BUCKETS) s->buckets[bucket] += (uint32_t)writes;
  if (length > s->longest.length) s->longest = (struct gap){start, length};
  if (length < s->threshold) return;
  if (s->logged == s->capacity) {
    s->lost++;
    return;
  }
  s->log[s->logged] = (struct gap){start, length};
  BARRIER();
  s->logged++;
}

static inline uint64_t step_quantile(const uint64_t *counts, uint64_t total, double quantile) {
  uint64_t wanted = (uint64_t)((double)total * quantile), seen = 0;
  for (unsigned step = 0; step < 64 * STEPS; step++) {
    seen += counts[step];
    if (seen > wanted) return step_start(step);
  }
  return 0;
}

/* "gaps":{count, p50Ns ...} of all threads since the start, and the longest with its start. */
static inline void stalls_summary(struct stalls *const *all, uint64_t threads) {
  static uint64_t counts[64 * STEPS];
  uint64_t total = 0, over = 0, lost = 0;
  struct gap longest = {0, 0};
  memset(counts, 0, sizeof counts);
  for (uint64_t t = 0; t < threads; t++) {
    for (unsigned step = 0; step < 64 * STEPS; step++) {
      counts[step] += all[t]->counts[step];
      total += all[t]->counts[step];
      if (step_start(step) >= MS) over += all[t]->counts[step];
    }
    if (all[t]->longest.length > longest.length) longest = all[t]->longest;
    lost += all[t]->lost;
  }
  printf("\"gaps\":{\"count\":%lu,\"p50Ns\":%lu,\"p99Ns\":%lu,\"p999Ns\":%lu,\"maxNs\":%lu,\"maxAtNs\":%lu,"
         "\"over1ms\":%lu,\"unlogged\":%lu}",
         total, step_quantile(counts, total, 0.5), step_quantile(counts, total, 0.99),
         step_quantile(counts, total, 0.999), longest.length, longest.start, over, lost);
}

/* [[thread,startNs,lengthNs],...] of the logged gaps that touch [from, to), oldest first within a thread. */
static inline void stalls_print_gaps(struct stalls *const *all, uint64_t threads, uint64_t from, uint64_t to) {
  const char *comma = "";
  putchar('[');
  for (uint64_t t = 0; t < threads; t++)
    for (uint64_t i = 0, end = all[t]->logged; i < end; i++) {
      struct gap g = all[t]->log[i];
      if (g.start + g.length <= from || g.start >= to) continue;
      printf("%s[%lu,%lu,%lu]", comma, t, g.start, g.length);
      comma = ",";
    }
  putchar(']');
}

/* {"startNs":...,"bucketNs":...,"writes":[...]}: the writes of all threads in each bucket of [from, to). */
static inline void stalls_print_buckets(struct stalls *const *all, uint64_t threads, uint64_t from, uint64_t to) {
  uint64_t origin = all[0]->origin;
  uint64_t first = from > origin ? (from - origin) / BUCKET_NS : 0;
  uint64_t end = to > origin ? (to - origin + BUCKET_NS - 1) / BUCKET_NS : 0;
  if (end > BUCKETS) end = BUCKETS;
  printf("{\"startNs\":%lu,\"bucketNs\":%lu,\"writes\":[", origin + first * BUCKET_NS, BUCKET_NS);
  for (uint64_t bucket = first; bucket < end; bucket++) {
    uint64_t writes = 0;
    for (uint64_t t = 0; t < threads; t++) writes += all[t]->buckets[bucket];
    printf("%s%lu", bucket > first ? "," : "", writes);
  }
  printf("]}");
}

#endif
