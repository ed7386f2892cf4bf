/**
 * An address as people and debuggers write it.
 *
 * @param digits pads with zeros to at least so many
 * @example
 * hex(4096n); // '0x1000'
 */
export function hex(value: bigint | number, digits = 0): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}
