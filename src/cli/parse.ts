/** The values that options and arguments take, parsed with an error that says what would have been right. */
import { InvalidArgumentError } from 'commander';

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  K: 2 ** 10,
  KIB: 2 ** 10,
  M: 2 ** 20,
  MIB: 2 ** 20,
  G: 2 ** 30,
  GIB: 2 ** 30,
};

const DURATION_UNITS_MS: Readonly<Record<string, number>> = { '': 1, us: 0.001, ms: 1, s: 1000 };

/** Process ids end at PID_MAX_LIMIT, 4 * 1024 * 1024 on 64-bit kernels (proc(5), pid_max). */
const PID_MAX = 4 * 1024 * 1024;

/** `4711` */
export function parsePid(text: string): number {
  const pid = /^[0-9]{1,7}$/.test(text) ? Number(text) : 0;
  if (pid < 1 || pid > PID_MAX) throw new InvalidArgumentError('A process id is a number such as 4711.');
  return pid;
}

/** `64MiB`, `1G`, `65536`: bytes; K, M, G and KiB, MiB, GiB are powers of 1024. */
export function parseSize(text: string): number {
  const [, digits, unit] = /^([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)$/.exec(text) ?? [];
  const bytes = Math.floor(Number(digits) * (SIZE_UNITS[unit?.toUpperCase() ?? '?'] ?? Number.NaN));
  if (!Number.isSafeInteger(bytes) || bytes < 1) {
    throw new InvalidArgumentError('A size is a number with KiB, MiB or GiB behind it, such as 64MiB.');
  }
  return bytes;
}

/** `0.5`, `20ms`, `1s`: milliseconds. */
export function parseDurationMs(text: string): number {
  const [, digits, unit] = /^([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)$/.exec(text) ?? [];
  const ms = Number(digits) * (DURATION_UNITS_MS[unit ?? '?'] ?? Number.NaN);
  if (!Number.isFinite(ms) || ms <= 0) {
    throw new InvalidArgumentError('A duration is a number of milliseconds, or has us, ms or s behind it.');
  }
  return ms;
}
