import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import type { AddressRange } from '../bytes/ranges.ts';
import type { RangeList } from '../engine/range-list.ts';
import { PF_R, PF_W, PF_X } from '../formats/elf-core/elf.ts';
import { coreHead, coreTail } from '../formats/elf-core/headers.ts';
import { type CoreLayout, type CoreSegment, layoutCore } from '../formats/elf-core/layout.ts';
import type { LivecoreNote, ReasonedRange } from '../formats/elf-core/livecore-note.ts';
import type { Text } from '../formats/elf-core/notes.ts';
import type { CoreProcess, FileMapping } from '../formats/elf-core/process-notes.ts';
import { type CoreThread, fpRegistersOf } from '../formats/elf-core/thread-notes.ts';
import { check } from '../linux/failure.ts';
import { truncateFile, writeFileAt } from '../linux/file.ts';
import { MappedMemory } from '../linux/memory.ts';
import type { Mapping } from '../linux/proc-maps.ts';
import type { ProcessFacts } from '../machines/process/facts.ts';
import type { T0 } from '../machines/process/machine.ts';
import { PAGE_BYTES } from '../machines/process/pages.ts';
import type { Region } from '../machines/process/regions.ts';
import type { ThreadRegisters } from '../machines/process/register-store.ts';
import { writeFailed } from './file-storage.ts';

/** Addresses from here on are the kernel's. */
const USER_END = 2 ** 47;

/** What the end of a core says of the snapshot. */
export interface Finding {
  readonly t0: T0;
  readonly pauseNs: number;
  readonly regions: readonly Region[];
  readonly threads: readonly ThreadRegisters[];
  readonly facts: ProcessFacts;
  readonly unreliable: RangeList;
  readonly lost: RangeList;
}

/** Where the memory of these regions stands in a core. */
export function layoutOf(regions: readonly Region[]): CoreLayout {
  return layoutCore(regions.filter(({ mapping }) => mapping.end < USER_END).flatMap(segmentsOf));
}

function segmentsOf({ mapping, handling }: Region): CoreSegment[] {
  const flags = (mapping.read ? PF_R : 0) | (mapping.write ? PF_W : 0) | (mapping.execute ? PF_X : 0);
  const start = BigInt(mapping.start);
  const end = BigInt(mapping.end);
  if (handling !== 'head') return [{ start, end, flags, stored: handling !== 'excluded' }];
  const headEnd = start + BigInt(PAGE_BYTES);
  const head: CoreSegment = { start, end: headEnd, flags, stored: true };
  return headEnd === end ? [head] : [head, { start: headEnd, end, flags, stored: false }];
}

/** Writes the first page and the tail, and gives the file its size. Returns the size. */
export function writeHeaders(fd: number, layout: CoreLayout, finding: Finding): number {
  const tail = coreTail(layout, processOf(finding), [...rangesOf(finding.lost)]);
  writeAt(fd, tail.bytes, layout.tailOffset);
  writeAt(fd, coreHead(layout, tail), 0);
  const size = layout.tailOffset + tail.bytes.length;
  check(truncateFile(fd, size), 'write the core', 'ftruncate');
  return size;
}

function writeAt(fd: number, bytes: Uint8Array, offset: number): void {
  // Aligned memory, for direct writes.
  using memory = new MappedMemory(bytes.length);
  memory.bytes.set(bytes);
  const result = writeFileAt(fd, memory.address, bytes.length, offset);
  if (result < 0) throw writeFailed(-result);
}

function processOf(finding: Finding): CoreProcess {
  const { facts, regions } = finding;
  return {
    info: facts.info,
    threads: finding.threads.map((thread) => threadOf(thread, facts)),
    auxv: facts.auxv,
    files: regions.filter(({ mapping }) => mapping.inode !== 0).map(fileOf),
    livecore: noteOf(finding),
  };
}

function threadOf(thread: ThreadRegisters, facts: ProcessFacts): CoreThread {
  const { info } = facts;
  return {
    tid: thread.tid,
    ppid: info.ppid,
    processGroup: info.processGroup,
    session: info.session,
    signal: thread.signal,
    pendingSignals: 0n,
    blockedSignals: thread.signalMask,
    times: facts.times(thread.tid),
    registers: thread.general,
    fpRegisters: fpRegistersOf(thread.xstate),
    xstate: thread.xstate,
    siginfo: thread.siginfo,
  };
}

function fileOf({ mapping }: Region): FileMapping {
  return {
    start: BigInt(mapping.start),
    end: BigInt(mapping.end),
    fileOffset: BigInt(mapping.offset),
    path: pathOf(mapping),
  };
}

function pathOf({ name, nameBytes, deleted }: Mapping): Text {
  const suffix = deleted ? ' (deleted)' : '';
  return nameBytes === undefined ? name + suffix : Buffer.concat([nameBytes, Buffer.from(suffix)]);
}

function noteOf(finding: Finding): LivecoreNote {
  const { t0, pauseNs, regions, facts, unreliable, lost } = finding;
  const reasonAt = (address: bigint): string =>
    regions.find(({ mapping }) => BigInt(mapping.start) <= address && address < BigInt(mapping.end))?.rule ??
    '';
  const reasoned = (list: RangeList, otherwise: string): ReasonedRange[] =>
    [...rangesOf(list)].map((range) => ({ ...range, reason: reasonAt(range.start) || otherwise }));
  return {
    t0: { wallNs: t0.wallNs, monotonicNs: BigInt(Math.round(t0.monotonicNs)) },
    pauseNs,
    strategy: 'protect',
    toolVersion: toolVersion(),
    kernelVersion: release(),
    threads: finding.threads.map(({ tid }) => ({ tid, name: facts.threadName(tid) })),
    unreliable: reasoned(unreliable, 'written past the protection'),
    lost: reasoned(lost, 'destroyed before it was copied'),
    excluded: regions
      .filter(({ handling, mapping }) => handling === 'excluded' && mapping.end < USER_END)
      .map(({ mapping, rule }) => ({ start: BigInt(mapping.start), end: BigInt(mapping.end), reason: rule })),
    complete: unreliable.length === 0 && lost.length === 0,
  };
}

function* rangesOf(list: RangeList): Generator<AddressRange, void, undefined> {
  const page = BigInt(PAGE_BYTES);
  for (const { first, count } of list)
    yield { start: BigInt(first) * page, end: BigInt(first + count) * page };
}

/** The version in package.json, which stands two folders above, in a checkout as in an installed package. */
export function toolVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
