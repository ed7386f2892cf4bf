import { LivecoreError } from '../../errors.ts';
import { checksum, LOG_MARK } from './bus.ts';
import { crc32 } from './checksum.ts';
import { type Computer, RECORD_HEAD_WORDS } from './computer.ts';

/**
 * A snapshot on mass storage: "the data from the copied blocks could be stored with information defining the
 * location of the blocks from the first storage, whereby the content of the first storage could be reconfigured
 * later."
 *
 * ```
 * head    twice, so that damage to one leaves the other:
 *         0 'LCLH'  4 first block  8 blocks  12 words a block  16 left out: n  20 unreliable: m
 *         24 n + m block numbers  then CRC-32
 * record  0 'LCLR'  4 block  8 CRC-32 of block and content  12 content
 * ```
 * All numbers are 32 bits, lowest byte first.
 */
const HEAD_MARK = 0x4c43_4c48;
const HEAD_WORDS = 6;

/** What a log is about. */
export interface LogHead {
  readonly firstBlock: number;
  readonly blocks: number;
  readonly wordsPerBlock: number;
  /** blocks that are not part of the snapshot */
  readonly leftOut: readonly number[];
  /** blocks whose records nobody vouches for */
  readonly unreliable: readonly number[];
}

/** What a log holds. */
export interface Rebuilt {
  readonly head: LogHead;
  readonly content: ReadonlyMap<number, Uint32Array>;
  /** blocks of the snapshot that no whole record was found of */
  readonly missing: readonly number[];
  /** byte positions at which a record should stand and does not, or is damaged */
  readonly damaged: readonly number[];
}

/** The log of a computer whose storage is mass storage, as the bytes of a file, with what the snapshot says about itself. */
export function exportLog(computer: Computer, about: Pick<LogHead, 'leftOut' | 'unreliable'>): Uint8Array {
  const { plan, places, state } = computer;
  const head = headWords({ ...plan, ...about });
  const records = state.words.subarray(places.storage, places.storage + state.words[places.logLength]!);
  const bytes = new Uint8Array((2 * head.length + records.length) * 4);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of [...head, ...head, ...records].entries()) view.setUint32(index * 4, word, true);
  return bytes;
}

/** Reads a log, whole or not: restores what it can and names what is missing. */
export function rebuild(bytes: Uint8Array): Rebuilt {
  const words = wordsOf(bytes);
  const found = findHead(words);
  if (found === undefined) {
    throw new LivecoreError('BAD_CORE', 'rebuild: the log has no whole head, so nothing says what it is of', {
      position: 0,
      length: bytes.length,
      cure: 'nothing can be restored from it',
    });
  }
  const { head, end } = found;
  const content = new Map<number, Uint32Array>();
  const damaged: number[] = [];
  const recordWords = RECORD_HEAD_WORDS + head.wordsPerBlock;
  for (let at = end; at * 4 < bytes.length; at += recordWords) {
    const block = words[at + 1];
    const data = words.subarray(at + RECORD_HEAD_WORDS, at + recordWords);
    const whole = data.length === head.wordsPerBlock && words[at] === LOG_MARK;
    if (whole && block !== undefined && isOf(head, block) && checksum(block, data, false) === words[at + 2]) {
      content.set(block, data.slice());
    } else {
      damaged.push(at * 4);
    }
  }
  const missing: number[] = [];
  for (let block = head.firstBlock; block < head.firstBlock + head.blocks; block++) {
    if (!content.has(block) && !head.leftOut.includes(block)) missing.push(block);
  }
  return { head, content, missing, damaged };
}

function isOf(head: LogHead, block: number): boolean {
  return block >= head.firstBlock && block < head.firstBlock + head.blocks && !head.leftOut.includes(block);
}

function headWords(head: LogHead): number[] {
  const { firstBlock, blocks, wordsPerBlock, leftOut, unreliable } = head;
  const lists = [leftOut.length, unreliable.length, ...leftOut, ...unreliable];
  const words = [HEAD_MARK, firstBlock, blocks, wordsPerBlock, ...lists];
  return [...words, crc32(Uint32Array.from(words), 0)];
}

/** The first whole one of the two heads, and where the records begin. */
function findHead(words: Uint32Array): { head: LogHead; end: number } | undefined {
  const first = headAt(words, 0);
  if (first !== undefined) return { head: first.head, end: 2 * first.words };
  // The damaged head may have its own length wrong: the second is looked for by its mark.
  for (let at = HEAD_WORDS + 1; at < words.length; at++) {
    const second = headAt(words, at);
    if (second !== undefined && second.words === at) return { head: second.head, end: 2 * at };
  }
  return undefined;
}

function headAt(words: Uint32Array, at: number): { head: LogHead; words: number } | undefined {
  if (words[at] !== HEAD_MARK) return undefined;
  const [, firstBlock, blocks, wordsPerBlock, leftOut, unreliable] = words.subarray(at, at + HEAD_WORDS);
  if (leftOut === undefined || unreliable === undefined) return undefined;
  const lists = at + HEAD_WORDS;
  const end = lists + leftOut + unreliable;
  if (end >= words.length) return undefined;
  if (crc32(words.subarray(at, end), 0) !== words[end]) return undefined;
  const head = {
    firstBlock: firstBlock!,
    blocks: blocks!,
    wordsPerBlock: wordsPerBlock!,
    leftOut: [...words.subarray(lists, lists + leftOut)],
    unreliable: [...words.subarray(lists + leftOut, end)],
  };
  return { head, words: end + 1 - at };
}

/** Whole words; what is left over at the end belongs to a record that was cut short. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint32Array.from({ length: bytes.length >>> 2 }, (_, index) => view.getUint32(index * 4, true));
}
