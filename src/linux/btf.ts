/** What the kernel says of its own types: /sys/kernel/btf/vmlinux (Documentation/bpf/btf.rst), 5 MB, 20 ms to look through. */

import {
  BTF_KIND_ARRAY,
  BTF_KIND_DATASEC,
  BTF_KIND_DECL_TAG,
  BTF_KIND_ENUM,
  BTF_KIND_ENUM64,
  BTF_KIND_FUNC,
  BTF_KIND_FUNC_PROTO,
  BTF_KIND_INT,
  BTF_KIND_STRUCT,
  BTF_KIND_UNION,
  BTF_KIND_VAR,
  BTF_MAGIC,
  O_CLOEXEC,
  O_RDONLY,
} from './abi.ts';
import { check } from './failure.ts';
import { closeFile, openFile, readFileAt } from './file.ts';
import { btfHeader } from './layouts.ts';
import { MappedMemory, scratch } from './memory.ts';

const VMLINUX = '/sys/kernel/btf/vmlinux';
/** of struct btf_type, struct btf_member: name, information, size or type; name, type, offset */
const WORDS = 3;

/** 32-bit words that follow a type: some for the kind, some for each of its members. The others have none. */
const TAILS: Readonly<Record<number, { readonly fixed: number; readonly each: number }>> = {
  [BTF_KIND_INT]: { fixed: 1, each: 0 },
  [BTF_KIND_ARRAY]: { fixed: 3, each: 0 },
  [BTF_KIND_STRUCT]: { fixed: 0, each: 3 },
  [BTF_KIND_UNION]: { fixed: 0, each: 3 },
  [BTF_KIND_ENUM]: { fixed: 0, each: 2 },
  [BTF_KIND_FUNC_PROTO]: { fixed: 0, each: 2 },
  [BTF_KIND_VAR]: { fixed: 1, each: 0 },
  [BTF_KIND_DATASEC]: { fixed: 0, each: 3 },
  [BTF_KIND_DECL_TAG]: { fixed: 1, each: 0 },
  [BTF_KIND_ENUM64]: { fixed: 0, each: 3 },
};

/** Types of one kernel. */
export class KernelTypes implements Disposable {
  readonly #memory: MappedMemory;
  readonly #words: Uint32Array;
  readonly #strings: Buffer;

  /** @throws LivecoreError SYSTEM_CALL: ENOENT where the kernel does not tell (CONFIG_DEBUG_INFO_BTF) */
  constructor() {
    using building = new DisposableStack();
    const file = check(openFile(VMLINUX, O_RDONLY | O_CLOEXEC), `open ${VMLINUX}`, 'openat', {
      path: VMLINUX,
    });
    building.defer(() => closeFile(file));
    const header = scratch(btfHeader.sizeBytes);
    readAll(file, header.address, btfHeader.sizeBytes);
    const field = (name: keyof typeof btfHeader.at): number =>
      header.view.getUint32(btfHeader.at[name], true);
    if (header.view.getUint16(btfHeader.at.magic, true) !== BTF_MAGIC) throw new Error(`${VMLINUX}: no BTF`);
    const types = field('hdr_len') + field('type_off');
    const strings = field('hdr_len') + field('str_off');
    const length = Math.max(types + field('type_len'), strings + field('str_len'));
    this.#memory = new MappedMemory(length, { populate: true });
    readAll(file, this.#memory.address, length);
    this.#words = this.#memory.uint32.subarray(types >>> 2, (types + field('type_len')) >>> 2);
    const { buffer, byteOffset } = this.#memory.bytes;
    this.#strings = Buffer.from(buffer as ArrayBuffer, byteOffset + strings, field('str_len'));
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }

  /** The id of a function, as bpf(2) wants it; undefined where there is none. */
  functionId(name: string): number | undefined {
    return this.#find(BTF_KIND_FUNC, name)?.id;
  }

  /** Offsets of members of a struct in bytes; undefined where it or one of them is not there. */
  offsets<const Names extends string>(
    type: string,
    members: readonly Names[],
  ): Record<Names, number> | undefined {
    const found = this.#find(BTF_KIND_STRUCT, type);
    if (found === undefined) return undefined;
    const names = members.map((name) => this.#nameAt(name));
    const offsets: Partial<Record<Names, number>> = {};
    const count = this.#words[found.at + 1]! & 0xffff;
    for (let member = 0; member < count; member++) {
      const at = found.at + WORDS + member * WORDS;
      const index = names.indexOf(this.#words[at]!);
      // Without bit fields the offset is in bits; with them (kind_flag) their size is in the upper 8 bits.
      if (index >= 0) offsets[members[index]!] = (this.#words[at + 2]! & 0xffffff) / 8;
    }
    return members.every((name) => name in offsets) ? (offsets as Record<Names, number>) : undefined;
  }

  #find(wantedKind: number, name: string): { id: number; at: number } | undefined {
    const words = this.#words;
    const wanted = this.#nameAt(name);
    for (let at = 0, id = 1; at < words.length; id++) {
      const information = words[at + 1]!;
      const kind = (information >>> 24) & 0x1f;
      if (kind === wantedKind && words[at] === wanted) return { id, at };
      const tail = TAILS[kind];
      at += WORDS + (tail === undefined ? 0 : tail.fixed + tail.each * (information & 0xffff));
    }
    return undefined;
  }

  /** Where a name stands among the strings: each stands there once, between two zero bytes. */
  #nameAt(name: string): number {
    const at = this.#strings.indexOf(`\0${name}\0`, 0, 'latin1');
    return at < 0 ? -1 : at + 1;
  }
}

/** From the beginning: sysfs gives a page at most at a time. */
function readAll(file: number, to: number, length: number): void {
  for (let done = 0; done < length; ) {
    const count = readFileAt(file, to + done, length - done, done);
    if (count <= 0) throw new Error(`${VMLINUX}: ended after ${done} of ${length} bytes`);
    done += count;
  }
}
