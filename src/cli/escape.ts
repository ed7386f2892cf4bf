/**
 * Names that a target chose (threads, files, arguments) may hold sequences that a terminal obeys, or that make a
 * line read as something else. Nothing of a target reaches a terminal but through here.
 */

/**
 * Control characters (C0, DEL, C1), invisible ones that turn or join text (bidirectional overrides, zero width,
 * tags), line and paragraph separators, lone surrogates, what Unicode has not assigned or leaves to private use.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

/**
 * The text with everything unsafe as `\x1b` or `\u{202e}`, and `\` as `\\`, so that it can be told from them.
 *
 * @example
 * escapeText('a\u001b[2J'); // 'a\\x1b[2J'
 */
export function escapeText(text: string): string {
  return text.replaceAll('\\', '\\\\').replace(UNSAFE, (character) => {
    const code = character.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** The same JSON with everything unsafe as `\uXXXX`: any JSON reader gives the same value for it. */
export function escapeJson(json: string): string {
  return json.replace(UNSAFE, (character) =>
    Array.from({ length: character.length }, (_, index) => {
      return `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`;
    }).join(''),
  );
}
