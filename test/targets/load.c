/*
 * A load generator with a fixed schedule: request n is due at start + n / rate, whatever became of the ones before,
 * and its latency runs from then on. So a server that stands still for 100 ms shows in every request of these
 * 100 ms, not in one for each connection.
 *
 *   --unix PATH | --port N     where the server listens
 *   --protocol redis|memcached|http
 *   --connections C --rate R
 *   --keys K --value-bytes B --writes P    for the stores: all keys are written first, then P percent of requests write
 *   --path P                   for http: the request is for P/n and the answer must begin with just that
 *
 * Every answer is checked: a read returns the value that was written to its key last. A connection carries one
 * request at a time; one that breaks is an error, and is made anew.
 *
 * Commands: report [FROM TO] (due times, CLOCK_MONOTONIC ns), stop (sends no more, waits for answers), quit.
 */
#include "target.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ROOM (64 * KIB)
#define RECORDS (16ul << 20)
#define MESSAGES 20
#define GIVE_UP (20000 * MS) /* an answer that takes longer is an error */

enum protocol { REDIS, MEMCACHED, HTTP };

struct connection {
  int fd;
  bool busy;
  uint64_t due, sent, key, request;
  uint32_t expected;      /* version of the value a read must return */
  bool writes;
  size_t out_done, out_length, in_length;
  char *out, *in;
};

struct record {
  uint64_t due;
  uint32_t latency_100ns, unused;
};

static enum protocol protocol;
static const char *unix_path, *http_path;
static uint64_t port, keys, value_bytes, write_percent, rate, connection_count;
static struct connection *connections;
static uint32_t *versions;
static struct record *records;
static uint64_t record_count, issued, errors, reconnects, wrong;
static char messages[MESSAGES][160];
static bool asked; /* stdin has something */

__attribute__((format(printf, 1, 2))) static void note_error(const char *format, ...) {
  if (errors < MESSAGES) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(messages[errors], sizeof *messages, format, arguments);
    va_end(arguments);
    for (char *c = messages[errors]; *c; c++)
      if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ') *c = '?';
  }
  errors++;
}

