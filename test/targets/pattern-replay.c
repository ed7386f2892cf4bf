/*
 * The plain way to know what a writer's memory holds: do its writes one after the other. Compares that with the
 * arithmetic of pattern.h after every one of many counts, for plans of many shapes. Prints {plans, compared, wrong}.
 */
#include "pattern.h"

static uint64_t compared, wrong;

/* Does `count` writes of each thread to a model of memory, in the order of their numbers. */
static void replay(const struct plan *p, uint64_t count, uint64_t *memory) {
  for (uint64_t word = 0; word < plan_words(p); word++) memory[word] = first_value(p, word);
  for (uint64_t t = 0; t < p->threads; t++)
    for (uint64_t k = 1; k <= count; k++) {
      struct round round = make_round(p, t, (k - 1) / p->slots);
      memory[slot_word(p, t, round_slot(&round, (k - 1) % p->slots))] = written_value(t, k);
    }
}

static void compare(const struct plan *p, uint64_t count, const uint64_t *memory) {
  for (uint64_t line = 0; line < plan_words(p) / LINE_WORDS; line++) {
    uint64_t thread, slot;
    bool owned = line_owner(p, line, &thread, &slot);
    struct progress g = make_progress(p, owned ? thread : 0, count);
    for (uint64_t i = 0; i < LINE_WORDS; i++) {
      uint64_t word = line * LINE_WORDS + i, k = owned ? last_write(p, &g, slot + i) : 0;
      compared++;
      wrong += memory[word] != (k ? written_value(thread, k) : first_value(p, word));
    }
  }
}

int main(void) {
  uint64_t plans = 0;
  for (uint64_t seed = 1; seed <= 3; seed++)
    for (uint64_t threads = 1; threads <= 5; threads += 2)
      for (uint64_t shape = 0; shape < 4; shape++) {
        struct plan p = {.seed = seed, .extent = 8 * PAGE, .stride = 9 * PAGE, .extents = 5, .threads = threads};
        p.sequential = shape & 1;
        p.slice = shape >> 1;
        p.zero_percent = seed * 10;
        p.empty_percent = 20;
        plan_divide(&p);
        uint64_t *memory = malloc(plan_words(&p) * 8);
        if (!memory) die("malloc");
        /* before the first write, inside a round, at its edges, after several rounds */
        uint64_t counts[] = {0, 1, 2, p.slots / 3, p.slots - 1, p.slots, p.slots + 1, p.slots * 2, p.slots * 3 + 77};
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
          replay(&p, counts[i], memory);
          compare(&p, counts[i], memory);
        }
        free(memory);
        plans++;
      }
  printf("{\"plans\":%lu,\"compared\":%lu,\"wrong\":%lu}\n", plans, compared, wrong);
  return 0;
}
