/*
 * A process that changes its own address space, as a model: what each page of its arenas holds after its first n
 * operations. The mutator performs the operations, the checker repeats them on the model alone.
 *
 * Each thread has an arena and performs its operations one after the other, with counters around each as in
 * pattern.h: an image of one instant shows each arena after `end` operations, or, of the pages that operation
 * `begin` = end + 1 touches, something between.
 */
#ifndef MUTATE_H
#define MUTATE_H
#include "target.h"

#define MAX_RUN 32ul   /* pages an operation touches at most */
#define BRK_PAGES 256ul /* of thread 0, above the program break */

enum op { FILL, MAP, DONTNEED, FREE, UNMAP, FIXED, MOVE, MOVE_KEEP, SHRINK, BRK_GROW, BRK_SHRINK, OPS };
static const char *const op_names[OPS] = {"fill",  "map",  "dontneed", "free",   "unmap",   "fixed",
                                          "move", "keep", "shrink",   "brkgrow", "brkshrink"};

struct mutator_plan {
  uint64_t seed, threads, pages; /* pages of each thread's arena */
  uint64_t base, brk_base;       /* arenas lie one after the other */
  uint64_t ops;                  /* which operations, a bit each */
  uint64_t counters;             /* address of counters[threads], a page each */
};

/* What a page holds: nothing mapped, zeros, or the content of a fill; FREED: that content, or already zeros. */
#define UNMAPPED 0ul
#define EMPTY 1ul
#define FREED (1ul << 63)
#define CONTENT(k, ordinal) ((k) << 8 | (ordinal) | 1ul << 62)

struct model {
  const struct mutator_plan *plan;
  uint64_t thread, pages; /* arena, then for thread 0 what lies above the program break */
  uint64_t *state;
  uint64_t *origin; /* pages with consecutive origins are of one mapping for certain */
};

/* One operation: `count` pages from `page` on; for moves to `target`. */
struct operation {
  enum op op;
  uint64_t page, count, target;
};

static inline struct model make_model(const struct mutator_plan *p, uint64_t thread) {
  struct model m = {.plan = p, .thread = thread, .pages = p->pages + (thread ? 0 : BRK_PAGES)};
  m.state = calloc(m.pages, sizeof *m.state);
  m.origin = calloc(m.pages, sizeof *m.origin);
  if (!m.state || !m.origin) die("calloc");
  return m;
}

static inline uint64_t page_address(const struct model *m, uint64_t page) {
  const struct mutator_plan *p = m->plan;
  if (page >= p->pages) return p->brk_base + (page - p->pages) * PAGE;
  return p->base + (m->thread * p->pages + page) * PAGE;
}

static inline uint64_t content_word(uint64_t state, uint64_t word) { return word ? mix64(state * 512 + word) : state; }

/* How many pages from `page` on, at most `most`, are mapped (or are not) and, with `one`, are of one mapping. */
static inline uint64_t run_of(const struct model *m, uint64_t page, uint64_t most, bool mapped, bool one) {
  uint64_t end = page < m->plan->pages ? m->plan->pages : m->pages, n = 0;
  while (n < most && page + n < end && (m->state[page + n] != UNMAPPED) == mapped &&
         (!one || m->origin[page + n] == m->origin[page] + n))
    n++;
  return n;
}

static inline uint64_t brk_in_use(const struct model *m) {
  uint64_t n = 0;
  while (m->plan->pages + n < m->pages && m->state[m->plan->pages + n] != UNMAPPED) n++;
  return n;
}

