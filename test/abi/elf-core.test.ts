/** The constants and struct tables of the core format against <elf.h> and <sys/procfs.h>. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Struct } from '../../src/bytes/struct.ts';
import * as elf from '../../src/formats/elf-core/elf.ts';
import { FILE_NOTE_ENTRY, FILE_NOTE_HEAD, PRPSINFO } from '../../src/formats/elf-core/process-notes.ts';
import {
  FP_REGISTERS_BYTES,
  PRSTATUS,
  REGISTER_NAMES,
  REGISTERS_BYTES,
  SIGINFO_BYTES,
} from '../../src/formats/elf-core/thread-notes.ts';
import { evaluateC } from './c-program.ts';

const HEADERS =
  '#define _GNU_SOURCE\n#include <elf.h>\n#include <signal.h>\n#include <sys/procfs.h>\n#include <sys/user.h>';

/** What stands in e_ident has no field names in C. */
const IDENT: Readonly<Record<string, string>> = {
  ei_magic: 'e_ident[EI_MAG0]',
  ei_class: 'e_ident[EI_CLASS]',
  ei_data: 'e_ident[EI_DATA]',
  ei_version: 'e_ident[EI_VERSION]',
  ei_osabi: 'e_ident[EI_OSABI]',
  ei_abiversion: 'e_ident[EI_ABIVERSION]',
};

function compare(expected: ReadonlyMap<string, number>): void {
  const values = evaluateC(
    HEADERS,
    [...expected.keys()].map((expression) => ({ expression })),
  );
  assert.deepEqual(values, new Map([...expected].map(([expression, value]) => [expression, BigInt(value)])));
}

test('constants are those of elf.h', () => {
  const { NOTE_TYPE, ...others } = elf;
  const numbers = Object.entries(others).filter(
    ([name]) => name !== 'ELF_MAGIC' && !name.endsWith('_BYTES') && name !== 'NOTE_ALIGNMENT',
  );
  const expected = numbers.flatMap(([name, value]) =>
    typeof value === 'number' ? [[name, value] as const] : [],
  );
  assert.ok(expected.length >= 12);
  const types = Object.entries(NOTE_TYPE).map(([name, value]) => [`NT_${name}`, value] as const);
  compare(new Map([...expected, ...types, ['*(const unsigned *)ELFMAG', elf.ELF_MAGIC]]));
});

test('struct tables are those of the compiler', () => {
  const expected = new Map<string, number>();
  const tables: Struct[] = [
    elf.ELF_HEADER,
    elf.PROGRAM_HEADER,
    elf.SECTION_HEADER,
    elf.NOTE_HEADER,
    PRSTATUS,
    PRPSINFO,
  ];
  for (const { name, sizeBytes, at, size } of tables) {
    expected.set(`sizeof(${name})`, sizeBytes);
    for (const field of Object.keys(at).filter((key) => !key.startsWith('_pad'))) {
      expected.set(`offsetof(${name}, ${IDENT[field] ?? field})`, at[field]!);
      if (field !== 'ei_magic')
        expected.set(`sizeof(((${name} *)0)->${IDENT[field] ?? field})`, size[field]!);
    }
  }
  compare(expected);
});

test('payloads are as long as the structs of the kernel, registers in its order', () => {
  const registers = REGISTER_NAMES.map(
    (name, index) => [`offsetof(struct user_regs_struct, ${name})`, index * 8] as const,
  );
  compare(
    new Map([
      ...registers,
      ['sizeof(struct user_regs_struct)', REGISTERS_BYTES],
      ['sizeof(struct user_fpregs_struct)', FP_REGISTERS_BYTES],
      ['sizeof(siginfo_t)', SIGINFO_BYTES],
    ]),
  );
});

test('NT_FILE, which no header declares, is made of longs', () => {
  assert.deepEqual([FILE_NOTE_HEAD.sizeBytes, FILE_NOTE_ENTRY.sizeBytes], [16, 24]);
});
