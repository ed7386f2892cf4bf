/** Core files built in code, the odd ones too. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AddressRange } from '../../src/bytes/ranges.ts';
import { type CoreTail, coreHead, coreTail } from '../../src/formats/elf-core/headers.ts';
import { type CoreLayout, type CoreSegment, layoutCore } from '../../src/formats/elf-core/layout.ts';
import type { LivecoreNote } from '../../src/formats/elf-core/livecore-note.ts';
import type { CoreProcess, ProcessInfo } from '../../src/formats/elf-core/process-notes.ts';
import { type CoreThread, REGISTER_NAMES } from '../../src/formats/elf-core/thread-notes.ts';

export interface CoreParts {
  readonly process: CoreProcess;
  readonly segments: readonly CoreSegment[];
  readonly missing?: readonly AddressRange[];
  /** the content of some places; the rest is left a hole */
  readonly memory?: readonly { readonly address: bigint; readonly bytes: Uint8Array }[];
  /** the head is written as for a stream, before the tail is known */
  readonly streamed?: boolean;
}

/** Writes a core file the way a dump does: memory, tail, head. */
export function writeCore(path: string, parts: CoreParts): { layout: CoreLayout; tail: CoreTail } {
  const layout = layoutCore(parts.segments);
  const tail = coreTail(layout, parts.process, parts.missing ?? []);
  const file = openSync(path, 'wx', 0o600);
  try {
    ftruncateSync(file, layout.tailOffset);
    for (const { address, bytes } of parts.memory ?? []) {
      writeSync(file, bytes, 0, bytes.length, layout.fileOffset(Number(address)));
    }
    writeSync(file, tail.bytes, 0, tail.bytes.length, layout.tailOffset);
    const head = parts.streamed ? coreHead(layout) : coreHead(layout, tail);
    writeSync(file, head, 0, head.length, 0);
  } finally {
    closeSync(file);
  }
  return { layout, tail };
}

/** A folder for one test, gone after it. */
export class TestFolder implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'livecore-test-'));

  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A thread whose registers all differ: register n of thread t is t * 256 + n, or as given. */
export function someThread(tid: number, registers: Readonly<Record<string, bigint>> = {}): CoreThread {
  const values = REGISTER_NAMES.map((name, index) => registers[name] ?? BigInt(tid * 256 + index));
  return {
    tid,
    ppid: 1,
    processGroup: 100,
    session: 100,
    signal: 0,
    pendingSignals: 0n,
    blockedSignals: 0x8000_0000_0000_0001n,
    times: { userUs: 1_500_000, systemUs: 2, childrenUserUs: 3, childrenSystemUs: 4_000_004 },
    registers: new Uint8Array(BigUint64Array.from(values).buffer),
    fpRegisters: new Uint8Array(512).fill(tid),
    siginfo: new Uint8Array(128),
  };
}

/** A plausible XSAVE area of a CPU with AVX: gdb takes the size that it expects from XCR0, in the software bytes. */
export function someXstate(): Uint8Array {
  const bytes = new Uint8Array(832);
  new DataView(bytes.buffer).setBigUint64(464, 7n, true);
  return bytes;
}

export function someProcess(pid: number): ProcessInfo {
  return {
    state: 'S',
    nice: -5,
    flags: 0x40_0000n,
    uid: 1000,
    gid: 1001,
    pid,
    ppid: 1,
    processGroup: 100,
    session: 100,
    name: 'target',
    args: 'target\0--flag\0',
  };
}

export function someProvenance(fields: Partial<LivecoreNote> = {}): LivecoreNote {
  return {
    t0: { wallNs: 1_795_491_234_123_456_789n, monotonicNs: 9_007_199_254_740_993n },
    pauseNs: 230_000,
    strategy: 'protect',
    toolVersion: '0.1.0',
    kernelVersion: '6.18.44',
    threads: [],
    unreliable: [],
    lost: [],
    excluded: [],
    complete: true,
    ...fields,
  };
}
