/*
 * A file system without O_DIRECT, nameless files and holes that can be punched, which can be told to hang: one folder
 * of files, served through /dev/fuse from a folder of another file system. Needs root.
 *
 *   --mount DIR     where it is mounted
 *   --backing DIR   where its files are kept
 *   --delay US      what each write takes at least
 *   --beat MIB      a second thread writes all over so much memory, and each request is copied into it
 *
 * Commands: "hang" (from now on writes, syncs and the flush of a closed descriptor are taken and not answered: who waits
 * for one is in state D), "mute" (the same for opening and reading), "go" (all of them are answered, and those that come),
 * "report", "quit" (unmounts). With --beat the answers tell how long the second thread and the serving of a request did
 * not go on (stalls.h).
 */
#include "stalls.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#define MAX_WRITE (128 * 1024)
#define REQUEST_BYTES (MAX_WRITE + 64 * KIB)
#define FILES 256
#define HELD 4096

static int fuse_fd, backing;
static bool hanging, mute;
static uint64_t writes, delay_us;
/* file n has node n + 2; node 1 is the folder; a removed file keeps its descriptor and loses its name */
static struct { char name[256]; int fd; } files[FILES];
static unsigned file_count;
static char *held[HELD];
static unsigned held_count;
static uint64_t beat_bytes, random_state = 1;
static char *beat_memory;
static struct stalls *stalls[2]; /* of the serving, of the second thread */

static uint64_t random_page(uint64_t *state) {
  *state = mix64(*state);
  return *state % (beat_bytes / PAGE) * PAGE;
}

static void *beat(void *unused) {
  uint64_t state = 2;
  for (uint64_t due = now_ns();; due += MS) {
    uint64_t now = now_ns();
    if (now < due) {
      sleep_until(due);
      now = due;
    }
    *(volatile uint64_t *)(beat_memory + random_page(&state)) = now;
    stalls_note(stalls[1], now, now_ns(), 1);
  }
  return unused;
}

