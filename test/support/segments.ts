/**
 * What of a process's memory a file holds where: read from a core by a second reader, as small as can be and
 * independent of the one under test, or made by copying from /proc/PID/mem.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** `size` bytes of memory at `address` are in the file from `offset` on. */
export interface Segment {
  readonly address: bigint;
  readonly offset: bigint;
  readonly size: bigint;
}

const PT_LOAD = 1;
const PN_XNUM = 0xffff;

/** The PT_LOAD segments of an ELF64 core that have content in the file (p_filesz, not p_memsz). */
export function coreSegments(path: string): Segment[] {
  const file = openSync(path, 'r');
  try {
    const header = readAt(file, 64, 0);
    if (header.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') throw new Error(`${path}: not an ELF64 file`);
    const headersAt = Number(header.readBigUInt64LE(32));
    let count = header.readUInt16LE(56);
    if (count === PN_XNUM) {
      const section = readAt(file, 64, Number(header.readBigUInt64LE(40)));
      count = section.readUInt32LE(44); // sh_info of section 0: elf(5), e_phnum
    }
    const table = readAt(file, count * 56, headersAt);
    const segments: Segment[] = [];
    for (let at = 0; at < table.length; at += 56) {
      const size = table.readBigUInt64LE(at + 32);
      if (table.readUInt32LE(at) !== PT_LOAD || size === 0n) continue;
      segments.push({ address: table.readBigUInt64LE(at + 16), offset: table.readBigUInt64LE(at + 8), size });
    }
    return segments;
  } finally {
    closeSync(file);
  }
}

/** The bytes of memory at `address`, found through the segments; undefined where the file does not hold them. */
export function readSegments(
  path: string,
  segments: readonly Segment[],
  address: bigint,
  length: number,
): Buffer | undefined {
  const at = segments.find((s) => s.address <= address && address + BigInt(length) <= s.address + s.size);
  if (at === undefined) return undefined;
  const file = openSync(path, 'r');
  try {
    return readAt(file, length, Number(at.offset + address - at.address));
  } finally {
    closeSync(file);
  }
}

function readAt(file: number, length: number, position: number): Buffer {
  const buffer = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const got = readSync(file, buffer, done, length - done, position + done);
    if (got === 0) throw new Error(`file ends at ${position + done}, wanted ${length} bytes at ${position}`);
    done += got;
  }
  return buffer;
}

/** Copies ranges of a process's memory to a file while it runs: an image of no single instant. */
export function copyLive(
  pid: number,
  ranges: readonly { address: bigint; size: bigint }[],
  path: string,
): Segment[] {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const file = openSync(path, 'w');
  const segments: Segment[] = [];
  const buffer = Buffer.alloc(1 << 20);
  let offset = 0;
  try {
    for (const { address, size } of ranges) {
      segments.push({ address, offset: BigInt(offset), size });
      for (let done = 0n; done < size; ) {
        const wanted = Number(size - done < 1n << 20n ? size - done : 1n << 20n);
        const got = readSync(memory, buffer, 0, wanted, address + done);
        if (got === 0) throw new Error(`/proc/${pid}/mem: nothing at ${(address + done).toString(16)}`);
        for (let written = 0; written < got; ) {
          written += writeSync(file, buffer, written, got - written, offset + written);
        }
        offset += got;
        done += BigInt(got);
      }
    }
  } finally {
    closeSync(memory);
    closeSync(file);
  }
  return segments;
}

/** The same with the process stopped: an image of one instant, the plain and slow way. */
export async function copyHeld(
  pid: number,
  ranges: readonly { address: bigint; size: bigint }[],
  path: string,
): Promise<Segment[]> {
  process.kill(pid, 'SIGSTOP');
  try {
    await stopped(pid);
    return copyLive(pid, ranges, path);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

/** Waits until every thread of a process that was sent SIGSTOP stands still. */
export async function stopped(pid: number): Promise<void> {
  const moves = (tid: string): boolean =>
    !/^State:\tT/m.test(readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8'));
  while (readdirSync(`/proc/${pid}/task`).some(moves)) await sleep(1);
}
