/**
 * `npm run vm [-- --accel kvm]`: boots the oldest kernel that apt offers here among those that are supported (6.9 and newer)
 * in a virtual machine, dumps a writer there and compares its core word for word; then the newest one that is not
 * supported, where the dump has to be refused by name. Emulated, it takes some minutes. Status 0 if both are as they should.
 */
import { parseArgs } from 'node:util';
import { findKernel } from '../test/vm/kernels.ts';
import { type Accelerator, dumpInside, noMachine, type Result } from '../test/vm/machine.ts';

const OLDEST = [6, 9] as const;

const { values } = parseArgs({ options: { accel: { type: 'string', default: 'tcg' } } });

/** What is wrong with a dump on a kernel that is supported, in words. */
function judgeDumped({ ended, stderr, core, target }: Result): string[] {
  if (ended !== 0 || core === undefined) return [`the dump ended with ${ended}: ${stderr}`];
  const { wrong, absent, brokenCounters, words } = core;
  console.log(`  exit status 0; ${wrong} of ${words} words wrong, ${absent} absent`);
  return wrong + absent + brokenCounters + target.wrong === 0 ? [] : [JSON.stringify({ core, target })];
}

/** The same on one that is not. */
function judgeRefused({ ended, stderr, doctor, target }: Result): string[] {
  console.log(`  exit status ${ended}; ${stderr.trim()}`);
  const isTold = ended === 1 && /this kernel \(Linux .*\) lacks ".*; use Linux 6\.9 or newer/.test(stderr);
  const isKnown = /no {4}descriptors of threads: \w+\n +use Linux 6\.9 or newer/.test(doctor);
  return isTold && isKnown && target.wrong === 0 ? [] : ['not refused as it should be', doctor];
}

async function run(before: boolean, judge: (result: Result) => string[]): Promise<boolean> {
  const kernel = findKernel(...OLDEST, before);
  if (typeof kernel === 'string') {
    console.log(`skipped: ${kernel}`);
    return true;
  }
  console.log(`Linux ${kernel.version}`);
  const faults = judge(await dumpInside(kernel, { accelerator: values.accel as Accelerator }));
  for (const fault of faults) console.log(`  wrong: ${fault}`);
  return faults.length === 0;
}

if (noMachine !== false) console.log(`skipped: ${noMachine}`);
else process.exitCode = [await run(false, judgeDumped), await run(true, judgeRefused)].every(Boolean) ? 0 : 1;
