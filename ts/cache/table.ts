/**
 * The table of a cache in wasm memory: a header that says what blocks are like, then the address of each block of each
 * batch row. Addresses do not move when the memory grows; views are taken anew for each write.
 */

import type { WasmInstance } from "../wasm/instance.ts";
import { type BlockFormat, CACHE_DTYPES, headByteLength } from "./format.ts";

/** Words of the header. */
const HEADER = 9;
/** Words before the entries: a cache line. */
const ENTRIES = 16;
/** The entry of a block that is not there. */
const ABSENT = 0xffffffff;

/** What an entry is. */
export type AddressOf = (row: number, block: number) => number | undefined;

/** A larger table in place of one that is still there. */
export interface Growth {
  /** Gives the smaller one back. */
  commit(): void;
  /** Takes the smaller one again, as it was. */
  undo(): void;
}

export class Table {
  readonly #instance: WasmInstance;
  readonly #format: BlockFormat;
  readonly #headStride: number;
  readonly #batch: number;
  #blocks: number;
  #address: number;

  /**
   * @param headStride - bytes from a head of a block to the next
   * @param blocks - entries of a row
   */
  constructor(
    instance: WasmInstance,
    format: BlockFormat,
    headStride: number,
    batch: number,
    blocks: number,
    caller: string,
  ) {
    this.#instance = instance;
    this.#format = format;
    this.#headStride = headStride;
    this.#batch = batch;
    this.#blocks = blocks;
    this.#address = instance.memory(caller).allocate(this.#byteLength(blocks), caller);
    this.#writeHeader(caller);
  }

  /** Where the wasm finds the cache. */
  get address(): number {
    return this.#address;
  }

  /** The header's words for one batch row alone. */
  headerOfRow(row: number, caller: string): number[] {
    const { u32 } = this.#instance.memory(caller).views();
    const header = [...u32.subarray(this.#address >>> 2, (this.#address >>> 2) + HEADER)];
    header[4] = 1;
    header[6] = this.#address + 4 * (ENTRIES + row * this.#blocks);
    return header;
  }

  /** Makes room for so many entries of a row, all of which are then to be written anew; undefined where there was room. */
  grow(blocks: number, caller: string): Growth | undefined {
    if (blocks <= this.#blocks) return undefined;
    const memory = this.#instance.memory(caller);
    const before = { address: this.#address, blocks: this.#blocks };
    const more = Math.max(blocks, 2 * before.blocks);
    this.#address = memory.allocate(this.#byteLength(more), caller);
    this.#blocks = more;
    this.#writeHeader(caller);
    const free = (address: number, count: number): void => {
      this.#instance.memoryIfAny?.free(address, this.#byteLength(count));
    };
    return {
      commit: () => free(before.address, before.blocks),
      undo: () => {
        free(this.#address, this.#blocks);
        this.#address = before.address;
        this.#blocks = before.blocks;
      },
    };
  }

  /** Writes the entries of a row from one block up to another. */
  write(row: number, addressOf: AddressOf, caller: string, from = 0, to = this.#blocks): void {
    const { u32 } = this.#instance.memory(caller).views();
    const at = (this.#address >>> 2) + ENTRIES + row * this.#blocks;
    for (let block = from; block < to; block++) u32[at + block] = addressOf(row, block) ?? ABSENT;
  }

  /** Gives the memory back. */
  dispose(): void {
    this.#instance.memoryIfAny?.free(this.#address, this.#byteLength(this.#blocks));
  }

  #byteLength(blocks: number): number {
    return 4 * (ENTRIES + this.#batch * blocks);
  }

  #writeHeader(caller: string): void {
    const { dtype, numKvHeads, headDim, valueHeadDim } = this.#format;
    const { u32 } = this.#instance.memory(caller).views();
    const entries = this.#address + 4 * ENTRIES;
    const header = [CACHE_DTYPES[dtype].code, numKvHeads, headDim, valueHeadDim, this.#batch, this.#blocks, entries];
    const end = (numKvHeads - 1) * this.#headStride + headByteLength(this.#format);
    u32.set([...header, this.#headStride, end], this.#address >>> 2);
  }
}
