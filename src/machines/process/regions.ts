import type { Mapping } from '../../linux/proc-maps.ts';
import type { MappingDetail } from './smaps.ts';

/**
 * How a mapping is captured:
 * - `protected`: private anonymous memory, write-protected and swept;
 * - `file`: a private mapping of a file: the process' own pages in the hold, the file's afterwards;
 * - `head`: the same, but nothing of it was written: only its first page, where that may be an ELF header;
 * - `shared`: memory that others may write without passing our protection: swept, and listed as unreliable;
 * - `excluded`: left out by a rule.
 */
export type Handling = 'protected' | 'file' | 'head' | 'shared' | 'excluded';

/** A mapping of the target and what is done about it ("region"). */
export interface Region {
  readonly mapping: Mapping;
  readonly handling: Handling;
  /** why it is excluded or unreliable; '' otherwise */
  readonly rule: string;
  /** bytes that are protected as one: 4096, or a huge TLB page */
  readonly pageBytes: number;
}

/** core(5), "Controlling which mappings are written to the core dump" */
export const CoredumpFilter = {
  anonymousPrivate: 1,
  anonymousShared: 2,
  filePrivate: 4,
  fileShared: 8,
  elfHeaders: 16,
  hugePrivate: 32,
  hugeShared: 64,
} as const;

/** What the rules look at. */
export interface Rules {
  /** bits of {@link CoredumpFilter} */
  readonly filter: number;
  /** `--all`: whatever can be read, but device memory */
  readonly all: boolean;
  /** whether a private mapping of a file holds pages of the process' own */
  readonly modified: (mapping: Mapping) => boolean;
  readonly details: ReadonlyMap<number, MappingDetail>;
}

const PAGE_BYTES = 4096;
/** The kernel's vDSO data changes while it is read and means nothing in a core; the kernel leaves it out too. */
const KERNEL_DATA = new Set(['[vvar]', '[vvar_vclock]', '[vsyscall]']);

/** Decides about one mapping, by the rules of the kernel's own core dumps (fs/coredump.c, vma_dump_size). */
export function classify(mapping: Mapping, rules: Rules): Region {
  const detail = rules.details.get(mapping.start);
  const pageBytes = detail?.kernelPageBytes ?? PAGE_BYTES;
  const region = (handling: Handling, rule = ''): Region => ({ mapping, handling, rule, pageBytes });
  if (KERNEL_DATA.has(mapping.name)) return region('excluded', 'vDSO data of the kernel');
  if (mapping.name === '[vdso]') return region('file');
  if (detail?.flags.has('io') || detail?.flags.has('pf')) return region('excluded', 'device memory');
  if (detail?.flags.has('dd') && !rules.all) return region('excluded', 'MADV_DONTDUMP');
  const wanted = (bit: number): boolean => rules.all || (rules.filter & bit) !== 0;
  if (mapping.shared) {
    const bit = sharedBit(mapping, pageBytes);
    return wanted(bit) ? region('shared', 'shared memory') : region('excluded', 'coredump_filter');
  }
  if (mapping.inode === 0) {
    const bit = pageBytes > PAGE_BYTES ? CoredumpFilter.hugePrivate : CoredumpFilter.anonymousPrivate;
    return wanted(bit) ? region('protected') : region('excluded', 'coredump_filter');
  }
  return region(...privateFile(mapping, rules, wanted));
}

function sharedBit(mapping: Mapping, pageBytes: number): number {
  if (pageBytes > PAGE_BYTES) return CoredumpFilter.hugeShared;
  return mapping.deleted ? CoredumpFilter.anonymousShared : CoredumpFilter.fileShared;
}

function privateFile(mapping: Mapping, rules: Rules, wanted: (bit: number) => boolean): [Handling, string] {
  if (wanted(CoredumpFilter.anonymousPrivate) && rules.modified(mapping)) return ['file', ''];
  if (wanted(CoredumpFilter.filePrivate)) return mapping.read ? ['file', ''] : ['excluded', 'not readable'];
  if (wanted(CoredumpFilter.elfHeaders) && mapping.offset === 0 && mapping.read) return ['head', ''];
  return ['excluded', 'unmodified file'];
}
