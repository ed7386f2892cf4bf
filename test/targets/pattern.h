/*
 * What a writer writes where: one plan, from which the writer writes and the checker knows, word by word, what any
 * image of one instant must hold.
 *
 * Memory is `extents` pieces of `extent` bytes, `stride` bytes apart; its 8-byte words are numbered 0, 1, 2 ...
 * Thread t owns `slots` of them. Its writes are numbered k = 1, 2, 3 ...; it visits its slots in rounds, each round
 * all slots once, in an order that looks random and can be inverted. So the last write to a word among the first n
 * of its thread is found by arithmetic, without a replay: a gigabyte is checked in about a second, however long the
 * writer ran. (pattern-replay.c replays the plain way, and a test compares the two.)
 *
 * Each thread keeps two counters in the same memory image: `begin` = k before write k, `end` = k after it. x86
 * makes stores visible in order, so an image of one instant holds every write up to `end`, none after `begin`, and
 * begin - end is 0 or 1.
 */
#ifndef PATTERN_H
#define PATTERN_H
#include "target.h"

#define BLOCK_SLOTS 512ul /* the slots of a thread come in groups of this many */
#define LINE_WORDS 8ul    /* interleaved ownership goes by cache line, so threads share pages but not lines */

struct plan {
  uint64_t seed, base, extent, stride, extents;
  uint64_t threads;
  uint64_t slots;         /* words that each thread owns, a multiple of BLOCK_SLOTS */
  uint64_t sequential;    /* 1: slots are visited in order */
  uint64_t slice;         /* 1: a thread's words are contiguous; 0: cache lines are dealt out in turn */
  uint64_t zero_percent;  /* pages written with zeros at the start */
  uint64_t empty_percent; /* pages never touched at the start */
  uint64_t counters;      /* address of the first thread's struct counters */
  uint64_t counters_step; /* bytes from one thread's counters to the next: a line, or a page each */
  uint64_t lead;          /* 0, or the writes are ordered between threads, see causal_order */
};

/*
 * With a lead L, write k of thread t > 0 follows (and has seen) write k of thread t - 1, and write k of thread 0
 * follows write k - L of the last thread. So an image of one instant that holds an effect holds its cause.
 */
static inline bool causal_order(const struct plan *p, uint64_t thread, uint64_t k, uint64_t *cause, uint64_t *cause_k) {
  *cause = (thread ? thread : p->threads) - 1;
  *cause_k = thread ? k : k > p->lead ? k - p->lead : 0;
  return p->lead && *cause_k;
}

static inline uint64_t counters_size(const struct plan *p) {
  return (p->threads * p->counters_step + PAGE - 1) / PAGE * PAGE;
}

static inline uint64_t plan_words(const struct plan *p) { return p->extents * (p->extent / 8); }

static inline void plan_divide(struct plan *p) {
  uint64_t lines = plan_words(p) / LINE_WORDS / p->threads;
  p->slots = lines * LINE_WORDS / BLOCK_SLOTS * BLOCK_SLOTS;
  if (!p->slots) die("%lu threads are too many for %lu words", p->threads, plan_words(p));
  if (p->lead >= p->slots) die("a lead of %lu writes is longer than a round of %lu", p->lead, p->slots);
}

static inline uint64_t word_address(const struct plan *p, uint64_t word) {
  uint64_t per_extent = p->extent / 8; /* a power of two */
  return p->base + (word >> __builtin_ctzll(per_extent)) * p->stride + (word & (per_extent - 1)) * 8;
}

static inline uint64_t slot_word(const struct plan *p, uint64_t thread, uint64_t slot) {
  if (p->slice) return thread * p->slots + slot;
  return (slot / LINE_WORDS * p->threads + thread) * LINE_WORDS + slot % LINE_WORDS;
}

/* The owner and slot of the first word of a cache line; false for words that nobody writes. */
static inline bool line_owner(const struct plan *p, uint64_t line, uint64_t *thread, uint64_t *slot) {
  if (p->slice) {
    *thread = line * LINE_WORDS / p->slots;
    *slot = line * LINE_WORDS % p->slots;
    return *thread < p->threads;
  }
  *thread = line % p->threads;
  *slot = line / p->threads * LINE_WORDS;
  return *slot < p->slots;
}

/* The order of one round of one thread: a Feistel network over (group, slot in group), without divisions. */
struct round {
  uint64_t number, groups, key[5];
  bool sequential;
};

static inline struct round make_round(const struct plan *p, uint64_t thread, uint64_t number) {
  struct round r = {.number = number, .groups = p->slots / BLOCK_SLOTS, .sequential = p->sequential};
  for (int i = 0; i < 5; i++) r.key[i] = mix64(mix64(p->seed + thread * 8 + (uint64_t)i) ^ number);
  return r;
}

