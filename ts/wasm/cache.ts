/**
 * Rows on their way into a key-value cache and back.
 */

import { KIND_CACHE, refusedValue } from "./abi.ts";
import { writeView } from "./attention-block.ts";
import type { AxisOrder } from "./call.ts";
import { refused, runTiles, statusOfTiles } from "./dispatch.ts";
import type { WasmInstance } from "./instance.ts";
import { fillInput, type Placed, placeInput } from "./place.ts";
import type { TensorView } from "./view.ts";

const PHASE_APPEND = 0;
const PHASE_READ = 1;

/** Words of the block: the cache's header, key, value, n, starts, counts. */
const KEY = 9;
const VALUE = 14;
const N = 19;
const STARTS = 20;
const COUNTS = 21;
const WORDS = 22;

/** Words of the header that is part of the block. */
const HEADER = 9;

/** Rows to append. */
export interface AppendCall {
  readonly key: TensorView;
  readonly value: TensorView;
  readonly axes: AxisOrder;
  readonly n: number;
  /** Positions of the first new row of each batch row. */
  readonly starts: readonly number[];
  /** How many rows each batch row adds. */
  readonly counts: readonly number[];
}

/**
 * Appends rows to the cache at an address; gives the operand that holds what cannot be stored (`"key"`, `"value"`), in
 * which case nothing has been written.
 */
export function appendRows(
  instance: WasmInstance,
  cache: number,
  { key, value, axes, n, starts, counts }: AppendCall,
  caller: string,
): string | undefined {
  const memory = instance.memory(caller);
  const { scratch } = memory;
  const mark = scratch.mark();
  try {
    const keyPlace = placeInput(key, memory, caller);
    const valuePlace = placeInput(value, memory, caller);
    const lists = scratch.allocate(8 * starts.length, caller);
    const block = scratch.allocate(4 * WORDS, caller);
    const views = memory.views();
    fillInput(key, keyPlace, views);
    fillInput(value, valuePlace, views);
    const { u32 } = views;
    const base = block >>> 2;
    u32.copyWithin(base, cache >>> 2, (cache >>> 2) + HEADER);
    writeView(u32, base + KEY, keyPlace, axes);
    writeView(u32, base + VALUE, valuePlace, axes);
    u32.set(starts, lists >>> 2);
    u32.set(counts, (lists >>> 2) + starts.length);
    u32[base + N] = n;
    u32[base + STARTS] = lists;
    u32[base + COUNTS] = lists + 4 * starts.length;
    const status = statusOfTiles(instance, KIND_CACHE, PHASE_APPEND, block, 0, 0, 1, caller);
    if (status === 0) return undefined;
    const about = refusedValue(status);
    if (about !== undefined) return about;
    throw refused(instance, status, caller);
  } finally {
    scratch.release(mark);
  }
}

/** Reads positions `from` up to `from + n` of the one batch row that a header names, as float32. */
export function readRows(
  instance: WasmInstance,
  header: readonly number[],
  { key, value, axes, from, n }: { key: Placed; value: Placed; axes: AxisOrder; from: number; n: number },
  caller: string,
): void {
  const { scratch } = instance.memory(caller);
  const mark = scratch.mark();
  try {
    const block = scratch.allocate(4 * WORDS, caller);
    const { u32 } = instance.memory(caller).views();
    const base = block >>> 2;
    u32.set(header, base);
    writeView(u32, base + KEY, key, axes);
    writeView(u32, base + VALUE, value, axes);
    u32[base + N] = n;
    u32[base + STARTS] = 0;
    u32[base + COUNTS] = from;
    runTiles(instance, KIND_CACHE, PHASE_READ, block, 0, 1, 0, caller);
  } finally {
    scratch.release(mark);
  }
}
