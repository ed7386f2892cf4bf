/*
 * Storms of queued real-time signals, each with a number: by a handler on an alternate stack, by sigwaitinfo, by a
 * signalfd, and to one thread. Such signals are queued, never merged, and come in order (signal(7)), so each receiver
 * knows the number that must come next.
 *
 *   --rate R     signals a second to each receiver (5000)
 * report: {sent, received, disorder, badInfo, interrupted, channels: [{name, sent, received, disorder}], alarms, overruns}
 * At the end sent = received and disorder = badInfo = interrupted = 0; SIGSTOP interrupts sigwaitinfo (signal(7)).
 */
#include "target.h"
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

enum channel { HANDLER, WAITER, DESCRIPTOR, DIRECTED, CHANNELS };
static const char *const names[CHANNELS] = {"handler", "sigwaitinfo", "signalfd", "thread"};

static volatile uint64_t sent[CHANNELS], received[CHANNELS], disorder[CHANNELS], bad_info, interrupted, alarms;
static pthread_t receivers[CHANNELS], sender;
static volatile pid_t directed_tid;
static volatile bool stopping, all_sent; /* first the sender ends, then the receivers, or one would be sent to in vain */
static uint64_t rate;

static int signal_of(enum channel c) { return SIGRTMIN + (int)c; }

static void arrive(enum channel c, int value, pid_t from, int code) {
  if (value != (int)received[c]) disorder[c]++;
  if (from != getpid() || code != SI_QUEUE) bad_info++;
  received[c]++;
}

/* The mask of a handler is the thread's and sa_mask and the signal itself: nothing may have been lost of it. */
static void handle(int number, siginfo_t *info, void *context) {
  (void)context;
  sigset_t now;
  pthread_sigmask(SIG_SETMASK, NULL, &now);
  if (!sigismember(&now, number) || !sigismember(&now, SIGUSR1)) bad_info++;
  arrive(number - SIGRTMIN, info->si_value.sival_int, info->si_pid, info->si_code);
}

static void unblock(enum channel c) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal_of(c));
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *receive_by_handler(void *argument) {
  enum channel c = (enum channel)(uintptr_t)argument;
  stack_t stack = {.ss_sp = malloc(256 * KIB), .ss_size = 256 * KIB};
  if (sigaltstack(&stack, NULL)) die("sigaltstack");
  if (c == DIRECTED) directed_tid = (pid_t)syscall(SYS_gettid);
  unblock(c);
  for (uint64_t x = 1; !all_sent; x = mix64(x)) BARRIER(); /* interrupted in user mode ... */
  while (received[c] < sent[c]) usleep(1000);              /* ... and in a call */
  return NULL;
}

static void *receive_by_wait(void *unused) {
  sigset_t set;
  siginfo_t info;
  sigfillset(&set);
  pthread_sigmask(SIG_SETMASK, &set, NULL); /* SIGALRM would end the wait with EINTR */
  sigemptyset(&set);
  sigaddset(&set, signal_of(WAITER));
  for (;;) {
    int got = sigwaitinfo(&set, &info);
    if (got < 0 && errno == EINTR) interrupted++; /* nothing else is unblocked here: a stop has come */
    if (got > 0) arrive(WAITER, info.si_value.sival_int, info.si_pid, info.si_code);
  }
  return unused;
}

static void *receive_by_descriptor(void *unused) {
  sigset_t set;
  struct signalfd_siginfo info[16];
  sigemptyset(&set);
  sigaddset(&set, signal_of(DESCRIPTOR));
  int fd = signalfd(-1, &set, SFD_CLOEXEC);
  for (;;) {
    ssize_t got = read(fd, info, sizeof info);
    if (got < 0) bad_info++;
    for (ssize_t i = 0; i < got / (ssize_t)sizeof *info; i++)
      arrive(DESCRIPTOR, info[i].ssi_int, (pid_t)info[i].ssi_pid, info[i].ssi_code);
  }
  return unused;
}

static void send_one(enum channel c) {
  union sigval value = {.sival_int = (int)sent[c]};
  siginfo_t info = {.si_code = SI_QUEUE, .si_signo = signal_of(c)};
  info.si_pid = getpid(); /* members of unions: an initializer would keep the last alone */
  info.si_uid = getuid();
  info.si_value = value;
  /* EAGAIN: RLIMIT_SIGPENDING signals wait already; the number is used again */
  long failed = c == DIRECTED ? syscall(SYS_rt_tgsigqueueinfo, getpid(), directed_tid, signal_of(c), &info)
                              : sigqueue(getpid(), signal_of(c), value);
  if (!failed) sent[c]++;
  else if (errno != EAGAIN) bad_info++;
}

static void *send_all(void *unused) {
  uint64_t start = now_ns();
  for (uint64_t n = 0; !stopping; n++) {
    for (enum channel c = 0; c < CHANNELS; c++) send_one(c);
    sleep_until(start + n * 1000000000ul / rate);
  }
  return unused;
}

static void on_alarm(int number) {
  (void)number;
  alarms++;
}

static uint64_t sum(const volatile uint64_t *of) {
  uint64_t total = 0;
  for (int c = 0; c < CHANNELS; c++) total += of[c];
  return total;
}

static void print_report(void) {
  printf("{\"sent\":%lu,\"received\":%lu,\"disorder\":%lu,\"badInfo\":%lu,\"interrupted\":%lu,\"alarms\":%lu,\"channels\":[", sum(sent),
         sum(received), sum(disorder), bad_info, interrupted, alarms);
  for (int c = 0; c < CHANNELS; c++)
    printf("%s{\"name\":\"%s\",\"sent\":%lu,\"received\":%lu,\"disorder\":%lu}", c ? "," : "", names[c], sent[c],
           received[c], disorder[c]);
  puts("]}");
  fflush(stdout);
}

static void install(void) {
  struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
  struct sigaction alarm_action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  sigset_t all;
  sigemptyset(&action.sa_mask);
  sigaddset(&action.sa_mask, SIGUSR1);
  sigaction(signal_of(HANDLER), &action, NULL);
  sigaction(signal_of(DIRECTED), &action, NULL);
  sigaction(SIGALRM, &alarm_action, NULL);
  sigemptyset(&all);
  for (int c = 0; c < CHANNELS; c++) sigaddset(&all, signal_of(c));
  pthread_sigmask(SIG_BLOCK, &all, NULL); /* and in every thread made from here on */
}

int main(int argc, char **argv) {
  char line[100];
  (void)argc;
  only_options(argv, "--rate");
  rate = number(argv, "rate", 5000);
  install();
  pthread_create(&receivers[HANDLER], NULL, receive_by_handler, (void *)HANDLER);
  pthread_create(&receivers[DIRECTED], NULL, receive_by_handler, (void *)DIRECTED);
  pthread_create(&receivers[WAITER], NULL, receive_by_wait, NULL);
  pthread_create(&receivers[DESCRIPTOR], NULL, receive_by_descriptor, NULL);
  while (!directed_tid) usleep(100);
  pthread_create(&sender, NULL, send_all, NULL);
  ualarm(1000, 1000); /* SIGALRM to whoever it meets, so that every call in every thread is interrupted and restarted */
  puts("READY");
  fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) print_report();
  ualarm(0, 0);
  stopping = true;
  pthread_join(sender, NULL);
  all_sent = true;
  for (uint64_t start = now_ns(); sum(received) < sum(sent) && now_ns() - start < 10000 * MS;) usleep(1000);
  print_report();
  return 0;
}
