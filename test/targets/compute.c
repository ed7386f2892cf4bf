/*
 * Threads that compute in registers alone: every general register, the vector registers (xmm, ymm or zmm, whichever
 * this processor has), the mask registers and the x87 stack hold live values all the time, next to unusual MXCSR and
 * x87 control words. After n steps each register has a known value, so one wrong bit in one register, at any time,
 * is seen.
 *
 *   --threads N
 * report: {kind, blocks, steps, wrong, first: [what was wrong first]}
 */
#include "target.h"
#include <cpuid.h>
#include <pthread.h>

#define STEPS 2000000ul

/* Reached through fs, so that every general register but rsp is free; the assembler below knows the offsets. */
struct registers {
  uint64_t general[15]; /*   0: rax rbx rcx rdx rsi rdi rbp r8 ... r15 */
  uint64_t steps;       /* 120 */
  uint64_t masks[8];    /* 128: k0-k7 */
  uint32_t mxcsr;       /* 192 */
  uint16_t x87_control; /* 196 */
  uint16_t unused;
  uint64_t x87[7];      /* 200 */
  uint64_t unused_2;
  uint64_t vectors[32][8] __attribute__((aligned(64))); /* 320 */
};
__thread struct registers registers __attribute__((aligned(64), used, tls_model("local-exec")));

static const uint64_t ones[8] __attribute__((aligned(64), used)) = {1, 1, 1, 1, 1, 1, 1, 1};

/* clang-format off */
#define AT(offset) "%fs:registers@tpoff+" #offset
#define EACH_GENERAL(G)                                                                                              \
  G(rax, 0, 1) G(rbx, 8, 2) G(rcx, 16, 3) G(rdx, 24, 4) G(rsi, 32, 5) G(rdi, 40, 6) G(rbp, 48, 7) G(r8, 56, 8)       \
  G(r9, 64, 9) G(r10, 72, 10) G(r11, 80, 11) G(r12, 88, 12) G(r13, 96, 13) G(r14, 104, 14) G(r15, 112, 15)
#define EACH_16(V)                                                                                                   \
  V(0, 320) V(1, 384) V(2, 448) V(3, 512) V(4, 576) V(5, 640) V(6, 704) V(7, 768) V(8, 832) V(9, 896) V(10, 960)     \
  V(11, 1024) V(12, 1088) V(13, 1152) V(14, 1216) V(15, 1280)
#define EACH_32(V)                                                                                                   \
  EACH_16(V) V(16, 1344) V(17, 1408) V(18, 1472) V(19, 1536) V(20, 1600) V(21, 1664) V(22, 1728) V(23, 1792)         \
  V(24, 1856) V(25, 1920) V(26, 1984) V(27, 2048) V(28, 2112) V(29, 2176) V(30, 2240) V(31, 2304)
#define EACH_MASK(K) K(1, 136) K(2, 144) K(3, 152) K(4, 160) K(5, 168) K(6, 176) K(7, 184)
#define EACH_X87(F) F(0, 200) F(1, 208) F(2, 216) F(3, 224) F(4, 232) F(5, 240) F(6, 248)

#define LOAD_G(r, at, step) "mov " AT(at) ", %" #r "\n"
#define STEP_G(r, at, step) "add $" #step ", %" #r "\n"
#define SAVE_G(r, at, step) "mov %" #r ", " AT(at) "\n"
#define LOAD_X(n, at) "movdqa " AT(at) ", %xmm" #n "\n"
#define STEP_X(n, at) "paddq ones(%rip), %xmm" #n "\n"
#define SAVE_X(n, at) "movdqa %xmm" #n ", " AT(at) "\n"
#define LOAD_Y(n, at) "vmovdqa " AT(at) ", %ymm" #n "\n"
#define STEP_Y(n, at) "vpaddq ones(%rip), %ymm" #n ", %ymm" #n "\n"
#define SAVE_Y(n, at) "vmovdqa %ymm" #n ", " AT(at) "\n"
#define LOAD_Z(n, at) "vmovdqa64 " AT(at) ", %zmm" #n "\n"
#define STEP_Z(n, at) "vpaddq ones(%rip), %zmm" #n ", %zmm" #n "\n"
#define SAVE_Z(n, at) "vmovdqa64 %zmm" #n ", " AT(at) "\n"
#define LOAD_K(n, at) "kmovq " AT(at) ", %k" #n "\n"
#define SAVE_K(n, at) "kmovq %k" #n ", " AT(at) "\n"
#define LOAD_F(n, at) "fildll " AT(at) "\n"
#define SAVE_F(n, at) "fistpll " AT(at) "\n" /* pops: the last loaded comes first, see x87_index */
#define NONE(n, at)

