/**
 * The bytes behind the typed arrays of one message. What several arrays share is sent once and is shared again on the other
 * side, so that overlap means there what it means here; what none of them reaches is not sent.
 */

/** A node that says where its bytes lie; filled in by {@link Buffers.finish}. */
interface Place {
  buffer: number;
  byteOffset?: number;
}

interface Range {
  readonly from: number;
  readonly to: number;
  readonly place: Place;
}

/** `"copy"` leaves the buffers as they are; `"move"` detaches them at once; `"give"` hands them over as they are. */
export type Passing = "copy" | "move" | "give";

/** Every copy begins at a multiple of this, so that elements stay aligned. */
const ALIGNMENT = 8;

export class Buffers {
  readonly #ranges = new Map<ArrayBufferLike, Range[]>();

  /** Notes that bytes are needed; `place` is told where they are when all are known. */
  add(buffer: ArrayBufferLike, from: number, byteLength: number, place: Place): void {
    const range = { from, to: from + byteLength, place };
    const ranges = this.#ranges.get(buffer);
    if (ranges === undefined) this.#ranges.set(buffer, [range]);
    else ranges.push(range);
  }

  /** All bytes that are needed, in buffers that can be transferred. What cannot be moved or given is copied. */
  finish(passing: Passing): ArrayBuffer[] {
    const buffers: ArrayBuffer[] = [];
    for (const [buffer, ranges] of this.#ranges) {
      const whole = passing === "copy" || isShared(buffer) ? undefined : passing === "give" ? buffer : moved(buffer);
      if (whole === undefined) copyRanges(buffer, ranges, buffers);
      else {
        for (const { from, place } of ranges) settle(place, buffers.length, from);
        buffers.push(whole);
      }
    }
    return buffers;
  }
}

function settle(place: Place, buffer: number, byteOffset: number): void {
  place.buffer = buffer;
  if ("byteOffset" in place) place.byteOffset = byteOffset;
}

/** Copies what ranges cover: those that overlap together, others on their own. */
function copyRanges(buffer: ArrayBufferLike, ranges: Range[], buffers: ArrayBuffer[]): void {
  ranges.sort((a, b) => a.from - b.from);
  for (let first = 0; first < ranges.length; ) {
    const start = ranges[first]!.from - (ranges[first]!.from % ALIGNMENT);
    let end = ranges[first]!.to;
    let next = first + 1;
    for (; next < ranges.length && ranges[next]!.from < end; next++) end = Math.max(end, ranges[next]!.to);
    for (const { from, place } of ranges.slice(first, next)) settle(place, buffers.length, from - start);
    buffers.push(new Uint8Array(buffer, start, end - start).slice().buffer);
    first = next;
  }
}

/** The buffer in new hands, detached here; undefined for one that cannot be, such as the memory of a wasm instance. */
function moved(buffer: ArrayBuffer): ArrayBuffer | undefined {
  try {
    const taken = structuredClone(buffer, { transfer: [buffer] });
    return buffer.byteLength === 0 ? taken : undefined;
  } catch {
    return undefined;
  }
}

function isShared(buffer: ArrayBufferLike): buffer is SharedArrayBuffer {
  return Object.prototype.toString.call(buffer) === "[object SharedArrayBuffer]";
}
