/**
 * The memory of a cache: rows of pages, and the table by which the wasm finds their blocks. Every step either happens
 * whole or, where memory is out, not at all.
 */

import type { WasmInstance } from "../wasm/instance.ts";
import { BLOCK, type BlockFormat, blockByteLength, headByteLength } from "./format.ts";
import {
  cut,
  type Extent,
  emptyExtent,
  extended,
  type Geometry,
  heldBlocks,
  isRetained,
  pinnedEnd,
  placeOf,
} from "./geometry.ts";
import { type Page, Pages } from "./pages.ts";
import { type AddressOf, type Growth, Table } from "./table.ts";

/** A batch row. */
interface Row {
  extent: Extent;
  readonly pages: (Page | undefined)[];
}

/** A step that has been taken and can be taken back. */
interface Step {
  readonly row: Row;
  readonly index: number;
  /** What lay there before: nothing, or a page that others share. */
  readonly before: Page | undefined;
}

/** Entries of a row of a small table. */
const FEWEST_ENTRIES = 16;

export class Store {
  readonly instance: WasmInstance;
  readonly format: BlockFormat;
  readonly geometry: Geometry;
  readonly #headByteLength: number;
  /** Bytes from a head of a block to the next: those of the blocks of a page lie together, to be read on and on. */
  readonly #headStride: number;
  readonly #pages: Pages;
  readonly #table: Table;
  #rows: Row[];

  private constructor(pages: Pages, format: BlockFormat, geometry: Geometry, rows: Row[], caller: string) {
    this.instance = pages.instance;
    this.format = format;
    this.geometry = geometry;
    this.#headByteLength = headByteLength(format);
    this.#headStride = geometry.pageBlocks * this.#headByteLength;
    this.#pages = pages;
    this.#rows = rows;
    const longest = rows.reduce((most, { extent }) => Math.max(most, extent.length), 0);
    const blocks = Math.max(geometry.eager ? geometry.slots : FEWEST_ENTRIES, Math.ceil(longest / BLOCK));
    this.#table = new Table(this.instance, format, this.#headStride, rows.length, blocks, caller);
    this.#writeAll(caller);
  }

  /** Takes the memory of an empty cache. */
  static create(instance: WasmInstance, format: BlockFormat, geometry: Geometry, batch: number, caller: string): Store {
    const pages = new Pages(instance, geometry.pageBlocks * blockByteLength(format));
    const rows: Row[] = [];
    try {
      for (let b = 0; b < batch; b++) {
        rows.push({ extent: emptyExtent(geometry), pages: geometry.eager ? [pages.take(caller)] : [] });
      }
      return new Store(pages, format, geometry, rows, caller);
    } catch (error) {
      for (const row of rows) releaseAll(row, pages);
      throw error;
    }
  }

  /** What each row keeps. */
  get extents(): readonly Extent[] {
    return this.#rows.map(({ extent }) => extent);
  }

  /** Rows. */
  get batch(): number {
    return this.#rows.length;
  }

  /** The address by which the wasm finds the cache. */
  get address(): number {
    return this.#table.address;
  }

  /** The header for one batch row. */
  headerOfRow(row: number, caller: string): readonly number[] {
    return this.#table.headerOfRow(row, caller);
  }

  /** Makes rows longer, so that `write` can fill them; where that throws, or says no, all is as it was. */
  extend(lengths: readonly number[], caller: string, write: () => boolean): boolean {
    const end = this.extending(lengths, caller);
    let written = false;
    try {
      written = write();
      return written;
    } finally {
      end(written);
    }
  }

