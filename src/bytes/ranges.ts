/** Half-open ranges of addresses: `start` belongs to the range, `end` does not. */
export interface AddressRange {
  readonly start: bigint;
  readonly end: bigint;
}

export function lower(a: bigint, b: bigint): bigint {
  if (b < a) return b;
  return a;
}

export function higher(a: bigint, b: bigint): bigint {
  if (b > a) return b;
  return a;
}

/** The same addresses as ordered, disjoint ranges, none empty and none touching the next. */
export function joinRanges(ranges: readonly AddressRange[]): AddressRange[] {
  const sorted = ranges.filter((range) => range.start < range.end);
  sorted.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  const joined: { start: bigint; end: bigint }[] = [];
  for (const range of sorted) {
    const last = joined.at(-1);
    if (last === undefined || range.start > last.end) joined.push({ start: range.start, end: range.end });
    else if (range.end > last.end) last.end = range.end;
  }
  return joined;
}

/**
 * What is left of `range` without the ranges of `holes`.
 *
 * @param holes ordered and disjoint, as joinRanges gives them
 */
export function subtractRanges(range: AddressRange, holes: readonly AddressRange[]): AddressRange[] {
  const left: AddressRange[] = [];
  let start = range.start;
  for (let index = firstEndingAfter(holes, range.start); index < holes.length; index++) {
    const hole = holes[index]!;
    if (hole.start >= range.end) break;
    if (hole.start > start) left.push({ start, end: hole.start });
    start = hole.end;
  }
  if (start < range.end) left.push({ start, end: range.end });
  return left;
}

/** What `range` shares with the ranges of `others`, which are ordered and disjoint. */
export function intersectRanges(range: AddressRange, others: readonly AddressRange[]): AddressRange[] {
  const shared: AddressRange[] = [];
  for (let index = firstEndingAfter(others, range.start); index < others.length; index++) {
    const other = others[index]!;
    if (other.start >= range.end) break;
    shared.push({ start: higher(range.start, other.start), end: lower(range.end, other.end) });
  }
  return shared;
}

/** The index of the first of `ranges`, ordered and disjoint, that ends after `address`; their number if none does. */
export function firstEndingAfter(ranges: readonly AddressRange[], address: bigint): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle]!.end <= address) low = middle + 1;
    else high = middle;
  }
  return low;
}
