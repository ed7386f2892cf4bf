/** What `livecore show FILE` says of an open core: lines for people, records for programs. Nothing else happens here. */
import { constants } from 'node:os';
import { hex } from '../bytes/hex.ts';
import type { AddressRange } from '../bytes/ranges.ts';
import { type Core, rights, type Thread } from '../formats/elf-core/core.ts';
import type { LivecoreNote, ReasonedRange } from '../formats/elf-core/livecore-note.ts';
import type { Mapping } from '../formats/elf-core/mappings.ts';
import { escapeText } from './escape.ts';
import { formatCount, formatMs, formatSize } from './format.ts';

/** A JSON line: `core` first, then `thread`, `mapping` and `range` lines, `summary` last. */
export interface ShowRecord {
  readonly type: 'core' | 'thread' | 'mapping' | 'range' | 'summary';
  readonly [field: string]: unknown;
}

/** The report as lines without their newlines. All that comes from the target is escaped. */
export async function* showReport(core: Core): AsyncGenerator<string, void, undefined> {
  yield* describeCore(core);
  yield '';
  yield* describeThreads(core);
  yield '';
  yield* describeMappings(core);
  for (const [title, ranges] of rangesOf(core)) {
    yield '';
    yield* describeRanges(title, ranges);
  }
}

/** The report as JSON records. Addresses and 64-bit values are 0x strings; names are as the target gave them. */
export async function* showRecords(core: Core): AsyncGenerator<ShowRecord, void, undefined> {
  yield coreRecord(core);
  let threads = 0;
  for await (const thread of core.threads()) {
    threads++;
    yield threadRecord(thread);
  }
  let [mappings, memoryBytes, contentBytes] = [0, 0, 0];
  for await (const mapping of core.mappings()) {
    mappings++;
    memoryBytes += sizeOf(mapping);
    contentBytes += Number(mapping.contentEnd - mapping.start);
    yield mappingRecord(mapping);
  }
  const lists = rangesOf(core);
  for (const [, ranges, kind] of lists) {
    for (const { start, end, reason } of ranges) {
      yield {
        type: 'range',
        kind,
        start: hex(start),
        end: hex(end),
        sizeBytes: sizeOf({ start, end }),
        reason,
      };
    }
  }
  const sizes = Object.fromEntries(lists.map(([, ranges, kind]) => [`${kind}Bytes`, totalOf(ranges)]));
  yield { type: 'summary', complete: core.complete, threads, mappings, memoryBytes, contentBytes, ...sizes };
}

function* describeCore(core: Core): Generator<string, void, undefined> {
  const { process, livecore } = core;
  const subject =
    process === undefined
      ? 'a process that it does not name'
      : `${escapeText(process.name)}, pid ${process.pid}`;
  yield `${escapeText(core.path)}: core of ${subject}`;
  const row = (name: string, value: string) => `  ${name.padEnd(10)}  ${value}`;
  if (process !== undefined) yield row('command', escapeText(process.args.trimEnd()));
  if (livecore === undefined) yield row('written by', 'another tool, which does not say when and how');
  else yield* describeProvenance(livecore).map(([name, value]) => row(name, value));
  yield row('complete', describeCompleteness(core));
  yield row('file', formatSize(core.fileBytes));
}

function describeProvenance({
  t0,
  pauseNs,
  strategy,
  toolVersion,
  kernelVersion,
}: LivecoreNote): [string, string][] {
  return [
    ['T0', `${formatInstant(t0.wallNs)}, the memory is of this instant`],
    ['pause', formatMs(pauseNs / 1e6)],
    [
      'written by',
      `livecore ${escapeText(toolVersion)} (${escapeText(strategy)}) on Linux ${escapeText(kernelVersion)}`,
    ],
  ];
}

function describeCompleteness(core: Core): string {
  const faults: string[] = [];
  if (core.cut.length > 0) faults.push(`the file was cut, ${formatSize(totalOf(core.cut))} are missing`);
  const { lost = [], unreliable = [] } = core.livecore ?? {};
  if (lost.length > 0) faults.push(`${formatSize(totalOf(lost))} lost`);
  if (unreliable.length > 0) faults.push(`${formatSize(totalOf(unreliable))} unreliable`);
  if (core.complete) return core.livecore === undefined ? 'yes, as far as the file tells' : 'yes';
  return `no: ${faults.length > 0 ? faults.join(', ') : 'its writer says so'}`;
}

async function* describeThreads(core: Core): AsyncGenerator<string, void, undefined> {
  const rows: string[] = [];
  for await (const { tid, name, registers, status } of core.threads()) {
    const place = ['rip', 'rsp'].map((register) => hex(registers[register]!, 16)).join('  ');
    rows.push(
      `  ${String(tid).padStart(8)}  ${place}  ${signalName(status.signal).padEnd(8)}  ${escapeText(name ?? '')}`.trimEnd(),
    );
  }
  yield rows.length === 0 ? 'threads: none' : `threads: ${formatCount(rows.length)}`;
  if (rows.length === 0) return;
  yield `  ${'TID'.padStart(8)}  ${'RIP'.padEnd(18)}  ${'RSP'.padEnd(18)}  ${'SIGNAL'.padEnd(8)}  NAME`;
  yield* rows;
}