static inline uint64_t scramble(uint64_t x, uint64_t key) {
  x = (x ^ key) * 0xd6e8feb86659fd93ull;
  return (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
}
static inline uint64_t group_shift(uint64_t low, uint64_t key, uint64_t groups) {
  return (uint64_t)(((__uint128_t)scramble(low, key) * groups) >> 64);
}
static inline uint64_t low_flip(uint64_t group, uint64_t key) { return scramble(group, key) >> 55; }
static inline uint64_t add_mod(uint64_t a, uint64_t b, uint64_t n) { return a + b >= n ? a + b - n : a + b; }
static inline uint64_t sub_mod(uint64_t a, uint64_t b, uint64_t n) { return a >= b ? a - b : a + n - b; }

/* The slot visited at `position` of a round ... */
static inline uint64_t round_slot(const struct round *r, uint64_t position) {
  if (r->sequential) return position;
  uint64_t group = position / BLOCK_SLOTS, low = position % BLOCK_SLOTS;
  group = add_mod(group, group_shift(low, r->key[0], r->groups), r->groups);
  low ^= low_flip(group, r->key[1]);
  group = add_mod(group, group_shift(low, r->key[2], r->groups), r->groups);
  low ^= low_flip(group, r->key[3]);
  group = add_mod(group, group_shift(low, r->key[4], r->groups), r->groups);
  return group * BLOCK_SLOTS + low;
}

/* ... and its inverse. */
static inline uint64_t round_position(const struct round *r, uint64_t slot) {
  if (r->sequential) return slot;
  uint64_t group = slot / BLOCK_SLOTS, low = slot % BLOCK_SLOTS;
  group = sub_mod(group, group_shift(low, r->key[4], r->groups), r->groups);
  low ^= low_flip(group, r->key[3]);
  group = sub_mod(group, group_shift(low, r->key[2], r->groups), r->groups);
  low ^= low_flip(group, r->key[1]);
  group = sub_mod(group, group_shift(low, r->key[0], r->groups), r->groups);
  return group * BLOCK_SLOTS + low;
}

/* A written word names its thread (low 16 bits, never 0) and its write; a word of the start has 0 there. */
static inline uint64_t written_value(uint64_t thread, uint64_t k) { return k << 16 | (thread + 1); }

enum page_kind { PAGE_DATA, PAGE_ZERO, PAGE_EMPTY };

static inline enum page_kind page_kind(const struct plan *p, uint64_t word) {
  if (!(p->zero_percent | p->empty_percent)) return PAGE_DATA;
  uint64_t dice = mix64(p->seed ^ (word / (PAGE / 8)) << 20) % 100;
  return dice < p->zero_percent ? PAGE_ZERO : dice < p->zero_percent + p->empty_percent ? PAGE_EMPTY : PAGE_DATA;
}

static inline uint64_t first_value(const struct plan *p, uint64_t word) {
  return page_kind(p, word) == PAGE_DATA ? mix64(p->seed + word) << 16 : 0;
}

/* What one thread has written: its first `count` writes. */
struct progress {
  uint64_t count, position; /* position = writes of the last, unfinished round */
  uint64_t rounds;          /* finished rounds */
  struct round last, before;
};

static inline struct progress make_progress(const struct plan *p, uint64_t thread, uint64_t count) {
  struct progress g = {.count = count, .position = count % p->slots, .rounds = count / p->slots};
  g.last = make_round(p, thread, g.rounds);
  if (g.rounds) g.before = make_round(p, thread, g.rounds - 1);
  return g;
}

/* The number of the last of these writes that hit the slot; 0 for none. */
static inline uint64_t last_write(const struct plan *p, const struct progress *g, uint64_t slot) {
  if (g->position) {
    uint64_t position = round_position(&g->last, slot);
    if (position < g->position) return g->rounds * p->slots + position + 1;
  }
  return g->rounds ? (g->rounds - 1) * p->slots + round_position(&g->before, slot) + 1 : 0;
}

/* The plan as text: the writer prints it, the checker reads it back. */
#define PLAN_FIELDS(F)                                                                                         \
  F(seed) F(base) F(extent) F(stride) F(extents) F(threads) F(slots) F(sequential) F(slice) F(zero_percent)  \
  F(empty_percent) F(counters) F(counters_step) F(lead)

static inline void print_plan(const struct plan *p) {
  printf("\"plan\":\"");
#define F(name) printf("%lu ", p->name);
  PLAN_FIELDS(F)
#undef F
  printf("\"");
}

static inline struct plan read_plan(const char *text) {
  struct plan p;
#define F(name) p.name = take_number(&text, #name);
  PLAN_FIELDS(F)
#undef F
  return p;
}

#endif