/* Chooses operation k, from the seed and the state the arena is in. */
static inline struct operation choose_operation(const struct model *m, uint64_t k) {
  const struct mutator_plan *p = m->plan;
  uint64_t random = mix64(mix64(p->seed * 1000003 + m->thread) + k), wanted = 1 + (random >> 32) % MAX_RUN;
  struct operation o = {.op = FILL, .page = (random & 0xffffffff) % p->pages};
  /* half of all are fills, or there would soon be nothing to destroy */
  if (mix64(random) & 1)
    for (uint64_t op = (mix64(random) >> 1) % OPS, tries = 0; tries < OPS; tries++, op = (op + 1) % OPS)
      if (p->ops >> op & 1) {
        o.op = (enum op)op;
        break;
      }
  if ((o.op == BRK_GROW || o.op == BRK_SHRINK) && m->thread) o.op = FILL;
  uint64_t used = m->thread ? 0 : brk_in_use(m), left = BRK_PAGES - used;
  if (o.op == BRK_GROW) return (struct operation){BRK_GROW, p->pages + used, wanted < left ? wanted : left, 0};
  if (o.op == BRK_SHRINK) {
    if (wanted > used) wanted = used;
    return (struct operation){BRK_SHRINK, p->pages + used - wanted, wanted, 0};
  }
  if (o.op == FILL && used && random >> 61 == 0) o.page = p->pages + (random & 0xffff) % used;
  if (m->state[o.page] == UNMAPPED) o.op = MAP;
  else if (o.op == MAP) o.op = FILL;
  bool one = o.op == MOVE || o.op == MOVE_KEEP || o.op == SHRINK;
  o.count = run_of(m, o.page, wanted, o.op != MAP, one);
  if (o.op == SHRINK) {
    /* mremap to a smaller size: the first page stays */
    if (o.count < 2) return (struct operation){FILL, o.page, o.count, 0};
    return (struct operation){SHRINK, o.page + 1, o.count - 1, 0};
  }
  if (o.op == MOVE || o.op == MOVE_KEEP) {
    uint64_t start = mix64(random + 1) % p->pages;
    for (uint64_t i = 0; i < p->pages; i++) {
      o.target = (start + i) % p->pages;
      if (run_of(m, o.target, o.count, false, false) == o.count) return o;
    }
    o.op = FILL; /* no room */
  }
  return o;
}

/* What operation k does to the model. */
static inline void apply_operation(struct model *m, uint64_t k, struct operation o) {
  for (uint64_t i = 0; i < o.count; i++) {
    uint64_t *state = &m->state[o.page + i], *origin = &m->origin[o.page + i], fresh = k << 16 | i;
    switch (o.op) {
      case FILL: *state = CONTENT(k, i); break;
      case MAP: case FIXED: case BRK_GROW: *state = EMPTY; *origin = fresh; break;
      case DONTNEED: *state = EMPTY; break;
      case FREE: *state |= *state == EMPTY ? 0 : FREED; break;
      case UNMAP: case SHRINK: case BRK_SHRINK: *state = UNMAPPED; break;
      case MOVE: case MOVE_KEEP:
        m->state[o.target + i] = *state;
        m->origin[o.target + i] = fresh;
        *state = o.op == MOVE ? UNMAPPED : EMPTY;
        break;
      case OPS: break;
    }
  }
}

/* May this word be what a page in this state holds? */
static inline bool word_fits(uint64_t state, uint64_t word, uint64_t found) {
  if (state == EMPTY || state == UNMAPPED) return found == 0;
  return found == content_word(state & ~FREED, word) || (state & FREED && found == 0);
}

/* Does the page hold what `before` says, or, while an operation is under way, `after`? Freed pages: all or nothing. */
static inline bool page_fits(uint64_t before, uint64_t after, const uint64_t *page) {
  if (before == after && before & FREED) {
    bool zero = page[0] == 0;
    for (uint64_t i = 0; i < 512; i++)
      if (page[i] != (zero ? 0 : content_word(before & ~FREED, i))) return false;
    return true;
  }
  for (uint64_t i = 0; i < 512; i++)
    if (!word_fits(before, i, page[i]) && !word_fits(after, i, page[i])) return false;
  return true;
}

#define MUTATOR_FIELDS(F) F(seed) F(threads) F(pages) F(base) F(brk_base) F(ops) F(counters)

static inline void print_mutator_plan(const struct mutator_plan *p) {
  printf("\"plan\":\"");
#define F(name) printf("%lu ", p->name);
  MUTATOR_FIELDS(F)
#undef F
  printf("\"");
}

static inline struct mutator_plan read_mutator_plan(const char *text) {
  struct mutator_plan p;
#define F(name) p.name = take_number(&text, #name);
  MUTATOR_FIELDS(F)
#undef F
  return p;
}

#endif
