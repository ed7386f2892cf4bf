import { readProcText } from '../../linux/proc-file.ts';

/** What only /proc/PID/smaps tells of a mapping. Reading it walks the page tables: 10 ms a GiB, once, live. */
export interface MappingDetail {
  /** two-letter names, proc_pid_smaps(5): `dd` no dump, `io` device memory, `pf` raw page frames, `ht` huge TLB */
  readonly flags: ReadonlySet<string>;
  readonly kernelPageBytes: number;
}

/** Memory of a process as the kernel accounts it, in bytes. */
export interface MemoryAccount {
  readonly rssBytes: number;
  readonly pssBytes: number;
  readonly anonHugePageBytes: number;
  readonly swapBytes: number;
  readonly pageTableBytes: number;
}

const KIB = 1024;

/** Reads the details of all mappings, by start address. */
export function readMappingDetails(pid: number): Map<number, MappingDetail> {
  const details = new Map<number, MappingDetail>();
  let start = 0;
  let pageBytes = 4 * KIB;
  for (const line of readProcText(`/proc/${pid}/smaps`).split('\n')) {
    if (line.startsWith('VmFlags:')) {
      details.set(start, { flags: new Set(line.slice(8).trim().split(' ')), kernelPageBytes: pageBytes });
    } else if (line.startsWith('KernelPageSize:')) {
      pageBytes = Number.parseInt(line.slice(15), 10) * KIB;
    } else {
      const dash = line.indexOf('-');
      if (dash > 0 && dash <= 16 && !line.slice(0, dash).includes(':'))
        start = Number.parseInt(line.slice(0, dash), 16);
    }
  }
  return details;
}
