import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { UFFD_FEATURE_PAGEFAULT_FLAG_WP } from './abi.ts';
import {
  type Feature,
  probeFeatures,
  supportedUserfaultfdFeatures,
  untouchedMarkerEntry,
} from './features.ts';
import { listProcesses, readStat } from './proc.ts';

const isRoot = process.getuid!() === 0;
const module = JSON.stringify(join(import.meta.dirname, 'features.ts'));

/** What a process finds that gives its rights away before it asks. */
function featuresOfNobody(): Map<string, Feature> {
  // once before: what is loaded for it may lie in a folder that nobody may not enter
  const script = `const { probeFeatures } = await import(${module});
    probeFeatures();
    process.setgroups([]); process.setgid(65534); process.setuid(65534);
    console.log(JSON.stringify([...probeFeatures().values()]));`;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  return new Map((JSON.parse(output) as Feature[]).map((feature) => [feature.name, feature]));
}

test('every feature is tried, and a cure stands beside each no', () => {
  const features = [...probeFeatures().values()];
  assert.equal(features.length, 21);
  for (const { name, ok, detail, cure, since } of features) {
    assert.notEqual(detail, '', name);
    assert.equal(cure === '', ok, name);
    assert.match(since, /^\d\.\d+$/, name);
  }
});

test('a probe leaves no process and no descriptor behind', async () => {
  const { readdirSync } = await import('node:fs');
  probeFeatures();
  const before = readdirSync('/proc/self/fd').length;
  probeFeatures();
  assert.equal(readdirSync('/proc/self/fd').length, before);
  // the children are taken by Node's event loop
  const children = (): number[] =>
    listProcesses().filter((pid) => {
      try {
        return readStat(pid).parentId === process.pid;
      } catch {
        return false;
      }
    });
  while (children().length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
});

test('root may what nobody may not', { skip: !isRoot && 'needs root' }, () => {
  const root = probeFeatures();
  const nobody = featuresOfNobody();
  assert.equal(root.get('capabilities')!.ok, true);
  assert.equal(nobody.get('capabilities')!.ok, false);
  assert.match(nobody.get('capabilities')!.detail, /without CAP_SYS_PTRACE, CAP_SYS_ADMIN/);
  assert.equal(nobody.get('suspended seccomp')!.ok, false);
  assert.equal(nobody.get('userfaultfd device')!.detail, 'EACCES');
  // what the kernel has is seen without rights too
  assert.deepEqual(nobody.get('write-protection'), root.get('write-protection'));
});

test('what is found is what the kernel does', { skip: !isRoot && 'needs root' }, () => {
  const features = probeFeatures();
  const bits = supportedUserfaultfdFeatures()!;
  assert.equal(features.get('write-protection')!.ok, (bits & UFFD_FEATURE_PAGEFAULT_FLAG_WP) !== 0);
  const marker = untouchedMarkerEntry();
  assert.equal(marker !== undefined, features.get('write-protection of untouched pages')!.ok);
  // "swap", protected, and not present: bits 62, 57, 63
  if (marker !== undefined) assert.equal(marker >> 57n, 0b0100001n);
});
