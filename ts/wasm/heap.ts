/**
 * Which bytes of linear memory are in use: a free list kept on the JavaScript side (so no write into wasm memory can
 * damage it), sorted by address, neighbours joined. The first hole that is large enough is taken, which keeps the
 * high addresses free. Nothing here touches memory; growing is the owner's business.
 */

/** Every allocation starts at a multiple of this, and its size is rounded up to it: a cache line. */
export const ALIGNMENT = 64;

/** Bytes that an allocation of `byteLength` really takes. Exact below 2^53, unlike any 32-bit trick. */
export function roundUp(byteLength: number): number {
  return Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;
}

export class Heap {
  readonly #start: number;
  #end: number;
  /** Holes: addresses, ascending, and their sizes beside them. No two holes touch. */
  readonly #holes: number[] = [];
  readonly #sizes: number[] = [];

  /** @param start - first byte that may be given out; @param end - first byte behind the memory */
  constructor(start: number, end: number) {
    this.#start = roundUp(start);
    this.#end = this.#start;
    this.extend(end);
  }

  /** First address that may be given out. An allocation of no bytes is this address. */
  get start(): number {
    return this.#start;
  }

  /** First byte behind the managed range. */
  get end(): number {
    return this.#end;
  }

  /** All bytes that are free, in however many holes. */
  get freeByteLength(): number {
    let total = 0;
    for (const size of this.#sizes) total += size;
    return total;
  }

  /** Memory has grown: the bytes up to `end` may be given out too. */
  extend(end: number): void {
    const usable = Math.floor(end / ALIGNMENT) * ALIGNMENT;
    if (usable <= this.#end) return;
    const from = this.#end;
    this.#end = usable;
    this.#insert(from, usable - from);
  }

  /** Address of `byteLength` free bytes, or -1 where no hole is large enough. `byteLength` is a {@link roundUp} size. */
  allocate(byteLength: number): number {
    if (byteLength === 0) return this.#start;
    const sizes = this.#sizes;
    for (let hole = 0; hole < sizes.length; hole++) {
      const size = sizes[hole]!;
      if (size < byteLength) continue;
      const address = this.#holes[hole]!;
      if (size === byteLength) {
        this.#holes.splice(hole, 1);
        sizes.splice(hole, 1);
      } else {
        this.#holes[hole] = address + byteLength;
        sizes[hole] = size - byteLength;
      }
      return address;
    }
    return -1;
  }

  /** Gives back what {@link allocate} gave, with the same size. */
  free(address: number, byteLength: number): void {
    if (byteLength !== 0) this.#insert(address, byteLength);
  }

  /** How many bytes more the memory would need at its end for an allocation of `byteLength` to succeed. */
  shortfall(byteLength: number): number {
    const last = this.#holes.length - 1;
    const atEnd = last >= 0 && this.#holes[last]! + this.#sizes[last]! === this.#end ? this.#sizes[last]! : 0;
    return byteLength - atEnd;
  }

  /** Whether every byte of the range is given out (to whomever). */
  isAllocated(address: number, byteLength: number): boolean {
    if (address < this.#start || address + byteLength > this.#end) return false;
    const next = this.#search(address);
    if (next < this.#holes.length && this.#holes[next]! < address + byteLength) return false;
    return next === 0 || this.#holes[next - 1]! + this.#sizes[next - 1]! <= address;
  }

  /** Index of the first hole at or behind `address`. */
  #search(address: number): number {
    let low = 0;
    let high = this.#holes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#holes[middle]! < address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #insert(address: number, byteLength: number): void {
    const holes = this.#holes;
    const sizes = this.#sizes;
    const next = this.#search(address);
    const joinsLeft = next > 0 && holes[next - 1]! + sizes[next - 1]! === address;
    const joinsRight = next < holes.length && address + byteLength === holes[next]!;
    if (joinsLeft && joinsRight) {
      sizes[next - 1]! += byteLength + sizes[next]!;
      holes.splice(next, 1);
      sizes.splice(next, 1);
    } else if (joinsLeft) {
      sizes[next - 1]! += byteLength;
    } else if (joinsRight) {
      holes[next] = address;
      sizes[next]! += byteLength;
    } else {
      holes.splice(next, 0, address);
      sizes.splice(next, 0, byteLength);
    }
  }
}
