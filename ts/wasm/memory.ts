/**
 * One instance's linear memory: the heap for tensors, the scratch arena for a call's temporaries, and the typed
 * arrays over it. Memory grows in `#grow` and nowhere else (the wasm itself never grows it), and growing detaches
 * every earlier typed array; so views are taken anew whenever the buffer is another one, and callers take them after
 * their last allocation, never across one.
 */

import { SaccadeError } from "../errors.ts";
import { Heap, roundUp } from "./heap.ts";
import { Scratch } from "./scratch.ts";

/** Bytes of a wasm page. */
export const PAGE_BYTE_LENGTH = 65536;

/** The last page below 4 GiB stays unused, so that the end of any range still fits in 32 bits. */
export const MAXIMUM_PAGES = 65535;

/** The most pages by which the memory grows unasked: 4 MiB. */
const GENEROUS_PAGES = 64;

/** Typed arrays over one buffer of the memory. Indices are `pointer >>> 2` (or `>>> 3`), pointers may pass 2 GiB. */
export interface MemoryViews {
  readonly buffer: ArrayBuffer;
  readonly u8: Uint8Array<ArrayBuffer>;
  readonly u16: Uint16Array<ArrayBuffer>;
  readonly i32: Int32Array<ArrayBuffer>;
  readonly u32: Uint32Array<ArrayBuffer>;
  readonly f32: Float32Array<ArrayBuffer>;
  readonly f64: Float64Array<ArrayBuffer>;
}

function viewsOver(buffer: ArrayBuffer): MemoryViews {
  return {
    buffer,
    u8: new Uint8Array(buffer),
    u16: new Uint16Array(buffer),
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
    f32: new Float32Array(buffer),
    f64: new Float64Array(buffer),
  };
}

export class LinearMemory {
  readonly #memory: WebAssembly.Memory;
  readonly #heap: Heap;
  /** The most bytes that this memory can have. */
  readonly limitBytes: number;
  readonly #earlier = new WeakSet<ArrayBufferLike>();
  #views: MemoryViews;
  #heldBytes = 0;
  /** The largest {@link liveBytes} so far. */
  peakBytes = 0;
  /** The arena of calls that run to their end. */
  readonly #own: Scratch;
  /** Further arenas, which stand in for {@link scratch} from time to time. */
  readonly arenas: Set<Scratch> = new Set();
  /** Temporaries of the running call. */
  scratch: Scratch;

  /**
   * @param memory - the memory that the module imports
   * @param heapStart - first byte that the module does not use
   * @param maximumPages - pages that it may grow to
   */
  constructor(memory: WebAssembly.Memory, heapStart: number, maximumPages: number) {
    this.#memory = memory;
    this.limitBytes = Math.min(maximumPages, MAXIMUM_PAGES) * PAGE_BYTE_LENGTH;
    this.#views = viewsOver(memory.buffer as ArrayBuffer);
    this.#heap = new Heap(heapStart, Math.min(memory.buffer.byteLength, this.limitBytes));
    this.#own = new Scratch(this);
    this.scratch = this.#own;
  }

  /** Whether a buffer is that of this memory, as it is or, where it is shared, as it was before it grew. */
  owns(buffer: ArrayBufferLike): boolean {
    return buffer === this.views().buffer || this.#earlier.has(buffer);
  }

  /** Views over the buffer of this moment: valid until the next allocation. */
  views(): MemoryViews {
    const buffer = this.#memory.buffer as ArrayBuffer;
    if (buffer !== this.#views.buffer) {
      // A buffer that is not shared detaches when the memory grows; a shared one stays, with the length it had.
      if (!(buffer instanceof ArrayBuffer)) this.#earlier.add(this.#views.buffer);
      this.#views = viewsOver(buffer);
    }
    return this.#views;
  }

  /** Bytes of the memory now, used or not. */
  get byteLength(): number {
    return this.#memory.buffer.byteLength;
  }

