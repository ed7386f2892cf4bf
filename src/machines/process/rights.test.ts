import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { startZombie } from '../../../test/support/zombie.ts';
import { LivecoreError } from '../../errors.ts';
import { CAP_SYS_ADMIN, CAP_SYS_PTRACE } from '../../linux/abi.ts';
import { readCaller, readTarget } from './right-facts.ts';
import { type CallerFacts, judgeRights, requireRights, type TargetFacts } from './rights.ts';

const caller: CallerFacts = {
  uid: 1000,
  gid: 1000,
  effective: 0n,
  permitted: 0n,
  userNamespace: 'user:[1]',
  isInitialUserNamespace: true,
  ptraceScope: 0,
  unprivilegedUserfaultfd: false,
  userfaultfdDevice: 'opens',
  isFiltered: false,
};

const target: TargetFacts = {
  pid: 7,
  threadGroup: 7,
  state: 'S',
  isHeadless: false,
  isKernelThread: false,
  uids: [1000, 1000, 1000],
  gids: [1000, 1000, 1000],
  permitted: 0n,
  effective: 0n,
  userNamespace: 'user:[1]',
  isDumpable: true,
  isDescendant: false,
  seccompMode: 0,
  tracer: undefined,
  is32Bit: false,
  isFrozen: false,
  memOpens: undefined,
};

const capability = (bit: number): Partial<CallerFacts> => ({
  effective: 1n << BigInt(bit),
  permitted: 1n << BigInt(bit),
});

/** The error of the first refusal, or undefined. */
function refusal(
  changedCaller: Partial<CallerFacts>,
  changedTarget: Partial<TargetFacts>,
): LivecoreError | undefined {
  try {
    requireRights(judgeRights({ ...caller, ...changedCaller }, { ...target, ...changedTarget }), 7);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof LivecoreError);
    return error;
  }
}

test('one user dumps its own process, where it may have a userfaultfd', () => {
  assert.equal(refusal({}, {}), undefined);
  assert.equal(refusal({ userfaultfdDevice: 'absent', unprivilegedUserfaultfd: true }, {}), undefined);
  assert.match(
    refusal({ userfaultfdDevice: 'denied' }, {})?.message ?? '',
    /\/dev\/userfaultfd does not open/,
  );
  assert.match(
    refusal({ userfaultfdDevice: 'absent' }, {})?.cure ?? '',
    /sysctl vm.unprivileged_userfaultfd=1/,
  );
});

test('a target with CAP_SYS_PTRACE makes its userfaultfd itself', () => {
  const privileged = { effective: 1n << BigInt(CAP_SYS_PTRACE), permitted: 1n << BigInt(CAP_SYS_PTRACE) };
  const device = { userfaultfdDevice: 'denied' } as const;
  assert.equal(refusal({ ...capability(CAP_SYS_PTRACE), ...device }, privileged), undefined);
  const elsewhere = { ...privileged, userNamespace: 'user:[2]' };
  assert.equal(refusal({ ...capability(CAP_SYS_PTRACE), ...device }, elsewhere)?.code, 'NO_RIGHT');
});

const attachCases: readonly [what: string, changed: Partial<TargetFacts>, expected: RegExp][] = [
  ['real uid', { uids: [33, 1000, 1000] }, /another user or group \(uid 33, gid 1000\)/],
  ['effective uid', { uids: [1000, 0, 1000] }, /another user/],
  ['saved uid', { uids: [1000, 1000, 0] }, /another user/],
  ['group', { gids: [1000, 1000, 50] }, /another user or group/],
  ['dumpable', { isDumpable: false }, /not dumpable/],
  ['user namespace', { userNamespace: 'user:[2]' }, /another user namespace/],
  ['capabilities', { permitted: 1n }, /capabilities that the caller lacks/],
];
for (const [what, changed, expected] of attachCases) {
  test(`attaching is refused by ${what}, and CAP_SYS_PTRACE of the first namespace overrides it`, () => {
    const error = refusal({}, changed);
    assert.equal(error?.code, 'NO_RIGHT');
    assert.match(error?.message ?? '', expected);
    assert.match(error?.cure ?? '', /CAP_SYS_PTRACE/);
    assert.equal(refusal(capability(CAP_SYS_PTRACE), changed), undefined);
  });
}