static void start_beat(void) {
  beat_memory = mmap(NULL, beat_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (beat_memory == MAP_FAILED) die("mmap of %lu bytes", beat_bytes);
  memset(beat_memory, 1, beat_bytes);
  for (unsigned n = 0; n < 2; n++) stalls[n] = stalls_create(4096, 20 * MS, now_ns());
  pthread_t thread;
  if ((errno = pthread_create(&thread, NULL, beat, NULL))) die("pthread_create");
}

static void print_report(void) {
  printf("{\"writes\":%lu,\"held\":%u", writes, held_count);
  if (beat_memory) {
    printf(",");
    stalls_summary(stalls, 2);
  }
  printf("}\n");
  fflush(stdout);
}

static void reply(uint64_t unique, int error, const void *data, size_t size) {
  struct fuse_out_header head = {(uint32_t)(sizeof head + size), -error, unique};
  struct iovec parts[2] = {{&head, sizeof head}, {(void *)data, size}};
  /* ENOENT: who asked was killed and does not wait any more */
  if (writev(fuse_fd, parts, size ? 2 : 1) < 0 && errno != ENOENT) die("writev to /dev/fuse");
}

static int find(const char *name) {
  for (unsigned n = 0; n < file_count; n++)
    if (!strcmp(files[n].name, name)) return (int)n;
  int fd = openat(backing, name, O_RDWR | O_CLOEXEC);
  if (fd < 0) return -errno;
  if (file_count == FILES) return -ENFILE;
  files[file_count].fd = fd;
  snprintf(files[file_count].name, sizeof files[0].name, "%s", name);
  return (int)file_count++;
}

static int fd_of(uint64_t node) {
  return node == FUSE_ROOT_ID ? backing : files[node - 2].fd;
}

static void attributes(uint64_t node, struct fuse_attr *attr) {
  struct stat status;
  if (fstat(fd_of(node), &status)) die("fstat");
  *attr = (struct fuse_attr){.ino = node, .size = (uint64_t)status.st_size, .blocks = (uint64_t)status.st_blocks,
    .mode = status.st_mode, .nlink = (uint32_t)status.st_nlink, .uid = status.st_uid, .gid = status.st_gid,
    .blksize = PAGE};
}

static void entry(uint64_t unique, int file, bool open) {
  if (file < 0) return reply(unique, -file, NULL, 0);
  struct { struct fuse_entry_out entry; struct fuse_open_out open; } out = {0};
  out.entry.nodeid = (uint64_t)file + 2;
  attributes(out.entry.nodeid, &out.entry.attr);
  reply(unique, 0, &out, open ? sizeof out : sizeof out.entry);
}

static void forget_name(const char *name) {
  for (unsigned n = 0; n < file_count; n++)
    if (!strcmp(files[n].name, name)) files[n].name[0] = 0;
}

static void create(const struct fuse_in_header *in, const struct fuse_create_in *args, const char *name) {
  if (args->flags & O_DIRECT) return reply(in->unique, EINVAL, NULL, 0);
  int fd = openat(backing, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, args->mode & 0777);
  if (fd < 0) return reply(in->unique, errno, NULL, 0);
  close(fd);
  entry(in->unique, find(name), true);
}

static void rename_to(const struct fuse_in_header *in, const struct fuse_rename2_in *args, const char *from) {
  const char *to = from + strlen(from) + 1;
  if (renameat2(backing, from, backing, to, args->flags)) return reply(in->unique, errno, NULL, 0);
  forget_name(to);
  for (unsigned n = 0; n < file_count; n++)
    if (!strcmp(files[n].name, from)) snprintf(files[n].name, sizeof files[0].name, "%s", to);
  reply(in->unique, 0, NULL, 0);
}

static void set_attributes(const struct fuse_in_header *in, const struct fuse_setattr_in *args) {
  if ((args->valid & FATTR_SIZE) && ftruncate(fd_of(in->nodeid), (off_t)args->size))
    return reply(in->unique, errno, NULL, 0);
  struct fuse_attr_out out = {0};
  attributes(in->nodeid, &out.attr);
  reply(in->unique, 0, &out, sizeof out);
}

static void read_from(const struct fuse_in_header *in, const struct fuse_read_in *args) {
  static char buffer[MAX_WRITE];
  size_t size = args->size < sizeof buffer ? args->size : sizeof buffer;
  ssize_t got = pread(fd_of(in->nodeid), buffer, size, (off_t)args->offset);
  if (got < 0) return reply(in->unique, errno, NULL, 0);
  reply(in->unique, 0, buffer, (size_t)got);
}

static void write_to(const struct fuse_in_header *in, const struct fuse_write_in *args) {
  writes++;
  if (delay_us) usleep((useconds_t)delay_us);
  ssize_t done = pwrite(fd_of(in->nodeid), args + 1, args->size, (off_t)args->offset);
  if (done < 0) return reply(in->unique, errno, NULL, 0);
  struct fuse_write_out out = {.size = (uint32_t)done};
  reply(in->unique, 0, &out, sizeof out);
}

static void list(const struct fuse_in_header *in, const struct fuse_read_in *args) {
  char out[PAGE];
  size_t used = 0;
  uint64_t at = 0;
  DIR *folder = fdopendir(openat(backing, ".", O_RDONLY | O_DIRECTORY));
  for (struct dirent *each; (each = readdir(folder));) {
    size_t length = strlen(each->d_name), size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length);
    if (at++ < args->offset) continue;
    if (used + size > sizeof out || used + size > args->size) break;
    struct fuse_dirent *entry = (struct fuse_dirent *)(out + used);
    *entry = (struct fuse_dirent){.ino = each->d_ino, .off = at, .namelen = (uint32_t)length};
    memcpy(entry->name, each->d_name, length);
    used += size;
  }
  closedir(folder);
  reply(in->unique, 0, out, used);
}

static void statistics(const struct fuse_in_header *in) {
  struct statvfs status;
  if (fstatvfs(backing, &status)) die("fstatvfs");
  struct fuse_statfs_out out = {.st = {.blocks = status.f_blocks, .bfree = status.f_bfree, .bavail = status.f_bavail,
    .bsize = (uint32_t)status.f_bsize, .frsize = (uint32_t)status.f_frsize, .namelen = 255}};
  reply(in->unique, 0, &out, sizeof out);
}

static void init(const struct fuse_in_header *in, const struct fuse_init_in *args) {
  struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
    .max_readahead = args->max_readahead, .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES, .max_write = MAX_WRITE,
    .max_pages = MAX_WRITE / PAGE};
  reply(in->unique, 0, &out, sizeof out);
}

