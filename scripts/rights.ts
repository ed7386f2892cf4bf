/** Writes the table of docs/rights.md from the rules themselves; with --check only says whether it is up to date. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CAP_KILL, CAP_SYS_ADMIN, CAP_SYS_PTRACE } from '../src/linux/abi.ts';
import { type CallerFacts, judgeRights, type TargetFacts } from '../src/machines/process/rights.ts';
import { withBlock } from './made-block.ts';

const ALL = (1n << 41n) - 1n;
const set = (...capabilities: number[]): bigint =>
  capabilities.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);

const user: CallerFacts = {
  uid: 1000,
  gid: 1000,
  effective: 0n,
  permitted: 0n,
  userNamespace: 'user:[1]',
  isInitialUserNamespace: true,
  ptraceScope: 1,
  unprivilegedUserfaultfd: false,
  userfaultfdDevice: 'denied',
  isFiltered: false,
};
const root: CallerFacts = {
  ...user,
  uid: 0,
  gid: 0,
  effective: ALL,
  permitted: ALL,
  userfaultfdDevice: 'opens',
};
const contained: CallerFacts = {
  ...root,
  effective: set(CAP_KILL),
  permitted: set(CAP_KILL),
  userfaultfdDevice: 'absent',
  isFiltered: true,
};
const ptraceSet = set(CAP_SYS_PTRACE, CAP_SYS_ADMIN);

const callers: Readonly<Record<string, CallerFacts>> = {
  'root of the host': root,
  'a user': user,
  'a user, device granted, scope 0': { ...user, ptraceScope: 0, userfaultfdDevice: 'opens' },
  'CAP_SYS_PTRACE, device granted': {
    ...user,
    effective: set(CAP_SYS_PTRACE),
    permitted: set(CAP_SYS_PTRACE),
    userfaultfdDevice: 'opens',
  },
  'root in a container': contained,
  'the same, SYS_PTRACE, SYS_ADMIN, device, no seccomp': {
    ...contained,
    effective: ptraceSet,
    permitted: ptraceSet,
    userfaultfdDevice: 'opens',
    isFiltered: false,
  },
  'root in a rootless container': {
    ...root,
    userNamespace: 'user:[2]',
    isInitialUserNamespace: false,
    userfaultfdDevice: 'denied',
  },
};

const own = (caller: CallerFacts): TargetFacts => ({
  pid: 4711,
  threadGroup: 4711,
  state: 'S',
  isHeadless: false,
  isKernelThread: false,
  uids: [caller.uid, caller.uid, caller.uid],
  gids: [caller.gid, caller.gid, caller.gid],
  permitted: 0n,
  effective: 0n,
  userNamespace: caller.userNamespace,
  isDumpable: true,
  isDescendant: false,
  seccompMode: 0,
  tracer: undefined,
  is32Bit: false,
  isFrozen: false,
  memOpens: undefined,
});

const targets: Readonly<Record<string, (caller: CallerFacts) => TargetFacts>> = {
  'of the same user': own,
  'its own child': (caller) => ({ ...own(caller), isDescendant: true }),
  'of another user': (caller) => ({ ...own(caller), uids: [33, 33, 33], gids: [33, 33, 33] }),
  'not dumpable': (caller) => ({ ...own(caller), isDumpable: false }),
  'with more capabilities': (caller) => ({ ...own(caller), permitted: ALL }),
  'under seccomp': (caller) => ({ ...own(caller), seccompMode: 2 }),
  'in another user namespace': (caller) => ({ ...own(caller), userNamespace: 'user:[3]' }),
  'traced by gdb': (caller) => ({ ...own(caller), tracer: { pid: 99, name: 'gdb' } }),
  '32-bit': (caller) => ({ ...own(caller), is32Bit: true }),
  'frozen by its cgroup': (caller) => ({ ...own(caller), isFrozen: true }),
};

const file = join(import.meta.dirname, '../docs/rights.md');
const text = readFileSync(file, 'utf8');
const made = withBlock(text, 'made by scripts/rights.ts', table());

if (!process.argv.includes('--check')) writeFileSync(file, made);
else if (made !== text) {
  console.error('docs/rights.md is not what the rules say; the cure: node scripts/rights.ts');
  process.exitCode = 1;
}

function table(): string {
  const header = `| target | ${Object.keys(callers).join(' | ')} |`;
  const rows = Object.entries(targets).map(([name, target]) => {
    const cells = Object.values(callers).map((caller) => cell(caller, target(caller)));
    return `| ${name} | ${cells.join(' | ')} |`;
  });
  return [header, `|---${'|---'.repeat(Object.keys(callers).length)}|`, ...rows].join('\n');
}

/** yes, or the first thing that is missing. */
function cell(caller: CallerFacts, target: TargetFacts): string {
  const refusal = judgeRights(caller, target).find(({ isGranted }) => !isGranted);
  if (refusal === undefined) return 'yes';
  const capability = /CAP_[A-Z_]+/.exec(`${refusal.text} ${refusal.cure ?? ''}`)?.[0];
  if (refusal.subject === 'attach')
    return /ptrace_scope/.test(refusal.text) ? 'ptrace_scope' : (capability ?? 'no');
  if (refusal.subject === 'seccomp') return caller.isFiltered ? 'seccomp of its own' : (capability ?? 'no');
  if (refusal.subject === 'userfaultfd') return 'a userfaultfd';
  return 'no';
}