async function* describeMappings(core: Core): AsyncGenerator<string, void, undefined> {
  const rows: string[] = [];
  let [memoryBytes, contentBytes] = [0, 0];
  for await (const mapping of core.mappings()) {
    const content = Number(mapping.contentEnd - mapping.start);
    memoryBytes += sizeOf(mapping);
    contentBytes += content;
    const sizes = `${formatSize(sizeOf(mapping)).padStart(10)}  ${(content === 0 ? '-' : formatSize(content)).padStart(10)}`;
    const file =
      mapping.file === undefined ? '' : `${escapeText(mapping.file.path)} +${hex(mapping.file.offset)}`;
    rows.push(`  ${formatRange(mapping)}  ${rights(mapping.flags)}  ${sizes}  ${file}`.trimEnd());
  }
  yield `memory map: ${formatCount(rows.length)} ranges, ${formatSize(memoryBytes)}, of which ${formatSize(contentBytes)} in this file`;
  if (rows.length === 0) return;
  yield `  ${'START-END'.padEnd(37)}  RWX  ${'SIZE'.padStart(10)}  ${'CONTENT'.padStart(10)}  FILE`;
  yield* rows;
}

function* describeRanges(
  title: string,
  ranges: readonly ReasonedRange[],
): Generator<string, void, undefined> {
  if (ranges.length === 0) yield `${title}: none`;
  else yield `${title}: ${formatSize(totalOf(ranges))}`;
  for (const range of ranges) {
    yield `  ${formatRange(range)}  ${formatSize(sizeOf(range)).padStart(10)}  ${escapeText(range.reason)}`.trimEnd();
  }
}

/** What a core lacks or can't vouch for: a title, the ranges, the word for programs. */
function rangesOf(core: Core): [title: string, ranges: readonly ReasonedRange[], kind: string][] {
  const cut = core.cut.map((range) => ({ ...range, reason: '' }));
  const lists: [string, readonly ReasonedRange[], string][] = [];
  const { livecore } = core;
  if (livecore !== undefined) {
    lists.push(['unreliable (shown, but may have been written after T0)', livecore.unreliable, 'unreliable']);
    lists.push(['lost (destroyed before it could be copied)', livecore.lost, 'lost']);
    lists.push(['left out by a rule', livecore.excluded, 'excluded']);
  }
  if (cut.length > 0 || livecore === undefined) lists.push(['cut off with the end of the file', cut, 'cut']);
  return lists;
}

function coreRecord(core: Core): ShowRecord {
  const { process, livecore } = core;
  return {
    type: 'core',
    file: core.path,
    fileBytes: core.fileBytes,
    complete: core.complete,
    ...(process && {
      pid: process.pid,
      name: process.name,
      args: process.args,
      state: process.state,
      uid: process.uid,
      gid: process.gid,
    }),
    ...(livecore && {
      t0: formatInstant(livecore.t0.wallNs),
      t0MonotonicNs: String(livecore.t0.monotonicNs),
      pauseMs: livecore.pauseNs / 1e6,
      strategy: livecore.strategy,
      toolVersion: livecore.toolVersion,
      kernelVersion: livecore.kernelVersion,
    }),
  };
}

function threadRecord({ tid, name, registers, status }: Thread): ShowRecord {
  const values = Object.entries(registers).map(([register, value]) => [register, hex(value)]);
  return { type: 'thread', tid, name, signal: status.signal, registers: Object.fromEntries(values) };
}

function mappingRecord(mapping: Mapping): ShowRecord {
  return {
    type: 'mapping',
    start: hex(mapping.start),
    end: hex(mapping.end),
    sizeBytes: sizeOf(mapping),
    contentBytes: Number(mapping.contentEnd - mapping.start),
    rights: rights(mapping.flags),
    ...(mapping.file && { path: mapping.file.path, fileOffset: hex(mapping.file.offset) }),
  };
}

function formatRange({ start, end }: AddressRange): string {
  return `${hex(start, 16)}-${hex(end, 16)}`;
}

function sizeOf({ start, end }: AddressRange): number {
  return Number(end - start);
}

function totalOf(ranges: readonly AddressRange[]): number {
  return ranges.reduce((sum, range) => sum + sizeOf(range), 0);
}

/** ISO 8601 with nanoseconds. */
function formatInstant(wallNs: bigint): string {
  const date = new Date(Number(wallNs / 1_000_000n)).toISOString();
  const fraction = String(wallNs % 1_000_000_000n).padStart(9, '0');
  return date.replace(/\.\d+Z$/, `.${fraction}Z`);
}

function signalName(signal: number): string {
  if (signal === 0) return '-';
  const found = Object.entries(constants.signals).find(([, value]) => value === signal);
  return found === undefined ? String(signal) : found[0];
}
