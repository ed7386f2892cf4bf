/** Every constant, size and offset of src/linux against the C compiler and the system's headers. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Struct } from '../../src/bytes/struct.ts';
import * as abi from '../../src/linux/abi.ts';
import { ERRNO } from '../../src/linux/errno.ts';
import * as layouts from '../../src/linux/layouts.ts';
import { evaluateC } from './c-program.ts';
import { ABSENT_CONSTANTS, ABSENT_STRUCTS } from './not-in-headers.ts';

const ROOT = join(import.meta.dirname, '../..');

const USER_HEADERS = [
  'dirent.h',
  'elf.h',
  'errno.h',
  'fcntl.h',
  'poll.h',
  'sched.h',
  'signal.h',
  'sys/mman.h',
  'sys/prctl.h',
  'sys/ptrace.h',
  'sys/resource.h',
  'sys/socket.h',
  'sys/stat.h',
  'sys/statfs.h',
  'sys/syscall.h',
  'sys/uio.h',
  'sys/user.h',
  'sys/wait.h',
  'time.h',
  'unistd.h',
  'linux/aio_abi.h',
  'linux/bpf.h',
  'linux/btf.h',
  'linux/capability.h',
  'linux/close_range.h',
  'linux/fs.h',
  'linux/futex.h',
  'linux/io_uring.h',
  'linux/kcmp.h',
  'linux/magic.h',
  'sys/pidfd.h',
  'linux/ptrace.h',
  'linux/rseq.h',
  'linux/userfaultfd.h',
];
const USER = `#define _GNU_SOURCE\n${USER_HEADERS.map((name) => `#include <${name}>`).join('\n')}`;

// the kernel's own signal frame: these headers cannot stand beside the C library's. struct rt_sigframe is in no exported
// header; it is composed here as in arch/x86/include/asm/sigframe.h, and seen on a stack in ptrace.test.ts
const KERNEL = `
#include <asm/signal.h>
#include <asm/siginfo.h>
#include <asm/sigcontext.h>
#include <asm/ucontext.h>
#include <linux/sched/types.h>
struct rt_sigframe { char *pretcode; struct ucontext uc; siginfo_t info; };`;
const KERNEL_CONSTANTS = ['UC_FP_XSTATE', 'UC_SIGCONTEXT_SS', 'UC_STRICT_RESTORE_SS'];
const KERNEL_STRUCTS = [
  'struct sigcontext',
  'struct ucontext',
  'struct rt_sigframe',
  'struct _fpx_sw_bytes',
  'struct sched_attr',
];

test('constants are those of the headers', () => {
  const isKernel = (name: string): boolean => KERNEL_CONSTANTS.includes(name);
  const names = Object.keys(abi);
  const expressions = names
    .filter((name) => !isKernel(name))
    .map((name) => (name in ABSENT_CONSTANTS ? { expression: name, optional: name } : { expression: name }));
  const kernelExpressions = KERNEL_CONSTANTS.map((expression) => ({ expression }));
  const values = new Map([...evaluateC(USER, expressions), ...evaluateC(KERNEL, kernelExpressions)]);
  for (const [name, value] of Object.entries(abi)) {
    const inHeader = values.get(name);
    if (inHeader === undefined)
      assert.ok(name in ABSENT_CONSTANTS, `${name}: neither in a header nor in the list`);
    else assert.equal(BigInt(value), inHeader, name);
  }
});

test('error numbers are those of errno.h', () => {
  const values = evaluateC(
    '#include <errno.h>',
    Object.keys(ERRNO).map((expression) => ({ expression })),
  );
  const ours = Object.entries(ERRNO).map(([name, value]) => [name, BigInt(value)] as const);
  assert.deepEqual([...values], ours);
});

test('struct tables are those of the compiler', () => {
  const tables: Struct[] = Object.values(layouts);
  const kernel = tables.filter(({ name }) => KERNEL_STRUCTS.includes(name));
  const absent = tables.filter(({ name }) => name in ABSENT_STRUCTS);
  const user = tables.filter((table) => !kernel.includes(table) && !absent.includes(table));
  assert.equal(kernel.length, KERNEL_STRUCTS.length);
  assert.equal(absent.length, Object.keys(ABSENT_STRUCTS).length);
  compareStructs(USER, user);
  compareStructs(KERNEL, kernel);
});

function compareStructs(prologue: string, tables: readonly Struct[]): void {
  const expected = new Map<string, bigint>();
  for (const { name, sizeBytes, at, size } of tables) {
    expected.set(`sizeof(${name})`, BigInt(sizeBytes));
    for (const field of Object.keys(at).filter((key) => !key.startsWith('_pad'))) {
      expected.set(`offsetof(${name}, ${field})`, BigInt(at[field]!));
      expected.set(`sizeof(((${name} *)0)->${field})`, BigInt(size[field]!));
    }
  }
  const values = evaluateC(
    prologue,
    [...expected.keys()].map((expression) => ({ expression })),
  );
  assert.deepEqual(values, expected);
}

test('what no header has is checked by a test that names it', () => {
  for (const [name, { checkedBy }] of Object.entries(ABSENT_CONSTANTS)) {
    assert.ok(name in abi, `${name} is listed but not in abi.ts`);
    assert.match(
      readFileSync(join(ROOT, checkedBy), 'utf8'),
      new RegExp(`\\b${name}\\b`),
      `${checkedBy}: ${name}`,
    );
  }
  const tables: Struct[] = Object.values(layouts);
  for (const [name, { checkedBy }] of Object.entries(ABSENT_STRUCTS)) {
    assert.ok(
      tables.some((table) => table.name === name),
      `${name} is listed but not in layouts.ts`,
    );
    readFileSync(join(ROOT, checkedBy));
  }
});
