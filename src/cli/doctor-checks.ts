/** What `livecore doctor` asks: of the kernel, of the user, and of one process. Answers only; nothing is printed here. */
import { userInfo } from 'node:os';
import { KCMP_VM } from '../linux/abi.ts';
import { type Feature, type FeatureName, probeFeatures } from '../linux/features.ts';
import { compareTasks } from '../linux/pidfd.ts';
import { listProcesses, readStatus } from '../linux/proc.ts';
import { readCaller, readTarget } from '../machines/process/right-facts.ts';
import { type CallerFacts, judgeRights, type Right, type TargetFacts } from '../machines/process/rights.ts';
import { readMappingDetails } from '../machines/process/smaps.ts';

/** `no` prevents a dump, `less` takes something from it. */
export type Answer = 'yes' | 'less' | 'no';

/** One line of the report. */
export interface Check {
  readonly group: 'kernel' | 'user' | 'process';
  readonly name: string;
  readonly answer: Answer;
  readonly text: string;
  readonly cure?: string;
}

/** What a kernel must offer, and what is lost without the rest. */
const FEATURES: readonly (readonly [name: FeatureName, without?: string])[] = [
  ['x86-64'],
  ['write-protection'],
  ['write-protection of untouched pages'],
  ['notice before madvise'],
  ['pagemap scan'],
  ['descriptors of threads'],
  ['descriptors of others'],
  ['comparing tasks'],
  ['own descriptor table'],
  ['tracing'],
  ['asynchronous writes'],
  ['rseq of others', 'a thread in a restartable sequence is not recognised'],
  ['suspended seccomp', 'processes under seccomp cannot be dumped'],
];

/** What this kernel offers. */
export function checkKernel(features: ReadonlyMap<FeatureName, Feature> = probeFeatures()): Check[] {
  return FEATURES.map(([name, without]) => {
    const { ok, detail, cure } = features.get(name)!;
    if (ok) return { group: 'kernel', name, answer: 'yes', text: detail };
    const text = without === undefined ? detail : `${detail}: ${without}`;
    return { group: 'kernel', name, answer: without === undefined ? 'no' : 'less', text, cure };
  });
}

/** What this user may do with processes in general: of each kind, an ordinary one stands for all. */
export function checkUser(caller: CallerFacts = readCaller()): Check[] {
  const own: TargetFacts = {
    pid: 0,
    threadGroup: 0,
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
  };
  const stranger = { uids: own.uids.map((uid) => uid + 1), gids: own.gids.map((gid) => gid + 1) };
  const kinds: readonly [name: string, target: TargetFacts, isNeeded: boolean][] = [
    ['processes of this user', own, true],
    ['processes of other users', { ...own, ...stranger }, false],
    ['processes under seccomp', { ...own, seccompMode: 2 }, false],
  ];
  return kinds.map(([name, target, isNeeded]) => {
    const refusal = judgeRights(caller, target).find(({ isGranted }) => !isGranted);
    if (refusal === undefined) return { group: 'user', name, answer: 'yes', text: 'can be dumped' };
    return asCheck('user', name, { ...refusal }, isNeeded ? 'no' : 'less');
  });
}

/** Who this user is, in a few words. */
export function describeUser(): string {
  try {
    const { username, uid } = userInfo();
    return `${username}, uid ${uid}`;
  } catch {
    // no entry in passwd, as in many containers
    return `uid ${process.getuid?.()}`;
  }
}

/** What holds for one process. Throws NO_SUCH_PROCESS. */
export function checkProcess(pid: number): Check[] {
  const rights = judgeRights(readCaller(), readTarget(pid));
  const checks = rights.map((right) =>
    asCheck('process', right.subject, right, right.isGranted ? 'yes' : 'no'),
  );
  if (rights.every(({ isGranted }) => isGranted)) checks.push(checkUserfaultfds(pid), checkSharers(pid));
  return checks;
}

/** Its name, as it gave it. */
export function nameOf(pid: number): string {
  return readStatus(pid).name;
}

function asCheck(group: Check['group'], name: string, { text, cure }: Right, answer: Answer): Check {
  return { group, name, answer, text, ...(cure !== undefined && { cure }) };
}

/** Memory can belong to one userfaultfd only (UFFDIO_REGISTER: EBUSY); proc_pid_smaps(5), VmFlags, shows it. */
function checkUserfaultfds(pid: number): Check {
  const name = 'own userfaultfd';
  const flags = [...readMappingDetails(pid).values()].flatMap((detail) => [...detail.flags]);
  if (!flags.some((flag) => ['um', 'uw', 'ui'].includes(flag))) {
    return { group: 'process', name, answer: 'yes', text: 'it has none, so ours has its place' };
  }
  const text = 'it manages faults of its memory itself, or another livecore is at work on it';
  return { group: 'process', name, answer: 'no', text, cure: 'wait for the other livecore to end' };
}

/** Whoever shares the memory writes it too, and is held with it (clone(2), CLONE_VM). */
function checkSharers(pid: number): Check {
  const sharers = listProcesses().filter((other) => other !== pid && compareTasks(pid, other, KCMP_VM) === 0);
  const text =
    sharers.length === 0 ? 'with no other process' : `with ${sharers.join(', ')}, held together with it`;
  return { group: 'process', name: 'shared memory space', answer: 'yes', text };
}
