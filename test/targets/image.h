/*
 * An image as a checker gets it: a file, and on stdin lines "ADDRESS OFFSET SIZE" that say what of the memory it holds
 * where.
 */
#ifndef IMAGE_H
#define IMAGE_H
#include "target.h"
#include <fcntl.h>

struct segment {
  uint64_t address, offset, size;
};

static struct segment *segments;
static size_t segment_count;
static int image_file;

static int by_address(const void *a, const void *b) {
  uint64_t x = ((const struct segment *)a)->address, y = ((const struct segment *)b)->address;
  return (x > y) - (x < y);
}

static inline void open_image(const char *path) {
  size_t room = 0;
  struct segment s;
  image_file = open(path, O_RDONLY);
  if (image_file < 0) die("opening the image %s", path);
  while (scanf("%lu %lu %lu", &s.address, &s.offset, &s.size) == 3) {
    if (segment_count == room) segments = realloc(segments, (room = room * 2 + 64) * sizeof s);
    if (!segments) die("realloc");
    segments[segment_count++] = s;
  }
  qsort(segments, segment_count, sizeof *segments, by_address);
}

/* The first segment that ends after `address`. */
static inline size_t find_segment(uint64_t address) {
  size_t low = 0, high = segment_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (segments[middle].address + segments[middle].size <= address) low = middle + 1;
    else high = middle;
  }
  return low;
}

static inline void read_file(void *to, uint64_t size, uint64_t offset) {
  for (uint64_t done = 0; done < size;) {
    ssize_t got = pread(image_file, (char *)to + done, size - done, (off_t)(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) die("reading %lu bytes at offset %lu of the image", size, offset);
    done += (uint64_t)got;
  }
}

/* Reads what lies in one segment; false where the image does not hold it. */
static inline bool read_image(void *to, uint64_t address, uint64_t size) {
  size_t i = find_segment(address);
  if (i == segment_count || segments[i].address > address) return false;
  if (segments[i].address + segments[i].size < address + size) return false;
  read_file(to, size, segments[i].offset + address - segments[i].address);
  return true;
}

/* The counters of all threads, `step` bytes apart. */
static inline struct counters *read_counters(uint64_t address, uint64_t step, uint64_t threads) {
  struct counters *all = calloc(threads, sizeof *all);
  if (!all) die("calloc");
  for (uint64_t t = 0; t < threads; t++)
    if (!read_image(&all[t], address + t * step, sizeof *all)) die("the image lacks the counters of thread %lu", t);
  return all;
}

#endif
