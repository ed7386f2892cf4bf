/*
 * Threads that sleep in system calls, one kind each: those with a timeout again and again, those without once.
 * Nothing wakes them, so nothing but their timeout may: each reports every EINTR, every return before its time,
 * every other surprise, and how late its timeouts came.
 *
 *   --timeout-ms T    how long each sleeps (500)
 *   --only NAME       one kind only
 *
 * report: [{name, timeoutNs (0: none), rounds, eintr, early, wrong, latestNs}, ...]
 */
#include "target.h"
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>

struct kind {
  const char *name;
  bool timed;
  void (*prepare)(struct kind *);
  int (*sleep)(struct kind *); /* 0: the timeout came, or what was waited for; else the errno */
  int expected;                /* what sleep returns at its timeout */
  int fd, other;               /* whatever prepare made */
  aio_context_t aio;
  const char *missing; /* why this kind can't be had here */
  volatile uint64_t rounds, eintr, early, wrong, latest;
  pthread_t thread;
};

static uint64_t timeout_ns;
static uint32_t futex_word;

static struct timespec relative(void) {
  return (struct timespec){(time_t)(timeout_ns / 1000000000ul), (long)(timeout_ns % 1000000000ul)};
}
static struct timespec absolute(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  uint64_t sum = (uint64_t)t.tv_nsec + timeout_ns;
  return (struct timespec){t.tv_sec + (time_t)(sum / 1000000000ul), (long)(sum % 1000000000ul)};
}
static int error_of(long result) { return result < 0 ? errno : 0; }
static int milliseconds(void) { return (int)(timeout_ns / MS); }

/* what is waited for: never there */
static void make_pipe(struct kind *k) {
  int ends[2];
  if (pipe(ends)) die("pipe");
  k->fd = ends[0];
  k->other = ends[1];
}
static void make_epoll(struct kind *k) {
  make_pipe(k);
  struct epoll_event event = {.events = EPOLLIN};
  int epoll = epoll_create1(0);
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, k->fd, &event)) die("epoll");
  k->fd = epoll;
}
static void make_pair(struct kind *k) {
  int ends[2];
  struct timeval t = {(time_t)(timeout_ns / 1000000000ul), (long)(timeout_ns % 1000000000ul / 1000)};
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) die("socketpair");
  if (k->timed && setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t)) die("SO_RCVTIMEO");
  if (k->timed && setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t)) die("SO_SNDTIMEO");
  k->fd = ends[0];
  k->other = ends[1];
}
static void make_full_pair(struct kind *k) {
  static char filler[65536];
  make_pair(k);
  while (send(k->fd, filler, sizeof filler, MSG_DONTWAIT) > 0) {}
}
static void make_listener(struct kind *k) {
  struct sockaddr_un any = {.sun_family = AF_UNIX}; /* autobind: unix(7) */
  struct timeval t = {(time_t)(timeout_ns / 1000000000ul), (long)(timeout_ns % 1000000000ul / 1000)};
  k->fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(k->fd, (struct sockaddr *)&any, sizeof any.sun_family) || listen(k->fd, 1)) die("listen");
  if (k->timed && setsockopt(k->fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t)) die("SO_RCVTIMEO");
}
static void make_semaphore(struct kind *k) {
  if ((k->fd = semget(IPC_PRIVATE, 1, 0600)) < 0) k->missing = strerror(errno);
}
static void make_queue(struct kind *k) {
  if ((k->fd = msgget(IPC_PRIVATE, 0600)) < 0) k->missing = strerror(errno);
}
static void make_mq(struct kind *k) {
  char name[64];
  snprintf(name, sizeof name, "/livecore-idle-%d-%s", getpid(), k->timed ? "timed" : "plain");
  k->fd = mq_open(name, O_RDONLY | O_CREAT | O_EXCL, 0600, NULL);
  if (k->fd < 0) k->missing = strerror(errno);
  else mq_unlink(name);
}
static void make_aio(struct kind *k) {
  if (syscall(SYS_io_setup, 4, &k->aio)) k->missing = strerror(errno);
}
static void make_ring(struct kind *k) {
  char params[120] = {0}; /* struct io_uring_params; an empty ring that nothing is put into */
  if ((k->fd = (int)syscall(425 /* io_uring_setup */, 1, params)) < 0) k->missing = strerror(errno);
}
static void make_ring_absolute(struct kind *k) {
  make_ring(k);
  /* before 6.12 the flag is not known */
  if (!k->missing && syscall(426, k->fd, 0, 0, 1 | 32, NULL, 0) < 0) k->missing = strerror(errno);
}
static void make_event(struct kind *k) { k->fd = eventfd(0, 0); }
static void make_inotify(struct kind *k) { k->fd = inotify_init1(0); }
static void make_timerfd(struct kind *k) { k->fd = timerfd_create(CLOCK_MONOTONIC, 0); }
static void make_locked(struct kind *k) {
  k->fd = memfd_create("locked", 0);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", k->fd);
  k->other = open(path, O_RDWR);
  if (k->other < 0 || flock(k->other, LOCK_EX)) die("flock");
}
static void make_child(struct kind *k) {
  pid_t self = getpid();
  k->other = fork();
  if (k->other) return;
  die_with(self);
  for (;;) pause();
}
static void make_record_lock(struct kind *k) {
  struct flock whole = {.l_type = F_WRLCK};
  k->fd = memfd_create("locked", 0);
  pid_t self = getpid();
  k->other = fork(); /* record locks are between processes; a memfd is reached by both */
  if (k->other == 0) {
    die_with(self);
    if (fcntl(k->fd, F_SETLK, &whole)) _exit(1);
    for (;;) pause();
  }
  for (struct flock seen = {.l_type = F_WRLCK}; !fcntl(k->fd, F_GETLK, &seen) && seen.l_type == F_UNLCK;) {
    seen.l_type = F_WRLCK;
    usleep(1000);
  }
}

