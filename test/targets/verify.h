/* Compares memory with what a plan says it must hold after given writes; for the checker and for the writer itself. */
#ifndef VERIFY_H
#define VERIFY_H
#include "pattern.h"

#define EXAMPLES 10

enum fault { STALE, FUTURE, FOREIGN };

struct example {
  uint64_t address, wanted, found;
  enum fault fault;
};

struct tally {
  uint64_t words;     /* compared */
  uint64_t stale;     /* an older value of this very word: a write up to `end` is missing */
  uint64_t future;    /* the value of a write after `begin` */
  uint64_t foreign;   /* a value that was never written to this word */
  uint64_t inflight;  /* words that hold write `begin` where end = begin - 1: right either way */
  struct example examples[EXAMPLES];
};

struct image {
  const struct plan *plan;
  const struct counters *counters;  /* as the image holds them */
  struct progress *progress;        /* of each thread up to its `end` */
};

static inline struct image make_image(const struct plan *plan, const struct counters *counters) {
  struct image image = {plan, counters, calloc(plan->threads, sizeof(struct progress))};
  if (!image.progress) die("calloc");
  for (uint64_t t = 0; t < plan->threads; t++) image.progress[t] = make_progress(plan, t, counters[t].end);
  return image;
}

static inline uint64_t tally_wrong(const struct tally *t) { return t->stale + t->future + t->foreign; }

static inline void note_fault(const struct image *image, struct tally *tally, uint64_t word, uint64_t thread, uint64_t slot,
                       uint64_t wanted, uint64_t found) {
  const struct plan *plan = image->plan;
  uint64_t k = found >> 16;
  enum fault fault = FOREIGN;
  if (thread < plan->threads) {
    if ((found & 0xffff) == thread + 1 && k) {
      struct progress then = make_progress(plan, thread, k);
      if (last_write(plan, &then, slot) == k) fault = k > image->counters[thread].begin ? FUTURE : STALE;
    } else if (found == first_value(plan, word)) {
      fault = STALE;
    }
  }
  uint64_t seen = tally_wrong(tally);
  if (seen < EXAMPLES) tally->examples[seen] = (struct example){word_address(plan, word), wanted, found, fault};
  *(fault == STALE ? &tally->stale : fault == FUTURE ? &tally->future : &tally->foreign) += 1;
}

/* Compares `count` words from number `word` on (both multiples of LINE_WORDS) with `data`. */
static inline void verify_words(const struct image *image, uint64_t word, uint64_t count, const uint64_t *data,
                         struct tally *tally) {
  const struct plan *plan = image->plan;
  tally->words += count;
  for (uint64_t line = 0; line < count / LINE_WORDS; line++) {
    uint64_t thread, slot, first = word + line * LINE_WORDS;
    bool owned = line_owner(plan, first / LINE_WORDS, &thread, &slot);
    for (uint64_t i = 0; i < LINE_WORDS; i++) {
      uint64_t found = data[line * LINE_WORDS + i];
      uint64_t k = owned ? last_write(plan, &image->progress[thread], slot + i) : 0;
      uint64_t wanted = k ? written_value(thread, k) : first_value(plan, first + i);
      if (found == wanted) continue;
      uint64_t begin = owned ? image->counters[thread].begin : 0;
      if (owned && begin == image->counters[thread].end + 1 && found == written_value(thread, begin)) {
        struct progress then = make_progress(plan, thread, begin);
        if (last_write(plan, &then, slot + i) == begin) {
          tally->inflight++;
          continue;
        }
      }
      note_fault(image, tally, first + i, owned ? thread : plan->threads, slot + i, wanted, found);
    }
  }
}

static inline void add_tally(struct tally *sum, const struct tally *part) {
  uint64_t have = tally_wrong(sum), more = tally_wrong(part);
  for (uint64_t i = 0; i < more && i < EXAMPLES && have + i < EXAMPLES; i++) sum->examples[have + i] = part->examples[i];
  sum->words += part->words;
  sum->stale += part->stale;
  sum->future += part->future;
  sum->foreign += part->foreign;
  sum->inflight += part->inflight;
}

static inline void print_tally(const struct tally *t) {
  static const char *const names[] = {"stale", "future", "foreign"};
  uint64_t wrong = tally_wrong(t);
  printf("\"words\":%lu,\"wrong\":%lu,\"stale\":%lu,\"future\":%lu,\"foreign\":%lu,\"inflight\":%lu,\"examples\":[",
         t->words, wrong, t->stale, t->future, t->foreign, t->inflight);
  for (uint64_t i = 0; i < wrong && i < EXAMPLES; i++)
    printf("%s{\"address\":\"0x%lx\",\"wanted\":\"0x%lx\",\"found\":\"0x%lx\",\"fault\":\"%s\"}", i ? "," : "",
           t->examples[i].address, t->examples[i].wanted, t->examples[i].found, names[t->examples[i].fault]);
  printf("]");
}

#endif
