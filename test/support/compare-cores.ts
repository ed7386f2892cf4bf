/** What differs between the notes of two cores, field by field. */
import { isDeepStrictEqual } from 'node:util';
import type { Struct } from '../../src/bytes/struct.ts';
import type { Core } from '../../src/formats/elf-core/core.ts';
import { NOTE_TYPE } from '../../src/formats/elf-core/elf.ts';
import type { CoreNote } from '../../src/formats/elf-core/note-reader.ts';
import { PRPSINFO } from '../../src/formats/elf-core/process-notes.ts';
import { PRSTATUS, registersByName } from '../../src/formats/elf-core/thread-notes.ts';

/** Values by name: `prstatus.pr_ppid of 4711`, `auxv`, `file 0x7f... /usr/lib/libc.so.6`. */
type Facts = Map<string, unknown>;

/**
 * The names of the fields that differ, without the threads they are of: `prstatus.pr_ppid`, `note GDB 0xff000000`.
 * Order of notes does not count.
 */
export async function differingFields(left: Core, right: Core): Promise<string[]> {
  const [a, b] = [await factsOf(left), await factsOf(right)];
  const names = [...new Set([...a.keys(), ...b.keys()])];
  const differing = names.filter((name) => !isDeepStrictEqual(a.get(name), b.get(name)));
  return [...new Set(differing.map((name) => name.replace(/ of \d+$/, '')))].sort();
}

async function factsOf(core: Core): Promise<Facts> {
  const facts: Facts = new Map();
  const inThreads = new Set<number>();
  for await (const thread of core.threads()) {
    for (const note of thread.notes) {
      inThreads.add(note.position);
      await addNote(facts, note, ` of ${thread.tid}`);
    }
    for (const [name, value] of Object.entries(registersByName(thread.status.registers))) {
      facts.set(`register ${name} of ${thread.tid}`, value);
    }
  }
  for await (const note of core.notes()) if (!inThreads.has(note.position)) await addNote(facts, note, '');
  for (const { start, end, fileOffset, path } of await core.files()) {
    facts.set(`file ${path} at 0x${start.toString(16)}`, [end, fileOffset]);
  }
  return facts;
}

async function addNote(facts: Facts, note: CoreNote, suffix: string): Promise<void> {
  const bytes = await note.read();
  const is = (type: number) => note.owner === 'CORE' && note.type === type;
  if (is(NOTE_TYPE.FILE)) return;
  if (is(NOTE_TYPE.PRSTATUS)) addStruct(facts, 'prstatus', PRSTATUS, bytes, suffix);
  else if (is(NOTE_TYPE.PRPSINFO)) addStruct(facts, 'prpsinfo', PRPSINFO, bytes, suffix);
  else
    facts.set(`note ${note.owner} 0x${note.type.toString(16)}${suffix}`, Buffer.from(bytes).toString('hex'));
}

function addStruct(facts: Facts, name: string, layout: Struct, bytes: Uint8Array, suffix: string): void {
  for (const field of Object.keys(layout.at)) {
    if (field === 'pr_reg' || field.startsWith('_pad')) continue;
    const value = bytes.subarray(layout.at[field]!, layout.at[field]! + layout.size[field]!);
    facts.set(`${name}.${field}${suffix}`, Buffer.from(value).toString('hex'));
  }
}
