/** Reads a core with our reader and writes what was read with our writer. */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { type AddressRange, joinRanges, subtractRanges } from '../../src/bytes/ranges.ts';
import type { Core } from '../../src/formats/elf-core/core.ts';
import { PF_R, PF_X } from '../../src/formats/elf-core/elf.ts';
import { coreHead, coreTail } from '../../src/formats/elf-core/headers.ts';
import { type CoreSegment, layoutCore } from '../../src/formats/elf-core/layout.ts';
import type { CoreProcess } from '../../src/formats/elf-core/process-notes.ts';

const CHUNK_BYTES = 1 << 20;

export async function rewriteCore(core: Core, path: string): Promise<void> {
  const process = await processOf(core);
  const layout = layoutCore(await segmentsOf(core, process.files ?? []));
  const tail = coreTail(layout, process);
  const file = openSync(path, 'wx', 0o600);
  try {
    ftruncateSync(file, layout.tailOffset);
    for (const { start, end, stored } of layout.segments) {
      for (let at = start; stored && at < end; at += BigInt(CHUNK_BYTES)) {
        const bytes = await core.read(at, Math.min(CHUNK_BYTES, Number(end - at)));
        writeSync(file, bytes, 0, bytes.length, layout.fileOffset(Number(at)));
      }
    }
    writeSync(file, tail.bytes, 0, tail.bytes.length, layout.tailOffset);
    writeSync(file, coreHead(layout, tail), 0, 4096, 0);
  } finally {
    closeSync(file);
  }
}

async function processOf(core: Core): Promise<CoreProcess> {
  const threads = await Array.fromAsync(core.threads());
  const auxv = await core.auxv();
  return {
    threads: threads.map((thread) => thread.status),
    files: await core.files(),
    ...(core.process && { info: { ...core.process } }),
    ...(auxv && { auxv }),
    ...(core.livecore && { livecore: core.livecore }),
  };
}

/** The segments of the core, and the mapped files of which it holds nothing (gcore leaves them out). */
async function segmentsOf(core: Core, files: readonly AddressRange[]): Promise<CoreSegment[]> {
  const segments: CoreSegment[] = [];
  for await (const { start, end, contentEnd, flags } of core.segments()) {
    if (contentEnd > start) segments.push({ start, end: contentEnd, flags, stored: true });
    if (contentEnd < end) segments.push({ start: contentEnd, end, flags, stored: false });
  }
  const known = joinRanges(segments);
  for (const file of files) {
    for (const part of subtractRanges(file, known))
      segments.push({ ...part, flags: PF_R | PF_X, stored: false });
  }
  return segments
    .sort((a, b) => (a.start < b.start ? -1 : 1))
    .map(({ start, end, flags, stored }) => ({ start, end, flags, stored }));
}
