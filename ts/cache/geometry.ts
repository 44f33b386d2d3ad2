/**
 * Which memory a position has: the one thing in which linear, paged and ring caches differ.
 *
 * Positions count from the first token on and never change; a block is 64 of them, from a multiple of 64 on. A batch row
 * has memory for `slots` blocks. Without a window block b is in slot b. With one the blocks of the first keys keep slots of
 * their own, and the blocks behind take turns in the rest, so that position p lies where p - 64 ringBlocks lay before:
 * ```text
 * first 1 block, ring of 3    slot   0 | 1 2 3
 *                             block  0 | 1 2 3, then 4 in slot 1, 5 in slot 2, …
 * ```
 */

import { BLOCK } from "./format.ts";

/** Sizes of a cache's memory. */
export interface Geometry {
  /** Positions that a batch row can keep (with a window: beside the pinned ones). */
  readonly capacity: number;
  /** With a window: how far a row looks back. */
  readonly left: number | undefined;
  /** Keys from the first one on that every row sees in spite of the window. */
  readonly first: number;
  /** Blocks that are never evicted. */
  readonly pinnedBlocks: number;
  /** Blocks that take turns; 0 without a window. */
  readonly ringBlocks: number;
  /** Blocks that a batch row has memory for. */
  readonly slots: number;
  /** Slots of a page: the memory that is taken, shared and copied as one. */
  readonly pageBlocks: number;
  /** Whether all pages are taken when the cache is made. */
  readonly eager: boolean;
}

/** What a cache is made with. */
export interface MemoryShape {
  readonly capacity: number;
  readonly window: { readonly left: number; readonly first: number } | undefined;
  readonly pageSize: number | undefined;
}

/** The memory of a cache. */
export function geometryOf({ capacity, window, pageSize }: MemoryShape): Geometry {
  const blocks = Math.ceil(capacity / BLOCK);
  const pinnedBlocks = window === undefined ? 0 : Math.ceil(window.first / BLOCK);
  const slots = pinnedBlocks + blocks;
  return {
    capacity: window === undefined ? capacity : blocks * BLOCK,
    left: window?.left,
    first: window?.first ?? 0,
    pinnedBlocks,
    ringBlocks: window === undefined ? 0 : blocks,
    slots,
    pageBlocks: pageSize === undefined ? slots : pageSize / BLOCK,
    eager: pageSize === undefined,
  };
}

/** The page of a block, and the block's place in it. */
export function placeOf({ pinnedBlocks, ringBlocks, pageBlocks }: Geometry, block: number): [page: number, at: number] {
  const slot = ringBlocks === 0 || block < pinnedBlocks ? block : pinnedBlocks + ((block - pinnedBlocks) % ringBlocks);
  const page = Math.floor(slot / pageBlocks);
  return [page, slot - page * pageBlocks];
}

/** What a batch row keeps: the positions below its pinned end, and those from `start` up to `length`. */
export interface Extent {
  readonly length: number;
  /** Never below the pinned end. */
  readonly start: number;
}

/** The first position that is not pinned. */
export const pinnedEnd = ({ pinnedBlocks }: Geometry): number => pinnedBlocks * BLOCK;

/** The length of the longest row. */
export const longestOf = (extents: readonly Extent[]): number =>
  extents.reduce((most, { length }) => Math.max(most, length), 0);

/** A row with nothing in it. */
export const emptyExtent = (geometry: Geometry): Extent => ({ length: 0, start: pinnedEnd(geometry) });

/** A row that goes on to a length. */
export function extended(geometry: Geometry, { start }: Extent, length: number): Extent {
  return { length, start: geometry.ringBlocks === 0 ? start : Math.max(start, length - geometry.capacity) };
}

/** A row that is cut to a length. */
export function cut(geometry: Geometry, { start }: Extent, length: number): Extent {
  const end = pinnedEnd(geometry);
  return { length, start: length <= end ? end : start };
}

/** Whether a query row at a position finds every key that its window shows it. */
export function isServed(geometry: Geometry, { start }: Extent, position: number): boolean {
  const { left } = geometry;
  const end = pinnedEnd(geometry);
  return left === undefined || position < end || Math.max(end, position - left) >= start;
}

/** Whether a position is kept. */
export function isRetained(geometry: Geometry, { start, length }: Extent, position: number): boolean {
  return position < length && (position < pinnedEnd(geometry) || position >= start);
}

/** How many positions are kept. */
export function retainedOf(geometry: Geometry, { start, length }: Extent): number {
  return Math.min(length, pinnedEnd(geometry)) + Math.max(0, length - start);
}

/** The blocks of a row that hold kept positions, ascending. */
export function* heldBlocks({ pinnedBlocks }: Geometry, { start, length }: Extent): Iterable<number> {
  const end = Math.ceil(length / BLOCK);
  for (let block = 0; block < Math.min(end, pinnedBlocks); block++) yield block;
  if (start < length) for (let block = Math.floor(start / BLOCK); block < end; block++) yield block;
}

/** How many there are. */
export function countHeld({ pinnedBlocks }: Geometry, { start, length }: Extent): number {
  const end = Math.ceil(length / BLOCK);
  return Math.min(end, pinnedBlocks) + (start < length ? end - Math.floor(start / BLOCK) : 0);
}
