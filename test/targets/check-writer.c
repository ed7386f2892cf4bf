/*
 * Compares an image of a writer's memory, word for word, with what its plan says that memory held at one instant.
 *
 *   check-writer --plan "..." --file CORE    with lines "ADDRESS OFFSET SIZE" on stdin: what the file holds where
 *
 * Prints {words, wrong, stale, future, foreign, inflight, absent, brokenCounters, causeless, examples, counters}.
 * The instant is the one that the counters in the image name.
 */
#include "image.h"
#include "verify.h"
#include <pthread.h>

#define WORKERS 2

static struct plan plan;
static struct image image;
static uint64_t next_extent;

struct worker {
  pthread_t thread;
  struct tally tally;
  uint64_t absent;
};

/* Checks what the image holds of [address, address + size), which is the words from `word` on. */
static void check_range(struct worker *w, uint64_t address, uint64_t word, uint64_t size, uint64_t *buffer) {
  uint64_t done = 0;
  for (size_t i = find_segment(address); done < size; i++) {
    uint64_t at = address + done;
    if (i == segment_count || segments[i].address >= address + size) break;
    if (segments[i].address > at) {
      w->absent += (segments[i].address - at) / 8;
      done = segments[i].address - address;
      at = segments[i].address;
    }
    uint64_t inside = at - segments[i].address, many = segments[i].size - inside;
    if (many > size - done) many = size - done;
    read_file(buffer, many, segments[i].offset + inside);
    verify_words(&image, word + done / 8, many / 8, buffer, &w->tally);
    done += many;
  }
  w->absent += (size - done) / 8;
}

static void *work(void *argument) {
  struct worker *w = argument;
  uint64_t *buffer = malloc(plan.extent), per_extent = plan.extent / 8;
  if (!buffer) die("malloc");
  for (uint64_t e; (e = __atomic_fetch_add(&next_extent, 1, __ATOMIC_RELAXED)) < plan.extents;)
    check_range(w, word_address(&plan, e * per_extent), e * per_extent, plan.extent, buffer);
  free(buffer);
  return NULL;
}

int main(int argc, char **argv) {
  (void)argc;
  only_options(argv, "--plan --file");
  plan = read_plan(option(argv, "plan", ""));
  open_image(option(argv, "file", ""));
  struct counters *counters = read_counters(plan.counters, plan.counters_step, plan.threads);
  image = make_image(&plan, counters);
  struct worker workers[WORKERS] = {0}, all = {0};
  for (int i = 0; i < WORKERS; i++)
    if ((errno = pthread_create(&workers[i].thread, NULL, work, &workers[i]))) die("pthread_create");
  for (int i = 0; i < WORKERS; i++) {
    pthread_join(workers[i].thread, NULL);
    add_tally(&all.tally, &workers[i].tally);
    all.absent += workers[i].absent;
  }
  uint64_t broken = 0; /* counters that no single instant can show */
  printf("{\"counters\":[");
  for (uint64_t t = 0; t < plan.threads; t++) {
    if (counters[t].begin - counters[t].end > 1) broken++;
    printf("%s[%lu,%lu]", t ? "," : "", counters[t].begin, counters[t].end);
  }
  uint64_t causeless = 0; /* threads with an effect whose cause the image lacks */
  for (uint64_t t = 0; t < plan.threads; t++) {
    uint64_t cause, k;
    if (causal_order(&plan, t, counters[t].begin, &cause, &k)) causeless += counters[cause].begin < k;
  }
  printf("],\"brokenCounters\":%lu,\"causeless\":%lu,\"absent\":%lu,", broken, causeless, all.absent);
  print_tally(&all.tally);
  printf("}\n");
  return 0;
}
