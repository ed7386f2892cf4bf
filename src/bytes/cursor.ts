/**
 * A reader of bytes that can't leave them: whatever asks for more than is there fails, with the position.
 */
import { type Fields, getBigField, getField, type IntegerField, type Struct } from './struct.ts';

/** Makes the error of a format: what is wrong, and at which byte of the file. */
export type Fail = (problem: string, position: number) => Error;

/** Reads one struct that a cursor has passed over. */
export interface FieldReader<F extends Fields> {
  get(field: IntegerField<F>): number;
  /** exact above 2^53 too */
  big(field: IntegerField<F>): bigint;
  /** an error at the place of the field; the message begins with its name */
  error(field: keyof F, problem: string): Error;
}

/** Walks over bytes that stand at `position` of a file. */
export class Cursor {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #origin: number;
  readonly #fail: Fail;
  #at = 0;

  constructor(bytes: Uint8Array, position: number, fail: Fail) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#origin = position;
    this.#fail = fail;
  }

  /** position in the file */
  get position(): number {
    return this.#origin + this.#at;
  }

  get remaining(): number {
    return this.bytes.length - this.#at;
  }

  /** Passes over `length` bytes and gives their index in `bytes` and `view`. */
  take(length: number, what: string): number {
    if (length > this.remaining) {
      throw this.error(`${what} takes ${length} bytes, ${this.remaining} are left`);
    }
    const index = this.#at;
    this.#at += length;
    return index;
  }

  /** Passes over a struct and gives a reader of its fields. */
  record<F extends Fields>(layout: Struct<F>): FieldReader<F> {
    const base = this.take(layout.sizeBytes, layout.name);
    return {
      get: (field) => getField(layout, this.view, base, field),
      big: (field) => getBigField(layout, this.view, base, field),
      error: (field, problem) =>
        this.#fail(`${String(field)} ${problem}`, this.#origin + base + layout.at[field]),
    };
  }

  /** Passes over `length` bytes and gives a view of them. */
  slice(length: number, what: string): Uint8Array {
    const index = this.take(length, what);
    return this.bytes.subarray(index, index + length);
  }

  /** Passes over the bytes up to a NUL and over the NUL; gives a view of the bytes. */
  untilNul(what: string): Uint8Array {
    const end = this.bytes.indexOf(0, this.#at);
    if (end < 0) throw this.error(`${what} has no end`);
    const slice = this.bytes.subarray(this.#at, end);
    this.#at = end + 1;
    return slice;
  }

  /** An error at the place that is read next. */
  error(problem: string): Error {
    return this.#fail(problem, this.position);
  }
}