static void serve(const struct fuse_in_header *in) {
  const void *args = in + 1;
  switch (in->opcode) {
    case FUSE_INIT: return init(in, args);
    case FUSE_FORGET: case FUSE_BATCH_FORGET: case FUSE_INTERRUPT: return;
    case FUSE_LOOKUP: return entry(in->unique, find(args), false);
    case FUSE_CREATE: return create(in, args, (const char *)args + sizeof(struct fuse_create_in));
    case FUSE_RENAME2: return rename_to(in, args, (const char *)args + sizeof(struct fuse_rename2_in));
    case FUSE_SETATTR: return set_attributes(in, args);
    case FUSE_READ: return read_from(in, args);
    case FUSE_WRITE: return write_to(in, args);
    case FUSE_READDIR: return list(in, args);
    case FUSE_STATFS: return statistics(in);
    case FUSE_FLUSH: case FUSE_RELEASE: case FUSE_RELEASEDIR: case FUSE_FSYNC: case FUSE_FSYNCDIR:
      return reply(in->unique, 0, NULL, 0);
    case FUSE_GETATTR: {
      struct fuse_attr_out out = {0};
      attributes(in->nodeid, &out.attr);
      return reply(in->unique, 0, &out, sizeof out);
    }
    case FUSE_OPEN: case FUSE_OPENDIR: {
      if (((const struct fuse_open_in *)args)->flags & O_DIRECT) return reply(in->unique, EINVAL, NULL, 0);
      struct fuse_open_out out = {0};
      return reply(in->unique, 0, &out, sizeof out);
    }
    case FUSE_UNLINK:
      if (unlinkat(backing, args, 0)) return reply(in->unique, errno, NULL, 0);
      forget_name(args);
      return reply(in->unique, 0, NULL, 0);
    default: return reply(in->unique, ENOSYS, NULL, 0);
  }
}

static void take_request(void) {
  static char request[REQUEST_BYTES];
  uint64_t start = now_ns();
  ssize_t got = read(fuse_fd, request, sizeof request);
  if (got < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) return;
  if (got < 0) die("read from /dev/fuse");
  /* in pages, so that most of them meet memory that is protected */
  for (ssize_t at = 0; beat_memory && at < got; at += PAGE)
    memcpy(beat_memory + random_page(&random_state), request + at, (size_t)(got - at < (ssize_t)PAGE ? got - at : (ssize_t)PAGE));
  if (beat_memory) stalls_note(stalls[0], start, now_ns(), 1);
  const struct fuse_in_header *in = (const struct fuse_in_header *)request;
  bool writes_hang = hanging && (in->opcode == FUSE_WRITE || in->opcode == FUSE_FSYNC || in->opcode == FUSE_FLUSH);
  bool reads_hang = mute && (in->opcode == FUSE_READ || in->opcode == FUSE_OPEN);
  if (!writes_hang && !reads_hang) return serve(in);
  if (held_count == HELD) die("too many requests are held");
  held[held_count] = malloc((size_t)got);
  memcpy(held[held_count++], request, (size_t)got);
}

static void go(void) {
  hanging = mute = false;
  for (unsigned n = 0; n < held_count; n++) {
    serve((const struct fuse_in_header *)held[n]);
    free(held[n]);
  }
  held_count = 0;
}

int main(int argc, char **argv) {
  (void)argc;
  only_options(argv, "--mount --backing --delay --beat");
  const char *mount_point = option(argv, "mount", NULL), *backing_path = option(argv, "backing", NULL);
  if (!mount_point || !backing_path) die("--mount and --backing are needed");
  delay_us = number(argv, "delay", 0);
  beat_bytes = number(argv, "beat", 0) * MIB;
  if (beat_bytes) start_beat();
  backing = open(backing_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (backing < 0) die("open %s", backing_path);
  fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fuse_fd < 0) die("open /dev/fuse");
  char options[128];
  snprintf(options, sizeof options, "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", fuse_fd);
  if (mount("plain-fs", mount_point, "fuse", MS_NOSUID | MS_NODEV, options)) die("mount");
  printf("READY {\"pid\":%d}\n", getpid());
  fflush(stdout);
  char line[64] = "";
  for (bool more = true; more;) {
    struct pollfd waits[2] = {{0, POLLIN, 0}, {fuse_fd, POLLIN, 0}};
    if (poll(waits, 2, -1) < 0 && errno != EINTR) die("poll");
    if (waits[1].revents & POLLIN) take_request();
    if (!(waits[0].revents & (POLLIN | POLLHUP))) continue;
    more = next_command(line, sizeof line) && strcmp(line, "quit");
    if (!strcmp(line, "hang")) hanging = true;
    if (!strcmp(line, "mute")) mute = true;
    if (!strcmp(line, "go")) go();
    if (!more) {
      go();
      umount2(mount_point, MNT_DETACH);
    }
    print_report();
  }
  return 0;
}
