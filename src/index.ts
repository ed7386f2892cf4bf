/** livecore: a core file of a running Linux process as it stood at one instant, without stopping it. */
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
export { Core } from './formats/elf-core/core.ts';
