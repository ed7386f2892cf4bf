import { fstatSync } from 'node:fs';

/** stat(2): st_blocks counts 512 bytes, whatever the file system's block is. */
const STAT_BLOCK_BYTES = 512;

/** What a file occupies; less than its size where it has holes. */
export function fileBytesOf(fd: number): number {
  return fstatSync(fd).blocks * STAT_BLOCK_BYTES;
}
