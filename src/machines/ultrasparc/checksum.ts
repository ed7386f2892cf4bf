const TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb8_8320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

/** CRC-32 (IEEE 802.3) of a number and the words that follow it, lowest byte first. */
export function crc32(words: Uint32Array, before: number): number {
  let crc = add(0xffff_ffff, before);
  for (const word of words) crc = add(crc, word);
  return ~crc >>> 0;
}

function add(crc: number, word: number): number {
  let value = crc ^ word;
  for (let byte = 0; byte < 4; byte++) value = TABLE[value & 0xff]! ^ (value >>> 8);
  return value >>> 0;
}