static sigset_t waited(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  return set;
}

/* the sleeps */
#define SLEEP(name) static int name(struct kind *k)
static char byte[16];
static struct epoll_event got;
SLEEP(do_epoll_wait) { return error_of(epoll_wait(k->fd, &got, 1, k->timed ? milliseconds() : -1)); }
SLEEP(do_epoll_pwait2) {
  struct timespec t = relative();
  return error_of(syscall(441 /* epoll_pwait2 */, k->fd, &got, 1, &t, NULL, 8));
}
SLEEP(do_nanosleep) {
  (void)k;
  struct timespec t = relative();
  return error_of(nanosleep(&t, NULL));
}
SLEEP(do_clock_nanosleep) {
  (void)k;
  struct timespec t = absolute(CLOCK_MONOTONIC);
  return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
SLEEP(do_clock_nanosleep_real) {
  (void)k;
  struct timespec t = relative();
  return clock_nanosleep(CLOCK_REALTIME, 0, &t, NULL);
}
SLEEP(do_futex) {
  struct timespec t = relative();
  return error_of(syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, k->timed ? &t : NULL));
}
SLEEP(do_futex_bitset) {
  (void)k;
  struct timespec t = absolute(CLOCK_MONOTONIC);
  return error_of(syscall(SYS_futex, &futex_word, FUTEX_WAIT_BITSET_PRIVATE, 0, &t, NULL, FUTEX_BITSET_MATCH_ANY));
}
SLEEP(do_condition) {
  (void)k;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  struct timespec t = absolute(CLOCK_REALTIME);
  pthread_mutex_lock(&mutex);
  int result = pthread_cond_timedwait(&condition, &mutex, &t);
  pthread_mutex_unlock(&mutex);
  return result;
}
SLEEP(do_poll) {
  struct pollfd p = {k->fd, POLLIN, 0};
  return error_of(poll(&p, 1, k->timed ? milliseconds() : -1));
}
SLEEP(do_ppoll) {
  struct pollfd p = {k->fd, POLLIN, 0};
  struct timespec t = relative();
  return error_of(ppoll(&p, 1, &t, NULL));
}
SLEEP(do_select) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(k->fd, &set);
  struct timeval t = {(time_t)(timeout_ns / 1000000000ul), (long)(timeout_ns % 1000000000ul / 1000)};
  return error_of(select(k->fd + 1, &set, NULL, NULL, k->timed ? &t : NULL));
}
SLEEP(do_pselect) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(k->fd, &set);
  struct timespec t = relative();
  return error_of(pselect(k->fd + 1, &set, NULL, NULL, &t, NULL));
}
SLEEP(do_sigtimedwait) {
  sigset_t set = waited();
  struct timespec t = relative();
  return error_of(k->timed ? sigtimedwait(&set, NULL, &t) : sigwaitinfo(&set, NULL));
}
SLEEP(do_pause) { (void)k; return error_of(pause()); }
SLEEP(do_sigsuspend) {
  (void)k;
  sigset_t all;
  sigfillset(&all);
  return error_of(sigsuspend(&all));
}
SLEEP(do_semtimedop) {
  struct sembuf take = {0, -1, 0};
  struct timespec t = relative();
  return error_of(semtimedop(k->fd, &take, 1, k->timed ? &t : NULL));
}
SLEEP(do_msgrcv) { return error_of(msgrcv(k->fd, byte, 1, 0, 0)); }
SLEEP(do_mq_receive) {
  static char message[8192];
  struct timespec t = absolute(CLOCK_REALTIME);
  return error_of(k->timed ? mq_timedreceive(k->fd, message, sizeof message, NULL, &t)
                           : mq_receive(k->fd, message, sizeof message, NULL));
}
SLEEP(do_recv) { return error_of(recv(k->fd, byte, 1, 0)); }
SLEEP(do_send) { return error_of(send(k->fd, byte, 1, 0)); }
SLEEP(do_accept) { return error_of(accept(k->fd, NULL, NULL)); }
SLEEP(do_read) { return error_of(read(k->fd, byte, 8)); }
SLEEP(do_read_inotify) {
  char event[512];
  return error_of(read(k->fd, event, sizeof event));
}
SLEEP(do_timerfd) {
  struct itimerspec once = {{0, 0}, relative()};
  if (timerfd_settime(k->fd, 0, &once, NULL)) return errno;
  return error_of(read(k->fd, byte, 8));
}
SLEEP(do_io_getevents) {
  struct io_event event;
  struct timespec t = relative();
  return error_of(syscall(SYS_io_getevents, k->aio, 1, 1, &event, k->timed ? &t : NULL));
}
SLEEP(do_io_uring) {
  struct timespec t = relative();
  /* struct io_uring_getevents_arg with IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG */
  struct { uint64_t mask; uint32_t mask_size, pad; uint64_t timeout; } argument = {0, 8, 0, (uint64_t)&t};
  if (!k->timed) return error_of(syscall(426 /* io_uring_enter */, k->fd, 0, 1, 1, NULL, 8));
  return error_of(syscall(426, k->fd, 0, 1, 1 | 8, &argument, sizeof argument));
}
SLEEP(do_io_uring_absolute) {
  struct timespec t = absolute(CLOCK_MONOTONIC);
  struct { uint64_t mask; uint32_t mask_size, pad; uint64_t timeout; } argument = {0, 8, 0, (uint64_t)&t};
  return error_of(syscall(426, k->fd, 0, 1, 1 | 8 | 32 /* IORING_ENTER_ABS_TIMER */, &argument, sizeof argument));
}
SLEEP(do_wait4) { return error_of(wait4(k->other, NULL, 0, NULL)); }
SLEEP(do_waitid) {
  siginfo_t info;
  return error_of(waitid(P_PID, (id_t)k->other, &info, WEXITED));
}
SLEEP(do_flock) { return error_of(flock(k->fd, LOCK_EX)); }
SLEEP(do_record_lock) {
  struct flock whole = {.l_type = F_WRLCK};
  return error_of(fcntl(k->fd, F_SETLKW, &whole));
}

