/** Parts of documents that are made: what stands between `<!-- made by ... -->` and `<!-- end -->`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const END = '<!-- end -->';

/**
 * A document with a part made anew.
 *
 * @param maker what its first marker says: `made by npm run bench`
 * @param block without a newline at its end
 * @throws Error where the document has lost its markers
 */
export function withBlock(document: string, maker: string, block: string): string {
  const marker = `<!-- ${maker} -->\n`;
  const begin = document.indexOf(marker) + marker.length;
  const end = document.indexOf(END, begin);
  if (begin < marker.length || end < 0)
    throw new Error(`no ${marker.trim()} with its ${END} in the document`);
  return `${document.slice(0, begin)}${block}\n${document.slice(end)}`;
}

/** Writes a part of a document of the project anew, whose path is from its root. */
export function writeBlock(path: string, maker: string, block: string): void {
  const file = join(ROOT, path);
  writeFileSync(file, withBlock(readFileSync(file, 'utf8'), maker, block));
}