  /** Bytes in use: tensors, and temporaries while a call runs. */
  get liveBytes(): number {
    let bytes = this.#heldBytes + this.#own.usedBytes;
    if (this.arenas.size > 0) for (const arena of this.arenas) bytes += arena.usedBytes;
    return bytes;
  }

  /** An address that is in range and aligned, for views of no elements. */
  get emptyAddress(): number {
    return this.#heap.start;
  }

  /**
   * Takes bytes that stay in use until {@link free}; their content is whatever lay there.
   *
   * @param purpose - who asks, for the message when memory is out
   * @throws SaccadeError `ERR_SACCADE_OUT_OF_MEMORY`; nothing has changed then
   */
  allocate(byteLength: number, purpose: string): number {
    const size = roundUp(byteLength);
    const address = this.take(size, purpose);
    this.#heldBytes += size;
    this.notePeak();
    return address;
  }

  /** Gives back what {@link allocate} gave; `byteLength` as it was asked for. */
  free(address: number, byteLength: number): void {
    const size = roundUp(byteLength);
    this.#heap.free(address, size);
    this.#heldBytes -= size;
  }

  /** Whether a range lies in bytes that a caller holds: not in a hole, nor in an arena. */
  isHeld(address: number, byteLength: number): boolean {
    if (!this.#heap.isAllocated(address, byteLength) || this.#own.overlaps(address, byteLength)) return false;
    for (const arena of this.arenas) if (arena.overlaps(address, byteLength)) return false;
    return true;
  }

  /** For the scratch arena: bytes that are not counted as held. `size` is a {@link roundUp} size. */
  take(size: number, purpose: string): number {
    for (;;) {
      const address = this.#heap.allocate(size);
      if (address >= 0) return address;
      const refusal = this.#grow(size);
      // What the arena keeps for the next call is worth less than this allocation.
      if (refusal !== undefined && !this.#own.dropIdle()) throw outOfMemory(purpose, size, this, refusal.cause);
    }
  }

  /** For the scratch arena: gives back what {@link take} gave. */
  giveBack(address: number, size: number): void {
    this.#heap.free(address, size);
  }

  /** For the scratch arena: its use has risen. */
  notePeak(): void {
    const live = this.liveBytes;
    if (live > this.peakBytes) this.peakBytes = live;
  }

  /** The one place where memory grows. Afterwards the heap can give `size` bytes, or the reason why not is returned. */
  #grow(size: number): { readonly cause?: unknown } | undefined {
    const pages = this.byteLength / PAGE_BYTE_LENGTH;
    const needed = Math.ceil(this.#heap.shortfall(size) / PAGE_BYTE_LENGTH);
    const room = this.limitBytes / PAGE_BYTE_LENGTH - pages;
    if (needed > room) return {};
    // A quarter more than there is, so that many small tensors do not grow the memory (and detach views) one by one; but
    // no more than that saves: a large memory would hold megabytes that nobody asked for.
    const generous = Math.min(room, Math.max(needed, Math.min(pages >>> 2, GENEROUS_PAGES)));
    let refusal: { readonly cause?: unknown } | undefined;
    for (const more of [generous, needed]) {
      try {
        this.#memory.grow(more);
        this.#heap.extend(this.byteLength);
        return undefined;
      } catch (cause) {
        refusal = { cause };
      }
    }
    return refusal;
  }
}

/** The error for memory that cannot be had. */
export function outOfMemory(
  purpose: string,
  requestedBytes: number,
  { liveBytes, limitBytes }: LinearMemory,
  cause?: unknown,
): SaccadeError {
  return new SaccadeError(
    "ERR_SACCADE_OUT_OF_MEMORY",
    `${purpose}: ${requestedBytes} bytes of wasm memory are needed; ${liveBytes} bytes are in use and the limit is ` +
      `${limitBytes} bytes (memory.maximumMiB of init or createEngine)`,
    { requestedBytes, limitBytes, cause },
  );
}
