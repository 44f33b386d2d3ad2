/**
 * What a cache refuses because of what it holds: too many rows, positions that are not there or have been forgotten.
 */

import { SaccadeRangeError } from "../errors.ts";
import { MAXIMUM_SIZE } from "../layout/shape.ts";
import { type Extent, type Geometry, isRetained, isServed, longestOf, pinnedEnd } from "./geometry.ts";

function outOfRange(message: string): SaccadeRangeError {
  return new SaccadeRangeError("ERR_SACCADE_RANGE", message);
}

/** Proves that each batch row has room for what it adds. */
export function proveRoom(
  { capacity, left }: Geometry,
  starts: readonly number[],
  counts: readonly number[],
  caller: string,
): void {
  counts.forEach((count, row) => {
    const room = left === undefined ? capacity - starts[row]! : Math.min(capacity - left, MAXIMUM_SIZE - starts[row]!);
    if (count <= room) return;
    const why =
      left === undefined
        ? `holds ${starts[row]} of ${capacity} positions`
        : `takes at most capacity - left = ${capacity} - ${left} rows at once`;
    throw new SaccadeRangeError(
      "ERR_SACCADE_CACHE_FULL",
      `${caller}: ${count} rows for batch row ${row}, which ${why}`,
    );
  });
}

/** Proves that the keys of all query rows are kept. */
export function proveServed(
  geometry: Geometry,
  extents: readonly Extent[],
  qLengths: readonly number[],
  caller: string,
): void {
  extents.forEach((extent, row) => {
    const first = extent.length - qLengths[row]!;
    if (first >= extent.length || isServed(geometry, extent, Math.max(0, first))) return;
    throw outOfRange(
      `${caller}: query row 0 of batch row ${row} stands at position ${first} and sees ${geometry.left} keys before it, ` +
        `but the cache keeps those from ${extent.start} on`,
    );
  });
}

/** Proves that batch rows can be cut to one length, or to one each, and gives the lengths. */
export function proveCut(
  geometry: Geometry,
  extents: readonly Extent[],
  given: number | readonly number[],
  caller: string,
): readonly number[] {
  const most = longestOf(extents);
  if (typeof given === "number" && given > most) {
    throw outOfRange(`${caller}: n is ${given}; expected at most length, ${most}`);
  }
  return extents.map((extent, row) => {
    const length = typeof given === "number" ? Math.min(given, extent.length) : given[row]!;
    const name = typeof given === "number" ? "n" : `n[${row}]`;
    if (length > extent.length) {
      throw outOfRange(
        `${caller}: ${name} is ${length}; expected at most the length of the batch row, ${extent.length}`,
      );
    }
    if (length > pinnedEnd(geometry) && !isServed(geometry, extent, length)) {
      throw outOfRange(
        `${caller}: ${name} is ${length}, batch row ${row} keeps the positions from ${extent.start} on; expected at least ` +
          `${extent.start + geometry.left!}, so that the next token sees the ${geometry.left} keys of its window`,
      );
    }
    return length;
  });
}

/** Proves that positions are there to be read. */
export function proveKept(
  geometry: Geometry,
  extents: readonly Extent[],
  from: number,
  to: number,
  caller: string,
): void {
  const most = longestOf(extents);
  if (from > to || to > most) {
    throw outOfRange(`${caller}: positions ${from} to ${to}; expected 0 <= from <= to <= length, which is ${most}`);
  }
  extents.forEach((extent, row) => {
    const lost = Math.max(from, pinnedEnd(geometry));
    if (lost >= Math.min(to, extent.length) || isRetained(geometry, extent, lost)) return;
    throw outOfRange(
      `${caller}: position ${lost} of batch row ${row} has been forgotten; it keeps those from ${extent.start} on`,
    );
  });
}
