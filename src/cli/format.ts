/** Numbers as people read them. */

const SIZE_STEPS: readonly (readonly [bytes: number, unit: string])[] = [
  [2 ** 40, 'TiB'],
  [2 ** 30, 'GiB'],
  [2 ** 20, 'MiB'],
  [2 ** 10, 'KiB'],
];

/** `1.5 GiB`, `12 KiB`, `100 bytes` */
export function formatSize(bytes: number): string {
  const step = SIZE_STEPS.find(([least]) => bytes >= least);
  return step === undefined ? `${bytes} bytes` : `${formatNumber(bytes / step[0])} ${step[1]}`;
}

/** `850 µs`, `0.21 ms`, `1.4 s` */
export function formatMs(ms: number): string {
  if (ms >= 1000) return `${formatNumber(ms / 1000)} s`;
  return ms >= 0.1 || ms === 0 ? `${formatNumber(ms)} ms` : `${formatNumber(ms * 1000)} µs`;
}

/** `262,144` */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}

/** Three digits, as many decimals as that leaves: `1.23`, `12.3`, `123`. */
export function formatNumber(value: number): string {
  const decimals = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return String(Number(value.toFixed(decimals)));
}

/** Lines of at most so many columns, broken between words. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1)!;
    if (last !== '' && last.length + 1 + word.length > columns) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}
