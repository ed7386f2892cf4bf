/**
 * What <elf.h> declares for 64-bit ELF files, as far as a core of x86-64 needs it. System V gABI chapters 4 and 5;
 * the extended numbering is in elf(5) under e_phnum and e_shnum.
 */
import { type Struct, struct } from '../../bytes/struct.ts';

/** Where everything is aligned to: the page size of x86-64, and what O_DIRECT asks for. */
export const PAGE_BYTES = 4096;

/** of note headers and payloads in a core */
export const NOTE_ALIGNMENT = 4;

export const ELF_MAGIC = 0x464c_457f;
export const ELFCLASS32 = 1;
export const ELFCLASS64 = 2;
export const ELFDATA2LSB = 1;
export const EV_CURRENT = 1;
export const ET_CORE = 4;
export const EM_X86_64 = 62;
export const PN_XNUM = 0xffff;
export const SHT_NULL = 0;
export const SHT_NOTE = 7;
export const PT_LOAD = 1;
export const PT_NOTE = 4;
export const PF_X = 1;
export const PF_W = 2;
export const PF_R = 4;

/** NT_... of the notes in a core. A table, because src/linux has constants of these names for ptrace's register sets. */
export const NOTE_TYPE = {
  PRSTATUS: 1,
  FPREGSET: 2,
  PRPSINFO: 3,
  AUXV: 6,
  X86_XSTATE: 0x202,
  SIGINFO: 0x5349_4749,
  FILE: 0x4649_4c45,
} as const;

const elfHeaderFields = {
  ei_magic: 'u32',
  ei_class: 'u8',
  ei_data: 'u8',
  ei_version: 'u8',
  ei_osabi: 'u8',
  ei_abiversion: 'u8',
  _pad: 7,
  e_type: 'u16',
  e_machine: 'u16',
  e_version: 'u32',
  e_entry: 'u64',
  e_phoff: 'u64',
  e_shoff: 'u64',
  e_flags: 'u32',
  e_ehsize: 'u16',
  e_phentsize: 'u16',
  e_phnum: 'u16',
  e_shentsize: 'u16',
  e_shnum: 'u16',
  e_shstrndx: 'u16',
} as const;
export const ELF_HEADER: Struct<typeof elfHeaderFields> = struct('Elf64_Ehdr', 64, elfHeaderFields);

const programHeaderFields = {
  p_type: 'u32',
  p_flags: 'u32',
  p_offset: 'u64',
  p_vaddr: 'u64',
  p_paddr: 'u64',
  p_filesz: 'u64',
  p_memsz: 'u64',
  p_align: 'u64',
} as const;
export const PROGRAM_HEADER: Struct<typeof programHeaderFields> = struct(
  'Elf64_Phdr',
  56,
  programHeaderFields,
);

const sectionHeaderFields = {
  sh_name: 'u32',
  sh_type: 'u32',
  sh_flags: 'u64',
  sh_addr: 'u64',
  sh_offset: 'u64',
  sh_size: 'u64',
  sh_link: 'u32',
  sh_info: 'u32',
  sh_addralign: 'u64',
  sh_entsize: 'u64',
} as const;
export const SECTION_HEADER: Struct<typeof sectionHeaderFields> = struct(
  'Elf64_Shdr',
  64,
  sectionHeaderFields,
);

const noteHeaderFields = { n_namesz: 'u32', n_descsz: 'u32', n_type: 'u32' } as const;
export const NOTE_HEADER: Struct<typeof noteHeaderFields> = struct('Elf64_Nhdr', 12, noteHeaderFields);
