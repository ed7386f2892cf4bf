/** livecore: a core file of a running Linux process as it stood at one instant, without stopping it. */

export type { AddressRange } from './bytes/ranges.ts';
export { dump } from './dump.ts';
export type {
  DumpOptions,
  DumpPhase,
  DumpPlan,
  DumpProgress,
  DumpSummary,
  LeftOutRange,
  TargetMemory,
} from './dump-types.ts';
export { type ErrorCode, type ErrorFields, LivecoreError } from './errors.ts';
export { Core, type Thread } from './formats/elf-core/core.ts';
export type { LivecoreNote, ReasonedRange, ThreadName } from './formats/elf-core/livecore-note.ts';
export type { Mapping } from './formats/elf-core/mappings.ts';
export type { CoreNote } from './formats/elf-core/note-reader.ts';
export type { DecodedFileMapping, DecodedProcessInfo } from './formats/elf-core/process-notes.ts';
export type { Segment } from './formats/elf-core/program-headers.ts';
export type { CoreThread, CpuTimes } from './formats/elf-core/thread-notes.ts';
