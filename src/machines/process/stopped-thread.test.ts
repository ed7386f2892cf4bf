/** A thread is stopped on its way out of the kernel, never inside a call that is not over. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { buildTarget } from '../../../test/support/build.ts';
import { startTarget } from '../../../test/support/targets.ts';
import { PTRACE_O_TRACESYSGOOD, SYS_clone, SYS_clone3 } from '../../linux/abi.ts';
import { ERRNO } from '../../linux/errno.ts';
import { userRegs } from '../../linux/layouts.ts';
import { StoppedThread } from './stopped-thread.ts';

const skip = process.getuid!() === 0 ? buildTarget('threads').skip : 'needs root';
const STOPS = 1000;

test('a thread that makes others is not stopped while it makes one', { skip }, async () => {
  await using target = await startTarget('threads', { args: ['--rate', 5000] });
  // In the order of their making: the first, then the one that makes all others.
  const mother = Number(readdirSync(`/proc/${target.pid}/task`)[1]);
  let calls = 0;
  for (let stop = 0; stop < STOPS; stop++) {
    using thread = StoppedThread.stop(target.pid, mother, PTRACE_O_TRACESYSGOOD, new Set())!;
    const { view } = thread.registers;
    const call = view.getInt32(userRegs.at.orig_rax, true);
    if (call !== SYS_clone && call !== SYS_clone3) continue;
    calls++;
    // What has not returned yet has this for a result; with other registers it would be made again.
    assert.notEqual(view.getInt32(userRegs.at.rax, true), -ERRNO.ENOSYS);
  }
  assert.ok(calls < STOPS);
  assert.deepEqual(await target.end(), []);
});