  /** The same in two steps: makes rows longer, and gives what is to be called with whether they have been filled. */
  extending(lengths: readonly number[], caller: string): (written: boolean) => void {
    const before = this.extents;
    const steps: Step[] = [];
    const most = lengths.reduce((most, length) => Math.max(most, length), 0);
    const growth = this.#table.grow(Math.ceil(most / BLOCK), caller);
    const end = (written: boolean): void => {
      if (written) growth?.commit();
      else this.#undo(steps, before, growth);
    };
    try {
      this.#rows.forEach((row, b) => {
        const { extent } = row;
        const length = lengths[b]!;
        if (length === extent.length) return;
        for (let block = Math.floor(extent.length / BLOCK); block * BLOCK < length; block++) {
          this.#own(row, block, steps, caller);
        }
        row.extent = extended(this.geometry, extent, length);
      });
      if (growth !== undefined) this.#writeAll(caller);
      else this.#writeChanged(before, steps, caller);
    } catch (error) {
      end(false);
      throw error;
    }
    return end;
  }

  /** Cuts rows; pages that hold nothing any more are given up, unless all were taken at the beginning. */
  truncate(lengths: readonly number[], caller: string): void {
    this.#rows.forEach((row, b) => {
      if (lengths[b] === row.extent.length) return;
      row.extent = cut(this.geometry, row.extent, lengths[b]!);
      if (!this.geometry.eager) this.#releaseUnused(row);
      this.#write(b, caller);
    });
  }

  /** Another store with the same content; pages are shared until one of the two writes to them. */
  fork(caller: string): Store {
    const rows = this.#rows.map(({ extent, pages }) => ({ extent, pages: [...pages] }));
    const fork = new Store(this.#pages, this.format, this.geometry, rows, caller);
    for (const row of rows) share(row);
    return fork;
  }

  /** Row b becomes what row `from[b]` was. */
  reorder(from: readonly number[], caller: string): void {
    const before = this.#rows;
    this.#rows = from.map((source) => {
      const { extent, pages } = before[source]!;
      const row = { extent, pages: [...pages] };
      share(row);
      return row;
    });
    for (const row of before) releaseAll(row, this.#pages);
    this.#writeAll(caller);
  }

  /** The bytes of a block that is there, where they lie, head by head. */
  headsOf(row: number, block: number, caller: string): readonly Uint8Array<ArrayBuffer>[] {
    const first = this.#addressOf(row, block)!;
    const { u8 } = this.instance.memory(caller).views();
    return Array.from({ length: this.format.numKvHeads }, (_, head) => {
      const at = first + head * this.#headStride;
      return u8.subarray(at, at + this.#headByteLength);
    });
  }

  /** Makes an empty row what its blocks will hold, and gives it memory for them. */
  restore(row: number, extent: Extent, caller: string): void {
    const target = this.#rows[row]!;
    for (const block of heldBlocks(this.geometry, extent)) this.#own(target, block, [], caller);
    target.extent = extent;
    const growth = this.#table.grow(Math.ceil(extent.length / BLOCK), caller);
    growth?.commit();
    if (growth !== undefined) this.#writeAll(caller);
    else this.#write(row, caller);
  }

  /** Gives all memory back. */
  dispose(): void {
    for (const row of this.#rows) releaseAll(row, this.#pages);
    this.#rows = [];
    this.#table.dispose();
  }

  readonly #addressOf: AddressOf = (b, block) => {
    const { extent, pages } = this.#rows[b]!;
    const first = block * BLOCK;
    const last = Math.min(first + BLOCK, extent.length) - 1;
    if (last < first || !isRetained(this.geometry, extent, last)) return undefined;
    const [page, at] = placeOf(this.geometry, block);
    return pages[page]!.address + at * this.#headByteLength;
  };

  #write(b: number, caller: string): void {
    this.#table.write(b, this.#addressOf, caller);
  }

  #writeAll(caller: string): void {
    this.#rows.forEach((_, b) => {
      this.#write(b, caller);
    });
  }

  /** Writes the entries of what has come and gone; all of a row where it has another page. */
  #writeChanged(before: readonly Extent[], steps: readonly Step[], caller: string): void {
    const end = pinnedEnd(this.geometry);
    this.#rows.forEach((row, b) => {
      const { length, start } = before[b]!;
      const after = row.extent;
      if (steps.some((step) => step.row === row)) this.#write(b, caller);
      else if (after.length !== length) {
        const write = (from: number, to: number): void => {
          this.#table.write(b, this.#addressOf, caller, Math.floor(from / BLOCK), Math.ceil(to / BLOCK));
        };
        write(length, after.length);
        if (after.start > start) write(Math.max(end, start), Math.min(after.start, length));
      }
    });
  }

  /** Makes the page of a block the row's own. */
  #own(row: Row, block: number, steps: Step[], caller: string): void {
    const [index] = placeOf(this.geometry, block);
    const before = row.pages[index];
    if (before?.references === 1) return;
    row.pages[index] = before === undefined ? this.#pages.take(caller) : this.#pages.own(before, caller);
    steps.push({ row, index, before });
  }

  #undo(steps: readonly Step[], before: readonly Extent[], growth: Growth | undefined): void {
    for (const { row, index, before: page } of [...steps].reverse()) {
      this.#pages.release(row.pages[index]!);
      row.pages[index] = page;
      if (page !== undefined) page.references += 1;
    }
    this.#rows.forEach((row, b) => {
      row.extent = before[b]!;
    });
    if (growth !== undefined) growth.undo();
    // After a trap the engine is lost, and the table with it.
    else if (this.instance.usable) this.#writeAll("KvCache");
  }

  #releaseUnused(row: Row): void {
    const used = new Set<number>();
    for (const block of heldBlocks(this.geometry, row.extent)) used.add(placeOf(this.geometry, block)[0]);
    row.pages.forEach((page, index) => {
      if (page === undefined || used.has(index)) return;
      this.#pages.release(page);
      row.pages[index] = undefined;
    });
  }
}

function share({ pages }: Row): void {
  for (const page of pages) if (page !== undefined) page.references += 1;
}

function releaseAll({ pages }: Row, pool: Pages): void {
  for (const page of pages) if (page !== undefined) pool.release(page);
  pages.length = 0;
}