test('CAP_SYS_PTRACE of an inner namespace ends at its border', () => {
  const inner = { ...capability(CAP_SYS_PTRACE), isInitialUserNamespace: false };
  assert.equal(refusal(inner, { uids: [0, 0, 0] }), undefined);
  assert.match(refusal(inner, { userNamespace: 'user:[2]' })?.cure ?? '', /on the host as root/);
});

test('Yama: scope 1 allows children, 2 allows nobody without the capability, 3 nobody', () => {
  assert.match(refusal({ ptraceScope: 1 }, {})?.message ?? '', /ptrace_scope is 1 and it is no child/);
  assert.equal(refusal({ ptraceScope: 1 }, { isDescendant: true }), undefined);
  assert.match(refusal({ ptraceScope: 2 }, { isDescendant: true })?.message ?? '', /ptrace_scope is 2/);
  assert.equal(refusal({ ptraceScope: 2, ...capability(CAP_SYS_PTRACE) }, {}), undefined);
  assert.match(
    refusal({ ptraceScope: 3, ...capability(CAP_SYS_PTRACE) }, {})?.message ?? '',
    /ptrace_scope is 3/,
  );
});

test("the kernel's own verdict stands above the rules", () => {
  assert.equal(refusal({ ptraceScope: 1 }, { memOpens: true }), undefined);
  assert.match(refusal({}, { memOpens: false })?.message ?? '', /a security module forbids it/);
});

test('seccomp is suspended by CAP_SYS_ADMIN of the first namespace, and never by a caller under seccomp', () => {
  assert.match(refusal({}, { seccompMode: 2 })?.cure ?? '', /CAP_SYS_ADMIN/);
  assert.match(refusal({}, { seccompMode: 1 })?.cure ?? '', /CAP_SYS_ADMIN/);
  assert.equal(refusal(capability(CAP_SYS_ADMIN), { seccompMode: 2 }), undefined);
  assert.match(
    refusal({ ...capability(CAP_SYS_ADMIN), isFiltered: true }, { seccompMode: 2 })?.message ?? '',
    /so does livecore/,
  );
  assert.equal(
    refusal({ ...capability(CAP_SYS_ADMIN), isInitialUserNamespace: false }, { seccompMode: 2 })?.code,
    'NO_RIGHT',
  );
});

const kinds: readonly [code: string, changed: Partial<TargetFacts>][] = [
  ['THREAD_ID', { threadGroup: 5 }],
  ['KERNEL_THREAD', { isKernelThread: true }],
  ['UNSUPPORTED_TARGET', { is32Bit: true }],
  ['UNSUPPORTED_TARGET', { isFrozen: true }],
  ['ZOMBIE', { state: 'Z' }],
  ['ALREADY_TRACED', { tracer: { pid: 9, name: 'gdb' } }],
];
for (const [code, changed] of kinds) {
  test(`${code} comes before any right (${Object.keys(changed)[0]})`, () => {
    assert.equal(refusal({ userfaultfdDevice: 'denied' }, { ...changed, uids: [0, 0, 0] })?.code, code);
  });
}

test('the facts of real processes: ours, a kernel thread, nobody', () => {
  const self = readTarget(process.pid);
  assert.equal(self.threadGroup, process.pid);
  assert.equal(self.uids[0], process.getuid!());
  assert.equal(self.is32Bit, false);
  assert.equal(self.isKernelThread, false);
  assert.equal(self.userNamespace, readCaller().userNamespace);
  assert.throws(() => readTarget(4 * 1024 * 1024), { code: 'NO_SUCH_PROCESS' });
  // Process 2 is kthreadd, wherever the first pid namespace is ours.
  if (readFileSync('/proc/2/comm', 'utf8').trim() === 'kthreadd')
    assert.equal(readTarget(2).isKernelThread, true);
});

test('the facts of a child: ours to trace, stopped, then a zombie', async () => {
  using zombie = await startZombie();
  assert.equal(readTarget(zombie.pid).state, 'Z');
  assert.throws(() => requireRights(judgeRights(readCaller(), readTarget(zombie.pid)), zombie.pid), {
    code: 'ZOMBIE',
  });
  const facts = readTarget(zombie.parent);
  assert.equal(facts.isDescendant, true);
  assert.equal(facts.memOpens, true);
  assert.equal(facts.tracer, undefined);
});