#define COMPUTE(name, EACH, LOAD_V, STEP_V, SAVE_V, LOAD_M, SAVE_M)                                                  \
  void name(void);                                                                                                   \
  __asm__(".text\n.globl " #name "\n.type " #name ", @function\n" #name ":\n"                                        \
    "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"                                             \
    "ldmxcsr " AT(192) "\nfninit\nfldcw " AT(196) "\n"                                                               \
    EACH(LOAD_V) EACH_MASK(LOAD_M) EACH_X87(LOAD_F) EACH_GENERAL(LOAD_G)                                             \
    ".p2align 4\n1:\n"                                                                                               \
    EACH_GENERAL(STEP_G) EACH(STEP_V)                                                                                \
    "fld1\nfaddp\n"                                                                                                  \
    "decq " AT(120) "\njnz 1b\n"                                                                                     \
    EACH_GENERAL(SAVE_G) EACH(SAVE_V) EACH_MASK(SAVE_M) EACH_X87(SAVE_F)                                             \
    "stmxcsr " AT(192) "\nfnstcw " AT(196) "\nfninit\n"                                                              \
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n"                                              \
    ".size " #name ", . - " #name "\n");

COMPUTE(compute_xmm, EACH_16, LOAD_X, STEP_X, SAVE_X, NONE, NONE)
COMPUTE(compute_ymm, EACH_16, LOAD_Y, STEP_Y, SAVE_Y, NONE, NONE)
COMPUTE(compute_zmm, EACH_32, LOAD_Z, STEP_Z, SAVE_Z, LOAD_K, SAVE_K)
/* clang-format on */

static const struct flavour {
  const char *name;
  void (*compute)(void);
  unsigned vectors, words, masks;
} flavours[] = {{"xmm", compute_xmm, 16, 2, 0}, {"ymm", compute_ymm, 16, 4, 0}, {"zmm", compute_zmm, 32, 8, 7}};

static const struct flavour *flavour = &flavours[0];
static uint64_t blocks, wrong;
static char first[200];
static bool stopping;

static void expect(const char *what, unsigned index, uint64_t found, uint64_t wanted) {
  if (found == wanted) return;
  if (!__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED))
    snprintf(first, sizeof first, "%s %u: %#lx, not %#lx", what, index, found, wanted);
}

/* Round toward zero, flush denormals: neither is what a process starts with. */
#define MXCSR 0xff80u
#define X87_CONTROL 0x0f7fu

static void run_block(uint64_t seed) {
  struct registers *r = &registers;
  __asm__("" : "+r"(r)); /* or GCC folds constants of mix64 into the offset from fs, which has 32 bits */
  for (unsigned i = 0; i < 15; i++) r->general[i] = mix64(seed + i);
  for (unsigned v = 0; v < 32; v++)
    for (unsigned i = 0; i < 8; i++) r->vectors[v][i] = mix64(seed + 100 + v * 8 + i);
  for (unsigned i = 0; i < 8; i++) r->masks[i] = mix64(seed + 1000 + i);
  for (unsigned i = 0; i < 7; i++) r->x87[i] = mix64(seed + 2000 + i) >> 2;
  r->steps = STEPS;
  r->mxcsr = MXCSR;
  r->x87_control = X87_CONTROL;
  flavour->compute();
  for (unsigned i = 0; i < 15; i++) expect("general", i, r->general[i], mix64(seed + i) + STEPS * (i + 1));
  for (unsigned v = 0; v < flavour->vectors; v++)
    for (unsigned i = 0; i < flavour->words; i++)
      expect(flavour->name, v, r->vectors[v][i], mix64(seed + 100 + v * 8 + i) + STEPS);
  for (unsigned i = 1; i <= flavour->masks; i++) expect("mask", i, r->masks[i], mix64(seed + 1000 + i));
  for (unsigned i = 0; i < 7; i++) /* st(0) was loaded last and counted up */
    expect("x87", i, r->x87[i], (mix64(seed + 2000 + 6 - i) >> 2) + (i == 0) * STEPS);
  expect("mxcsr", 0, r->mxcsr & ~0x3fu, MXCSR & ~0x3fu);
  expect("x87 control", 0, r->x87_control, X87_CONTROL);
  __atomic_fetch_add(&blocks, 1, __ATOMIC_RELAXED);
}

static void *thread_main(void *argument) {
  uint32_t usual;
  __asm__("stmxcsr %0" : "=m"(usual));
  for (uint64_t block = 0; !__atomic_load_n(&stopping, __ATOMIC_RELAXED); block++) {
    run_block(mix64((uint64_t)argument) + block);
    __asm__ volatile("ldmxcsr %0" : : "m"(usual));
  }
  return NULL;
}

static void choose_flavour(void) {
  unsigned a, b, c, d, b7 = 0, xcr0 = 0, high;
  __cpuid(1, a, b, c, d);
  if (!(c & bit_OSXSAVE)) return;
  __asm__("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) b7 = b;
  if (b7 & bit_AVX2 && (xcr0 & 6) == 6) flavour = &flavours[1];
  if (b7 & bit_AVX512BW && (xcr0 & 0xe6) == 0xe6) flavour = &flavours[2];
}

static void print_report(void) {
  printf("{\"kind\":\"%s\",\"blocks\":%lu,\"steps\":%lu,\"wrong\":%lu,\"first\":\"%s\"}\n", flavour->name, blocks,
         blocks * STEPS, wrong, first);
  fflush(stdout);
}

int main(int argc, char **argv) {
  char line[100];
  pthread_t threads[64];
  (void)argc;
  only_options(argv, "--threads");
  uint64_t many = number(argv, "threads", 2);
  if (many > 64) die("--threads wants at most 64");
  choose_flavour();
  for (uint64_t t = 0; t < many; t++)
    if (pthread_create(&threads[t], NULL, thread_main, (void *)t)) die("pthread_create");
  printf("READY {\"kind\":\"%s\"}\n", flavour->name);
  fflush(stdout);
  while (next_command(line, sizeof line) && strcmp(line, "quit")) print_report();
  stopping = true;
  for (uint64_t t = 0; t < many; t++) pthread_join(threads[t], NULL);
  print_report();
  return 0;
}
