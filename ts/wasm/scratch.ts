/**
 * The arena for a call's temporaries: take a mark, allocate at will, release to the mark. It lives in a chunk of the
 * heap that is kept between calls; a call that outgrows it gets further chunks, and once they are released one chunk
 * of the size that was needed takes their place.
 */

import { roundUp } from "./heap.ts";
import type { LinearMemory } from "./memory.ts";

const SMALLEST_CHUNK = 65536;

interface Chunk {
  readonly address: number;
  readonly size: number;
  /** The arena's position at the chunk's first byte: the sizes of the chunks before it. */
  readonly base: number;
}

export class Scratch {
  readonly #memory: LinearMemory;
  readonly #chunks: Chunk[] = [];
  #position = 0;
  #highest = 0;
  #preferred = 0;

  constructor(memory: LinearMemory) {
    this.#memory = memory;
  }

  /** Bytes between the arena's start and its position: what temporaries use now. */
  get usedBytes(): number {
    return this.#position;
  }

  /** Bytes that {@link allocate} gives without asking the heap for more, and where they begin. */
  get room(): number {
    const chunk = this.#chunks.at(-1);
    return chunk === undefined ? 0 : chunk.base + chunk.size - this.#position;
  }
  get roomAddress(): number {
    const chunk = this.#chunks.at(-1);
    return chunk === undefined ? this.#memory.emptyAddress : chunk.address + (this.#position - chunk.base);
  }

  /** The place to {@link release} to. */
  mark(): number {
    return this.#position;
  }

  /**
   * Bytes until the next release past this point; content undefined, aligned to 64.
   *
   * @throws SaccadeError `ERR_SACCADE_OUT_OF_MEMORY`; the arena is unchanged then
   */
  allocate(byteLength: number, purpose: string): number {
    const size = roundUp(byteLength);
    if (size === 0) return this.#memory.emptyAddress;
    let chunk = this.#chunks.at(-1);
    if (chunk === undefined || this.#position + size > chunk.base + chunk.size) chunk = this.#addChunk(size, purpose);
    const address = chunk.address + (this.#position - chunk.base);
    this.#position += size;
    if (this.#position > this.#highest) this.#highest = this.#position;
    this.#memory.notePeak();
    return address;
  }

  /**
   * Gives up all that is in use, for memory that somebody may still write to: the arena begins anew elsewhere, and what
   * it had is free only when the function that this returns is called.
   */
  abandon(): () => void {
    const chunks = this.#chunks.splice(0);
    this.#position = 0;
    this.#highest = 0;
    return () => {
      for (const chunk of chunks) this.#memory.giveBack(chunk.address, chunk.size);
    };
  }

  /** Everything allocated since {@link mark} returned `mark` is free again. */
  release(mark: number): void {
    // Abandoned since then.
    if (mark > this.#position) return;
    this.#position = mark;
    if (mark === 0) {
      if (this.#chunks.length > 1) {
        this.#preferred = this.#highest;
        this.#dropFrom(0);
      }
      this.#highest = 0;
      return;
    }
    const kept = this.#chunks.findIndex((chunk) => chunk.base >= mark);
    if (kept > 0) this.#dropFrom(kept);
  }

  /** Gives an unused arena's chunk back to the heap; false where there was none to give. */
  dropIdle(): boolean {
    if (this.#position !== 0 || this.#chunks.length === 0) return false;
    this.#dropFrom(0);
    return true;
  }

  /** Whether a range touches a chunk of the arena. */
  overlaps(address: number, byteLength: number): boolean {
    return this.#chunks.some((chunk) => address < chunk.address + chunk.size && chunk.address < address + byteLength);
  }

  #addChunk(size: number, purpose: string): Chunk {
    this.dropIdle();
    const last = this.#chunks.at(-1);
    const base = last === undefined ? 0 : last.base + last.size;
    const wanted = Math.max(size, roundUp(this.#preferred - base), SMALLEST_CHUNK);
    this.#preferred = 0;
    const take = (bytes: number): Chunk => ({ address: this.#memory.take(bytes, purpose), size: bytes, base });
    let chunk: Chunk;
    try {
      chunk = take(wanted);
    } catch (error) {
      if (wanted === size) throw error;
      chunk = take(size);
    }
    this.#chunks.push(chunk);
    this.#position = base;
    return chunk;
  }

  #dropFrom(index: number): void {
    for (const chunk of this.#chunks.splice(index)) this.#memory.giveBack(chunk.address, chunk.size);
  }
}
