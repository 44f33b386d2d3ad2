/**
 * Rows on their way into a key-value cache and back.
 */

import { KIND_CACHE, refusedValue } from "./abi.ts";
import { writeView } from "./attention-block.ts";
import type { AxisOrder } from "./call.ts";
import { refused, statusOfTiles } from "./dispatch.ts";
import type { WasmInstance } from "./instance.ts";
import { type Placed, placeInput } from "./place.ts";
import { poolFor, runTiles } from "./sharing.ts";
import type { TensorView } from "./view.ts";

const PHASE_APPEND = 0;
const PHASE_READ = 1;
/** Refuses what cannot be stored: run before tiles are shared out, so that nothing is written where a row is refused. */
const PHASE_CHECK = 2;
const PHASE_APPEND_CHECKED = 3;

/** Positions of a tile: a block. */
const BLOCK = 64;
/** What an element costs to write or to read, in multiply-adds of the micro-kernel. */
const WORK_PER_ELEMENT = 48;
/** The dtype of which a row has a scale; its elements cost four times as much to write. */
const INT8 = 5;

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
    const { u32 } = memory.views();
    const base = block >>> 2;
    u32.copyWithin(base, cache >>> 2, (cache >>> 2) + HEADER);
    writeView(u32, base + KEY, keyPlace, axes);
    writeView(u32, base + VALUE, valuePlace, axes);
    u32.set(starts, lists >>> 2);
    u32.set(counts, (lists >>> 2) + starts.length);
    u32[base + N] = n;
    u32[base + STARTS] = lists;
    u32[base + COUNTS] = lists + 4 * starts.length;
    const status = statusOfAppend(instance, block, tilesOf(instance, cache, { key, value, n, counts }), caller);
    if (status === 0) return undefined;
    const about = refusedValue(status);
    if (about !== undefined) return about;
    throw refused(instance, status, caller);
  } finally {
    scratch.release(mark);
  }
}

/** What there is to append: tiles, the work of all of them, and what of it is worth sharing. */
interface AppendTiles {
  readonly tiles: number;
  readonly work: number;
  readonly shared: number;
  readonly isInt8: boolean;
}

function tilesOf(
  instance: WasmInstance,
  cache: number,
  { key, value, n, counts }: Pick<AppendCall, "key" | "value" | "n" | "counts">,
): AppendTiles {
  const isInt8 = instance.memory("KvCache").views().u32[cache >>> 2] === INT8;
  const elements = key.elements + value.elements;
  const work = Math.ceil((elements * WORK_PER_ELEMENT * (isInt8 ? 4 : 1)) / 1024);
  const rows = counts.reduce((sum, count) => sum + count, 0);
  // A block's rows are one thread's: the others' part must be worth it.
  const shared = Math.min(work, Math.max(1, Math.floor(work * 2 * (1 - BLOCK / rows))));
  // Rows that begin anywhere in a block lie in two more than they fill at most.
  return { tiles: counts.length * (Math.floor(n / BLOCK) + 2), work, shared, isInt8 };
}

/** Runs all tiles: on threads a check of all rows comes first, as each of them sees some rows only. */
function statusOfAppend(
  instance: WasmInstance,
  block: number,
  { tiles, work, shared, isInt8 }: AppendTiles,
  caller: string,
): number {
  const phase = (phase: number) => ({ kind: KIND_CACHE, phase, block, pass: 0, tiles, work });
  const alone = (phase: number): number => statusOfTiles(instance, KIND_CACHE, phase, block, 0, 0, tiles, caller);
  const pool = poolFor(instance, shared, tiles);
  if (pool === undefined) return alone(PHASE_APPEND);
  // Which row is refused must not depend on who was first.
  if (isInt8 && pool.run(phase(PHASE_CHECK), caller) !== 0) return alone(PHASE_CHECK);
  return pool.run(phase(isInt8 ? PHASE_APPEND_CHECKED : PHASE_APPEND), caller);
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
    const [, heads = 0, headDim = 0, valueHeadDim = 0] = header;
    const work = Math.ceil((n * heads * (headDim + valueHeadDim) * WORK_PER_ELEMENT) / 1024);
    runTiles(instance, KIND_CACHE, PHASE_READ, block, 0, Math.ceil(n / BLOCK), work, caller);
  } finally {
    scratch.release(mark);
  }
}