static int dial(void) {
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(unix_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  if (fd < 0) die("socket");
  if (unix_path) strncpy(local.sun_path, unix_path, sizeof local.sun_path - 1);
  else setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  int failed = unix_path ? connect(fd, (struct sockaddr *)&local, sizeof local)
                         : connect(fd, (struct sockaddr *)&inet, sizeof inet);
  if (failed) {
    close(fd);
    return -1;
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

static void break_connection(struct connection *c, const char *why) {
  note_error("%s (errno %d) on request %lu", why, errno, c->request);
  close(c->fd);
  c->fd = -1;
  c->busy = false;
}

/* The value of a key: its number and version, then filler that depends on both. */
static void make_value(char *to, uint64_t key, uint32_t version) {
  char head[64];
  size_t length = (size_t)snprintf(head, sizeof head, "%lu.%u.", key, version);
  for (size_t i = 0; i < value_bytes; i++) to[i] = i < length ? head[i] : (char)('a' + (key + version + i) % 26);
}

static size_t make_request(struct connection *c) {
  char *to = c->out;
  if (protocol == HTTP) return (size_t)sprintf(to, "GET %s/%lu HTTP/1.1\r\nHost: load\r\n\r\n", http_path, c->request);
  char key[32];
  int key_length = sprintf(key, "key:%lu", c->key);
  size_t n;
  if (protocol == REDIS && !c->writes) return (size_t)sprintf(to, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", key_length, key);
  if (protocol == MEMCACHED && !c->writes) return (size_t)sprintf(to, "get %s\r\n", key);
  if (protocol == REDIS) n = (size_t)sprintf(to, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%lu\r\n", key_length, key, value_bytes);
  else n = (size_t)sprintf(to, "set %s 0 0 %lu\r\n", key, value_bytes);
  make_value(to + n, c->key, c->expected);
  memcpy(to + n + value_bytes, "\r\n", 2);
  return n + value_bytes + 2;
}

/* Answers the length of the answer to a read, 0 when it is not there yet, and where its value begins. */
static size_t whole_answer(const struct connection *c, const char **value, uint64_t *length) {
  const char *end = memmem(c->in, c->in_length, "\r\n", 2);
  *value = NULL;
  if (!end) return 0;
  size_t head = (size_t)(end - c->in) + 2, tail = 2;
  if (protocol == HTTP) {
    const char *blank = memmem(c->in, c->in_length, "\r\n\r\n", 4);
    if (!blank) return 0;
    head = (size_t)(blank - c->in) + 4;
    tail = 0;
    const char *field = strcasestr(c->in, "\r\ncontent-length:");
    *length = field && field < blank ? strtoull(field + 17, NULL, 10) : 0;
  } else if (c->writes || c->in[0] == '-') {
    return head;
  } else if (protocol == REDIS) {
    *length = strtoull(c->in + 1, NULL, 10);
  } else {
    if (strncmp(c->in, "VALUE ", 6)) return head;
    const char *last = end;
    while (last > c->in && last[-1] != ' ') last--;
    *length = strtoull(last, NULL, 10);
    tail = 7; /* CRLF END CRLF */
  }
  if (head + *length + tail > ROOM) return ROOM; /* nonsense: the caller sees a wrong answer */
  *value = c->in + head;
  return c->in_length >= head + *length + tail ? head + *length + tail : 0;
}

static bool right_answer(const struct connection *c, const char *value, uint64_t length) {
  static char wanted[ROOM];
  if (protocol == HTTP) {
    int size = snprintf(wanted, sizeof wanted, "%s/%lu", http_path, c->request);
    return value && !strncmp(c->in, "HTTP/1.1 200", 12) && length >= (uint64_t)size && !memcmp(value, wanted, (size_t)size);
  }
  if (c->writes) return !strncmp(c->in, protocol == REDIS ? "+OK\r\n" : "STORED\r\n", 5);
  make_value(wanted, c->key, c->expected);
  return value && length == value_bytes && !memcmp(value, wanted, value_bytes);
}

static void receive(struct connection *c) {
  ssize_t got = read(c->fd, c->in + c->in_length, ROOM - c->in_length);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return break_connection(c, got ? "read failed" : "closed by the server");
  if (!c->busy) return break_connection(c, "an answer that was not asked for");
  c->in_length += (size_t)got;
  c->in[c->in_length] = 0;
  const char *value;
  uint64_t length = 0;
  size_t size = whole_answer(c, &value, &length);
  if (!size) {
    if (c->in_length == ROOM) break_connection(c, "the answer is too long");
    return;
  }
  uint64_t now = now_ns();
  if (size != c->in_length || !right_answer(c, value, length)) {
    wrong++;
    note_error("wrong answer to request %lu, key %lu version %u: %.60s", c->request, c->key, c->expected, c->in);
  }
  if (record_count < RECORDS) {
    uint64_t latency = (now - c->due) / 100;
    records[record_count++] = (struct record){c->due, latency > UINT32_MAX ? UINT32_MAX : (uint32_t)latency, 0};
  }
  c->busy = false;
}

static void transmit(struct connection *c) {
  ssize_t put = send(c->fd, c->out + c->out_done, c->out_length - c->out_done, MSG_NOSIGNAL);
  if (put < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (put < 0) return break_connection(c, "write failed");
  c->out_done += (size_t)put;
}

/* Connection i owns the keys i, i + C, i + 2C ...: no key has two requests under way. */
static uint64_t choose_key(const struct connection *c) {
  if (!keys) return 0;
  return mix64(issued) % (keys / connection_count) * connection_count + (uint64_t)(c - connections);
}

static void issue(struct connection *c, uint64_t due, uint64_t key, bool writes) {
  c->due = due;
  c->sent = now_ns();
  c->request = issued++;
  c->key = key;
  c->writes = writes;
  c->expected = versions[key] += writes;
  c->out_length = make_request(c);
  c->out_done = c->in_length = 0;
  c->busy = true;
  transmit(c);
}

/* Sends and receives what can be at once; waits until `until` for something to do. */
static void turn(uint64_t until) {
  static struct pollfd polled[1024 + 1];
  polled[connection_count] = (struct pollfd){.fd = 0, .events = POLLIN};
  for (uint64_t i = 0; i < connection_count; i++) {
    struct connection *c = &connections[i];
    if (c->fd < 0 && (c->fd = dial()) >= 0) reconnects++;
    polled[i] = (struct pollfd){.fd = c->fd, .events = POLLIN};
    if (c->busy && c->out_done < c->out_length) polled[i].events |= POLLOUT;
  }
  uint64_t now = now_ns(), wait = until > now ? until - now : 0;
  struct timespec timeout = {(time_t)(wait / 1000000000ul), (long)(wait % 1000000000ul)};
  if (ppoll(polled, connection_count + 1, &timeout, NULL) < 0 && errno != EINTR) die("ppoll");
  asked = polled[connection_count].revents;
  for (uint64_t i = 0; i < connection_count; i++) {
    struct connection *c = &connections[i];
    if (c->fd >= 0 && polled[i].revents & POLLOUT) transmit(c);
    if (c->fd >= 0 && polled[i].revents & (POLLIN | POLLHUP | POLLERR)) receive(c);
    if (c->fd >= 0 && c->busy && now_ns() - c->sent > GIVE_UP) break_connection(c, "no answer");
  }
}

static struct connection *idle_connection(void) {
  static uint64_t last;
  for (uint64_t i = 0; i < connection_count; i++) {
    struct connection *c = &connections[++last % connection_count];
    if (c->fd >= 0 && !c->busy) return c;
  }
  return NULL;
}

static uint64_t busy_connections(void) {
  uint64_t busy = 0;
  for (uint64_t i = 0; i < connection_count; i++) busy += connections[i].busy;
  return busy;
}

/* Every key once, as fast as it goes. */
static void fill(void) {
  uint64_t written = 0;
  while (written < keys || busy_connections()) {
    struct connection *c;
    while (written < keys && (c = &connections[written % connection_count], c->fd >= 0 && !c->busy))
      issue(c, now_ns(), written++, true);
    turn(now_ns() + 100 * MS);
    if (errors) die("filling: %s", messages[0]);
  }
  record_count = issued = 0;
}

static int by_latency(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static void report(uint64_t from, uint64_t to) {
  uint32_t *latencies = malloc((record_count + 1) * sizeof *latencies);
  uint64_t count = 0, longest_due = 0;
  uint32_t longest = 0;
  for (uint64_t i = 0; i < record_count; i++) {
    if (records[i].due < from || records[i].due >= to) continue;
    latencies[count++] = records[i].latency_100ns;
    if (records[i].latency_100ns <= longest) continue;
    longest = records[i].latency_100ns;
    longest_due = records[i].due;
  }
  qsort(latencies, count, sizeof *latencies, by_latency);
#define QUANTILE(q) (count ? (double)latencies[(uint64_t)((double)(count - 1) * (q))] / 10 : 0.0)
  printf("{\"requests\":%lu,\"unanswered\":%lu,\"errors\":%lu,\"wrong\":%lu,\"reconnects\":%lu,\"p50Us\":%.1f,"
         "\"p99Us\":%.1f,\"p999Us\":%.1f,\"maxUs\":%.1f,\"maxAtNs\":%lu,\"messages\":[",
         count, busy_connections(), errors, wrong, reconnects, QUANTILE(0.5), QUANTILE(0.99), QUANTILE(0.999),
         QUANTILE(1), longest_due);
  for (uint64_t i = 0; i < errors && i < MESSAGES; i++) printf("%s\"%s\"", i ? "," : "", messages[i]);
  printf("]}\n");
  fflush(stdout);
  free(latencies);
}

/* Sends what is due until `until`, takes the answers; returns there, or earlier for a command. */
static void run_schedule(uint64_t start, uint64_t until) {
  static uint64_t n;
  for (asked = false; !asked;) {
    uint64_t due = start + (uint64_t)((double)n * 1e9 / (double)rate);
    if (due >= until) break;
    struct connection *c = now_ns() < due ? NULL : idle_connection();
    if (c) {
      issue(c, due, choose_key(c), keys && mix64(n ^ 0x5eed) % 100 < write_percent);
      n++;
    } else {
      /* nothing due: until it is; all connections busy: until one answers */
      turn(now_ns() < due ? due : now_ns() + 100 * MS);
    }
  }
}

/* The schedule ends now, but what was due before is still sent and answered: it was late, and must be seen. */
static void finish(uint64_t start) {
  uint64_t end = now_ns();
  do run_schedule(start, end);
  while (asked);
  while (busy_connections()) turn(now_ns() + 10 * MS);
}

static void obey_commands(uint64_t start) {
  bool finished = false;
  char line[200];
  for (;;) {
    if (!finished) run_schedule(start, ~0ul);
    if (!next_command(line, sizeof line)) return;
    bool last = !strcmp(line, "quit");
    if (!finished && (last || !strcmp(line, "stop"))) {
      finish(start);
      finished = true;
    }
    uint64_t from = 0, to = ~0ul;
    sscanf(line, "report %lu %lu", &from, &to);
    report(from, to);
    if (last) return;
  }
}

int main(int argc, char **argv) {
  (void)argc;
  only_options(argv, "--unix --port --protocol --connections --rate --keys --value-bytes --writes --path");
  const char *name = option(argv, "protocol", "redis");
  protocol = !strcmp(name, "http") ? HTTP : !strcmp(name, "memcached") ? MEMCACHED : REDIS;
  unix_path = option(argv, "unix", NULL);
  port = number(argv, "port", 0);
  http_path = option(argv, "path", "/echo");
  connection_count = number(argv, "connections", 8);
  rate = number(argv, "rate", 1000);
  keys = protocol == HTTP ? 0 : number(argv, "keys", 1000) / connection_count * connection_count;
  value_bytes = number(argv, "value-bytes", 100);
  write_percent = number(argv, "writes", 10);
  if (!connection_count || connection_count > 1024 || !rate) die("--connections wants 1 to 1024, --rate at least 1");
  if (protocol != HTTP && (!keys || value_bytes < 32 || value_bytes > ROOM - 256)) die("--keys or --value-bytes");
  prctl(PR_SET_TIMERSLACK, 1);
  connections = calloc(connection_count, sizeof *connections);
  versions = calloc(keys + 1, sizeof *versions);
  records = mmap(NULL, RECORDS * sizeof *records, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
  for (uint64_t i = 0; i < connection_count; i++) {
    connections[i].out = malloc(ROOM + 1);
    connections[i].in = malloc(ROOM + 1);
    if ((connections[i].fd = dial()) < 0) die("connecting");
  }
  if (keys) fill();
  printf("READY {\"keys\":%lu}\n", keys);
  fflush(stdout);
  obey_commands(now_ns());
  return 0;
}
