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
  /** First address that may be given out. An allocation of no bytes is this address. */
  readonly start: number;
  #end: number;
  /** Where holes begin and end, in turn, ascending. No two holes touch. */
  readonly #bounds: number[] = [];

  /** @param start - first byte that may be given out; @param end - first byte behind the memory */
  constructor(start: number, end: number) {
    this.start = this.#end = roundUp(start);
    this.extend(end);
  }

  /** First byte behind the managed range. */
  get end(): number {
    return this.#end;
  }

  /** Memory has grown: the bytes up to `end` may be given out too. */
  extend(end: number): void {
    const from = this.#end;
    this.#end = Math.max(from, Math.floor(end / ALIGNMENT) * ALIGNMENT);
    this.free(from, this.#end - from);
  }

  /** Address of `byteLength` free bytes, or -1 where no hole is large enough. `byteLength` is a {@link roundUp} size. */
  allocate(byteLength: number): number {
    if (byteLength === 0) return this.start;
    const bounds = this.#bounds;
    for (let hole = 0; hole < bounds.length; hole += 2) {
      const address = bounds[hole]!;
      const rest = address + byteLength;
      if (rest > bounds[hole + 1]!) continue;
      if (rest === bounds[hole + 1]) bounds.splice(hole, 2);
      else bounds[hole] = rest;
      return address;
    }
    return -1;
  }

  /** Gives back what {@link allocate} gave, with the same size. */
  free(address: number, byteLength: number): void {
    if (byteLength === 0) return;
    const bounds = this.#bounds;
    const end = address + byteLength;
    const next = this.#search(address);
    const left = bounds[next - 1] === address;
    const right = bounds[next] === end;
    if (left && right) bounds.splice(next - 1, 2);
    else if (left) bounds[next - 1] = end;
    else if (right) bounds[next] = address;
    else bounds.splice(next, 0, address, end);
  }

  /** How many bytes more the memory would need at its end for an allocation of `byteLength` to succeed. */
  shortfall(byteLength: number): number {
    const bounds = this.#bounds;
    return byteLength - (bounds.at(-1) === this.#end ? this.#end - bounds.at(-2)! : 0);
  }

  /** Whether every byte of the range is given out (to whomever). */
  isAllocated(address: number, byteLength: number): boolean {
    const next = this.#search(address);
    return address >= this.start && next % 2 === 0 && address + byteLength <= (this.#bounds[next] ?? this.#end);
  }

  /** How many bounds lie at or before `address`: an odd number within a hole. */
  #search(address: number): number {
    let low = 0;
    let high = this.#bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#bounds[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