static void nothing(struct kind *k) { (void)k; }

static struct kind kinds[] = {
    {.name = "epoll_wait timed", .timed = true, .prepare = make_epoll, .sleep = do_epoll_wait},
    {.name = "epoll_wait", .prepare = make_epoll, .sleep = do_epoll_wait},
    {.name = "epoll_pwait2 timed", .timed = true, .prepare = make_epoll, .sleep = do_epoll_pwait2},
    {.name = "nanosleep", .timed = true, .prepare = nothing, .sleep = do_nanosleep},
    {.name = "clock_nanosleep absolute", .timed = true, .prepare = nothing, .sleep = do_clock_nanosleep},
    {.name = "clock_nanosleep relative", .timed = true, .prepare = nothing, .sleep = do_clock_nanosleep_real},
    {.name = "futex timed", .timed = true, .prepare = nothing, .sleep = do_futex, .expected = ETIMEDOUT},
    {.name = "futex", .prepare = nothing, .sleep = do_futex},
    {.name = "futex bitset timed", .timed = true, .prepare = nothing, .sleep = do_futex_bitset, .expected = ETIMEDOUT},
    {.name = "condition timed", .timed = true, .prepare = nothing, .sleep = do_condition, .expected = ETIMEDOUT},
    {.name = "poll timed", .timed = true, .prepare = make_pipe, .sleep = do_poll},
    {.name = "poll", .prepare = make_pipe, .sleep = do_poll},
    {.name = "ppoll timed", .timed = true, .prepare = make_pipe, .sleep = do_ppoll},
    {.name = "select timed", .timed = true, .prepare = make_pipe, .sleep = do_select},
    {.name = "select", .prepare = make_pipe, .sleep = do_select},
    {.name = "pselect timed", .timed = true, .prepare = make_pipe, .sleep = do_pselect},
    {.name = "sigtimedwait timed", .timed = true, .prepare = nothing, .sleep = do_sigtimedwait, .expected = EAGAIN},
    {.name = "sigwaitinfo", .prepare = nothing, .sleep = do_sigtimedwait},
    {.name = "pause", .prepare = nothing, .sleep = do_pause},
    {.name = "sigsuspend", .prepare = nothing, .sleep = do_sigsuspend},
    {.name = "semtimedop timed", .timed = true, .prepare = make_semaphore, .sleep = do_semtimedop, .expected = EAGAIN},
    {.name = "semop", .prepare = make_semaphore, .sleep = do_semtimedop},
    {.name = "msgrcv", .prepare = make_queue, .sleep = do_msgrcv},
    {.name = "mq_receive timed", .timed = true, .prepare = make_mq, .sleep = do_mq_receive, .expected = ETIMEDOUT},
    {.name = "mq_receive", .prepare = make_mq, .sleep = do_mq_receive},
    {.name = "recv timed", .timed = true, .prepare = make_pair, .sleep = do_recv, .expected = EAGAIN},
    {.name = "recv", .prepare = make_pair, .sleep = do_recv},
    {.name = "send timed", .timed = true, .prepare = make_full_pair, .sleep = do_send, .expected = EAGAIN},
    {.name = "send", .prepare = make_full_pair, .sleep = do_send},
    {.name = "accept timed", .timed = true, .prepare = make_listener, .sleep = do_accept, .expected = EAGAIN},
    {.name = "accept", .prepare = make_listener, .sleep = do_accept},
    {.name = "read of a pipe", .prepare = make_pipe, .sleep = do_read},
    {.name = "read of an eventfd", .prepare = make_event, .sleep = do_read},
    {.name = "read of inotify", .prepare = make_inotify, .sleep = do_read_inotify},
    {.name = "read of a timerfd", .timed = true, .prepare = make_timerfd, .sleep = do_timerfd},
    {.name = "io_getevents timed", .timed = true, .prepare = make_aio, .sleep = do_io_getevents},
    {.name = "io_getevents", .prepare = make_aio, .sleep = do_io_getevents},
    {.name = "io_uring_enter timed", .timed = true, .prepare = make_ring, .sleep = do_io_uring, .expected = ETIME},
    {.name = "io_uring_enter absolute", .timed = true, .prepare = make_ring_absolute, .sleep = do_io_uring_absolute,
     .expected = ETIME},
    {.name = "io_uring_enter", .prepare = make_ring, .sleep = do_io_uring},
    {.name = "wait4", .prepare = make_child, .sleep = do_wait4},
    {.name = "waitid", .prepare = make_child, .sleep = do_waitid},
    {.name = "flock", .prepare = make_locked, .sleep = do_flock},
    {.name = "fcntl lock", .prepare = make_record_lock, .sleep = do_record_lock},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static void *sleep_for_ever(void *argument) {
  struct kind *k = argument;
  char name[16];
  snprintf(name, sizeof name, "%s", k->name);
  pthread_setname_np(pthread_self(), name);
  prctl(PR_SET_TIMERSLACK, 1);
  for (;;) {
    uint64_t due = now_ns() + timeout_ns;
    int result = k->sleep(k);
    uint64_t now = now_ns();
    if (result == EINTR) k->eintr++;
    else if (!k->timed || result != k->expected) k->wrong++;
    else if (now + MS < due) k->early++; /* some timeouts are cut to whole ms or ticks */
    else if (now > due && now - due > k->latest) k->latest = now - due;
    k->rounds++;
    if (!k->timed && k->rounds > 1000) return NULL; /* does not sleep at all */
  }
}

static void print_report(const char *only) {
  const char *comma = "";
  putchar('[');
  for (size_t i = 0; i < KINDS; i++) {
    struct kind *k = &kinds[i];
    if (only && strcmp(only, k->name)) continue;
    printf("%s{\"name\":\"%s\",\"timeoutNs\":%lu,\"rounds\":%lu,\"eintr\":%lu,\"early\":%lu,\"wrong\":%lu,"
           "\"latestNs\":%lu,\"missing\":\"%s\"}",
           comma, k->name, k->timed ? timeout_ns : 0, k->rounds, k->eintr, k->early, k->wrong, k->latest,
           k->missing ? k->missing : "");
    comma = ",";
  }
  puts("]");
  fflush(stdout);
}

static void clean_up(void) {
  for (size_t i = 0; i < KINDS; i++) {
    if (kinds[i].prepare == make_semaphore && kinds[i].fd > 0) semctl(kinds[i].fd, 0, IPC_RMID);
    if (kinds[i].prepare == make_queue && kinds[i].fd > 0) msgctl(kinds[i].fd, IPC_RMID, NULL);
    if (kinds[i].prepare == make_child || kinds[i].prepare == make_record_lock)
      if (kinds[i].other > 0) kill(kinds[i].other, SIGKILL);
  }
}

int main(int argc, char **argv) {
  char line[100];
  (void)argc;
  only_options(argv, "--timeout-ms --only");
  timeout_ns = number(argv, "timeout-ms", 500) * MS;
  /* System V objects outlive a process that is killed, but not their namespace; where that takes rights, clean_up */
  if (unshare(CLONE_NEWIPC)) errno = 0;
  const char *only = option(argv, "only", NULL);
  sigset_t set = waited();
  pthread_sigmask(SIG_BLOCK, &set, NULL); /* before the threads, which inherit it */
  for (size_t i = 0; i < KINDS; i++)
    if (!only || !strcmp(only, kinds[i].name)) kinds[i].prepare(&kinds[i]); /* forks come before threads */
  for (size_t i = 0; i < KINDS; i++) {
    if ((only && strcmp(only, kinds[i].name)) || kinds[i].missing) continue;
    if (pthread_create(&kinds[i].thread, NULL, sleep_for_ever, &kinds[i])) die("pthread_create");
  }
  printf("READY {\"kinds\":%zu}\n", KINDS);
  fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) print_report(only);
  print_report(only);
  clean_up();
  return 0;
}
