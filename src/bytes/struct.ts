/**
 * C structs as tables. A table lists every field in order, padding included, so that an offset is never written by
 * hand; the total is stated and asserted, and where a header declares the struct the ABI test compares both with it.
 *
 * All integers are little-endian: x86-64 and the ELF files of it know nothing else.
 */

/** Kind of a field: an integer by width and sign, or a number of raw bytes. */
export type FieldKind = 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'u64' | 'i64' | number;

/** The fields of a struct in order of their position. Names that begin with `_pad` are padding. */
export type Fields = Readonly<Record<string, FieldKind>>;

/** Layout of one C struct. */
export interface Struct<F extends Fields = Fields> {
  /** as C names it: `struct iovec`, `Elf64_Ehdr` */
  readonly name: string;
  readonly sizeBytes: number;
  readonly kinds: F;
  /** offset of each field in bytes */
  readonly at: { readonly [K in keyof F]: number };
  /** size of each field in bytes */
  readonly size: { readonly [K in keyof F]: number };
}

const INTEGER_SIZES: Readonly<Record<string, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  u64: 8,
  i64: 8,
};

/**
 * Lays out `fields` one after the other.
 *
 * @param sizeBytes total size that the fields must add up to, padding included
 * @throws Error when they do not, or when an integer is not aligned to its size: the table is wrong
 */
export function struct<const F extends Fields>(name: string, sizeBytes: number, fields: F): Struct<F> {
  const at: Record<string, number> = {};
  const size: Record<string, number> = {};
  let offset = 0;
  for (const [field, kind] of Object.entries(fields)) {
    const fieldSize = typeof kind === 'number' ? kind : INTEGER_SIZES[kind]!;
    if (typeof kind !== 'number' && offset % fieldSize !== 0) {
      throw new Error(`struct table ${name}: ${field} at ${offset} is not aligned to ${fieldSize}`);
    }
    at[field] = offset;
    size[field] = fieldSize;
    offset += fieldSize;
  }
  if (offset !== sizeBytes)
    throw new Error(`struct table ${name}: fields take ${offset} bytes, not ${sizeBytes}`);
  return { name, sizeBytes, kinds: fields, at: at as Struct<F>['at'], size: size as Struct<F>['size'] };
}

/** Names of the integer fields of a struct. */
export type IntegerField<F extends Fields> = { [K in keyof F]: F[K] extends number ? never : K }[keyof F];

/**
 * Reads an integer field of the struct at `base` of `view`.
 *
 * @returns its value; above 2^53 a 64-bit value loses its low bits, use {@link getBigField} for those
 */
export function getField<F extends Fields>(
  layout: Struct<F>,
  view: DataView,
  base: number,
  field: IntegerField<F>,
): number {
  const offset = base + layout.at[field];
  switch (layout.kinds[field]) {
    case 'u8':
      return view.getUint8(offset);
    case 'i8':
      return view.getInt8(offset);
    case 'u16':
      return view.getUint16(offset, true);
    case 'i16':
      return view.getInt16(offset, true);
    case 'u32':
      return view.getUint32(offset, true);
    case 'i32':
      return view.getInt32(offset, true);
    case 'u64':
      return Number(view.getBigUint64(offset, true));
    default:
      return Number(view.getBigInt64(offset, true));
  }
}

/** Reads an integer field of the struct at `base` of `view`, exactly. */
export function getBigField<F extends Fields>(
  layout: Struct<F>,
  view: DataView,
  base: number,
  field: IntegerField<F>,
): bigint {
  const offset = base + layout.at[field];
  if (layout.kinds[field] === 'u64') return view.getBigUint64(offset, true);
  if (layout.kinds[field] === 'i64') return view.getBigInt64(offset, true);
  return BigInt(getField(layout, view, base, field));
}

/** Writes an integer field of the struct at `base` of `view`; a value too wide is cut to the field, as in C. */
export function setField<F extends Fields>(
  layout: Struct<F>,
  view: DataView,
  base: number,
  field: IntegerField<F>,
  value: number | bigint,
): void {
  const offset = base + layout.at[field];
  switch (layout.size[field]) {
    case 1:
      view.setUint8(offset, Number(BigInt.asUintN(8, BigInt(value))));
      break;
    case 2:
      view.setUint16(offset, Number(BigInt.asUintN(16, BigInt(value))), true);
      break;
    case 4:
      view.setUint32(offset, Number(BigInt.asUintN(32, BigInt(value))), true);
      break;
    default:
      view.setBigUint64(offset, BigInt.asUintN(64, BigInt(value)), true);
  }
}
