/** A virtual machine with another kernel, in which this checkout dumps a writer once. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { buildTarget } from '../support/build.ts';
import type { WriterCheck } from '../support/check-writer.ts';
import { TestFolder } from '../support/cores.ts';
import { requireProgram } from '../support/packages.ts';
import { Initramfs } from './initramfs.ts';
import type { Kernel } from './kernels.ts';

/** What came of the dump; `core` where there was one. */
export interface Result {
  readonly release: string;
  readonly doctor: string;
  /** exit status of the dump, or the signal that ended it */
  readonly ended: number | NodeJS.Signals | null;
  readonly stderr: string;
  readonly core?: WriterCheck;
  /** the writer's own memory afterwards */
  readonly target: { readonly wrong: number };
}

const root = join(import.meta.dirname, '../..');
const INIT = `#!/bin/sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tmpfs -o size=1g tmp /tmp
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp LIVECORE_NODE=/livecore/node_modules/node/bin/node NODE_COMPILE_CACHE=/tmp
$LIVECORE_NODE /livecore/test/vm/inside.ts </dev/null
poweroff -f
`;

const qemu = requireProgram('qemu-system-x86_64', 'qemu-system-x86');
const busybox = requireProgram('busybox', 'busybox-static');

/** Why there can be none here, or false. */
export const noMachine: string | false =
  qemu.skip || busybox.skip || buildTarget('writer').skip || buildTarget('check-writer').skip;

/**
 * The processor is emulated: what stands behind /dev/kvm may run prepared kernels only (pvm), and then stops at the first
 * instructions of any other. `kvm` is a few times faster.
 */
export type Accelerator = 'tcg' | 'kvm';

const ACCELERATORS: Readonly<Record<Accelerator, readonly string[]>> = {
  tcg: ['-accel', 'tcg,thread=multi', '-cpu', 'max'],
  kvm: ['-accel', 'kvm', '-cpu', 'host'],
};

/** The emulated time stamp counter jumps, and a clock with it. */
const COMMAND_LINE = 'console=ttyS0 quiet panic=-1 rdinit=/init tsc=unstable clocksource=hpet';

/** Boots a kernel, and returns what it said of the dump. Ends after `timeoutMs` whatever happens. */
export async function dumpInside(
  kernel: Kernel,
  { accelerator = 'tcg', timeoutMs = 300_000 }: { accelerator?: Accelerator; timeoutMs?: number } = {},
): Promise<Result> {
  using folder = new TestFolder();
  const archive = folder.file('initramfs');
  writeArchive(archive);
  const machine = spawn(
    qemu.path,
    [
      ...ACCELERATORS[accelerator],
      ...['-smp', '2', '-m', '2048', '-no-reboot', '-nodefaults', '-display', 'none', '-serial', 'stdio'],
      ...['-kernel', kernel.image, '-initrd', archive, '-append', COMMAND_LINE],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let said = '';
  for (const stream of [machine.stdout, machine.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  const timer = setTimeout(() => machine.kill('SIGKILL'), timeoutMs);
  await once(machine, 'close');
  clearTimeout(timer);
  const found = /^RESULT (.*)$/m.exec(said)?.[1];
  if (found === undefined)
    throw new Error(`Linux ${kernel.version} said nothing of a dump: ${said.slice(-4000)}`);
  return JSON.parse(found) as Result;
}

function writeArchive(path: string): void {
  using archive = new Initramfs(path);
  for (const folder of ['/proc', '/sys', '/dev', '/tmp']) archive.folder(folder);
  archive.file('/init', Buffer.from(INIT));
  for (const name of ['busybox', 'sh']) archive.program(busybox.path, `/bin/${name}`);
  const checkout = ['bin', 'src', 'package.json', 'test/vm', 'test/support'];
  const modules = ['koffi', '@koromix', 'commander', '@bomb.sh'].map((name) => `node_modules/${name}`);
  for (const part of [...checkout, ...modules]) archive.copy(join(root, part), join('/livecore', part));
  archive.program(process.execPath, '/livecore/node_modules/node/bin/node');
  for (const name of ['writer', 'check-writer']) archive.program(buildTarget(name).path, `/targets/${name}`);
}
