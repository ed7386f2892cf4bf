import { METHOD } from './method.ts';
import { PROCESSOR } from './processor.ts';
import type { Row } from './row.ts';
import { SUMMARY } from './summary.ts';
import { TTE } from './tte.ts';

/** Every row of docs/seed.md, in the document's order. */
export const ROWS: readonly Row[] = [...SUMMARY, ...PROCESSOR, ...TTE, ...METHOD];

/** What a row's line belongs to: the nearest declaration above it, as `Class.method`, `function` or `CONSTANT`. */
export function symbolOf(source: string, at: number): string {
  const above = `${source.slice(0, at)}${source.slice(at).split('\n', 1)[0]}`.split('\n');
  let method: string | undefined;
  for (let index = above.length - 1; index >= 0; index--) {
    const line = above[index]!;
    const top = /^(?:export )?(?:const|function\*?|class|interface|import) (\w+)/.exec(line);
    if (top !== null) {
      const isClass = /^(?:export )?class /.test(line);
      return isClass && method !== undefined ? `${top[1]}.${method}` : top[1]!;
    }
    if (/^(?:export )?import |^import /.test(line)) return 'imports';
    method ??= /^ {2}(?:get |set |async )?(#?\w+)\(/.exec(line)?.[1];
  }
  return '';
}
