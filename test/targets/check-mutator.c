/*
 * Compares an image of a mutator's memory, page for page, with what its plan says that memory held at the instant
 * which the counters in the image name.
 *
 *   check-mutator --plan "..." --file CORE    with lines "ADDRESS OFFSET SIZE" on stdin
 *
 * Prints {pages, wrong, absent, extra, brokenCounters, absentPages: [address...], examples, counters}: wrong pages have
 * another content; absent ones were mapped, but the file does not hold them; extra ones were not mapped, but it does.
 */
#include "image.h"
#include "mutate.h"

#define MANY 100000

static struct mutator_plan plan;
static uint64_t pages, wrong, absent, extra, broken, under_way;
static uint64_t *absent_pages;
static char examples[10][120];

static void note_wrong(uint64_t address, uint64_t before, uint64_t after, const uint64_t *page) {
  if (wrong < 10)
    snprintf(examples[wrong], sizeof *examples, "%#lx: %#lx or %#lx wanted, the page begins with %#lx", address, before,
             after, page[0]);
  wrong++;
}

static void check_page(uint64_t address, uint64_t before, uint64_t after) {
  static uint64_t page[512];
  bool there = read_image(page, address, PAGE);
  pages++;
  if (before != after) under_way++;
  if (!there) {
    if (before == UNMAPPED || after == UNMAPPED) return;
    if (absent < MANY) absent_pages[absent] = address;
    absent++;
  } else if (before == UNMAPPED && after == UNMAPPED) {
    extra++;
  } else if (!page_fits(before, after, page)) {
    note_wrong(address, before, after, page);
  }
}

static void check_thread(uint64_t thread, struct counters counters) {
  struct model m = make_model(&plan, thread);
  if (counters.begin - counters.end > 1) broken++;
  for (uint64_t k = 1; k <= counters.end; k++) apply_operation(&m, k, choose_operation(&m, k));
  uint64_t *before = malloc(m.pages * 8);
  memcpy(before, m.state, m.pages * 8);
  if (counters.begin == counters.end + 1) apply_operation(&m, counters.begin, choose_operation(&m, counters.begin));
  for (uint64_t page = 0; page < m.pages; page++) check_page(page_address(&m, page), before[page], m.state[page]);
  free(before);
}

int main(int argc, char **argv) {
  (void)argc;
  only_options(argv, "--plan --file");
  plan = read_mutator_plan(option(argv, "plan", ""));
  open_image(option(argv, "file", ""));
  struct counters *counters = read_counters(plan.counters, PAGE, plan.threads);
  absent_pages = calloc(MANY, 8);
  for (uint64_t t = 0; t < plan.threads; t++) check_thread(t, counters[t]);
  printf("{\"pages\":%lu,\"wrong\":%lu,\"absent\":%lu,\"extra\":%lu,\"underWay\":%lu,\"brokenCounters\":%lu,", pages,
         wrong, absent, extra, under_way, broken);
  printf("\"absentPages\":[");
  for (uint64_t i = 0; i < absent && i < MANY; i++) printf("%s\"%#lx\"", i ? "," : "", absent_pages[i]);
  printf("],\"examples\":[");
  for (uint64_t i = 0; i < wrong && i < 10; i++) printf("%s\"%s\"", i ? "," : "", examples[i]);
  printf("],\"counters\":[");
  for (uint64_t t = 0; t < plan.threads; t++) printf("%s[%lu,%lu]", t ? "," : "", counters[t].begin, counters[t].end);
  puts("]}");
  return 0;
}
