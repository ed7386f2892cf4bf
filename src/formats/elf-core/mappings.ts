/** The memory map of a core: its PT_LOADs and its NT_FILE, brought together. */
import { type AddressRange, higher, lower } from '../../bytes/ranges.ts';
import type { DecodedFileMapping } from './process-notes.ts';
import type { Segment } from './program-headers.ts';

/** A range of memory that is alike in what is known of it. */
export interface Mapping extends AddressRange {
  /** PF_R | PF_W | PF_X; undefined where only the list of mapped files tells of the range */
  readonly flags: number | undefined;
  /** up to here from `start` on the core holds the content; `start` where it holds none */
  readonly contentEnd: bigint;
  /** the file that is mapped here */
  readonly file: { readonly path: string; readonly offset: bigint } | undefined;
}

/**
 * Goes along both lists at once and gives a range for each piece between their borders.
 *
 * @param segments ordered, disjoint
 * @param files ordered, disjoint
 */
export function* joinMappings(
  segments: readonly Segment[],
  files: readonly DecodedFileMapping[],
): Generator<Mapping, void, undefined> {
  let at = 0n;
  let segmentIndex = 0;
  let fileIndex = 0;
  while (segmentIndex < segments.length || fileIndex < files.length) {
    const segment = segments[segmentIndex];
    const file = files[fileIndex];
    if (segment !== undefined && segment.end <= at) segmentIndex++;
    else if (file !== undefined && file.end <= at) fileIndex++;
    else {
      const start = least(startFrom(segment, at), startFrom(file, at));
      const end = least(borderAfter(segment, start), borderAfter(file, start));
      yield describe(start, end, segment, file);
      at = end;
    }
  }
}

function describe(
  start: bigint,
  end: bigint,
  segment: Segment | undefined,
  file: DecodedFileMapping | undefined,
): Mapping {
  const loaded = segment !== undefined && segment.start <= start ? segment : undefined;
  const mapped = file !== undefined && file.start <= start ? file : undefined;
  return {
    start,
    end,
    flags: loaded?.flags,
    contentEnd: loaded === undefined ? start : lower(end, higher(start, loaded.contentEnd)),
    file: mapped && { path: mapped.path, offset: mapped.fileOffset + (start - mapped.start) },
  };
}

/** The first address of a range that is not before `at`. */
function startFrom(range: AddressRange | undefined, at: bigint): bigint | undefined {
  return range && higher(range.start, at);
}

/** The first border of a range after `start`. */
function borderAfter(range: AddressRange | undefined, start: bigint): bigint | undefined {
  return range === undefined || range.start > start ? range?.start : range.end;
}

/** The smaller one of two, of which one at least is there. */
function least(a: bigint | undefined, b: bigint | undefined): bigint {
  return a === undefined || b === undefined ? (a ?? b)! : lower(a, b);
}
