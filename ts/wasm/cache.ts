/**
 * Rows on their way into a key-value cache and back.
 */

import { KIND_CACHE, refusedValue } from "./abi.ts";
import { writeView } from "./attention-block.ts";
import type { AxisOrder } from "./call.ts";
import { refused, type Steps, statusOfTiles } from "./dispatch.ts";
import type { WasmInstance } from "./instance.ts";
import type { Job } from "./job.ts";
import { type Placed, placeInput } from "./place.ts";
import { recordingOf } from "./recording.ts";
import { drive, effortOf, poolFor } from "./sharing.ts";
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
  call: AppendCall,
  caller: string,
): string | undefined {
  const { scratch } = instance.memory(caller);
  const mark = scratch.mark();
  try {
    const placed = placeRows(instance, call, caller);
    writeAppend(instance, cache, placed, call, caller);
    const status = statusOfAppend(instance, placed.block, tilesOf(instance, cache, call, caller), caller);
    if (status === 0) return undefined;
    const about = refusedValue(status);
    if (about !== undefined) return about;
    throw refused(instance, status, caller);
  } finally {
    scratch.release(mark);
  }
}

/**
 * Leaves rows to be appended in the call's turn: then `extend` makes room for them, and gives what is told whether they are
 * there. What cannot be stored is found before anything is written, and `refuse` makes the error.
 */
export function appendLater(
  job: Job,
  cache: () => number,
  call: AppendCall,
  extend: () => (written: boolean) => void,
  refuse: (operand: string) => Error,
): void {
  const { instance, caller } = job;
  const placed = placeRows(instance, call, caller);
  const { tiles, shared, isInt8 } = tilesOf(instance, cache(), call, caller);
  const { block } = placed;
  const refusal = (): Error | undefined => {
    // Which operand it is must not depend on who was first.
    const operand = refusedValue(statusOfTiles(instance, KIND_CACHE, PHASE_CHECK, block, 0, 0, tiles, caller));
    return operand === undefined ? undefined : refuse(operand);
  };
  const phases = isInt8 ? [PHASE_CHECK, PHASE_APPEND_CHECKED] : [PHASE_APPEND];
  job.add(effortOf(shared) * phases.length, function* () {
    const end = extend();
    let written = false;
    try {
      writeAppend(instance, cache(), placed, call, caller);
      for (const phase of phases) yield { kind: KIND_CACHE, phase, block, pass: 0, tiles, work: shared, refusal };
      written = true;
    } finally {
      end(written);
    }
  });
}

/** Rows and lists of a call, and its block, in the arena. */
interface PlacedRows {
  readonly key: Placed;
  readonly value: Placed;
  readonly lists: number;
  readonly block: number;
}

function placeRows(instance: WasmInstance, { key, value, starts }: AppendCall, caller: string): PlacedRows {
  const memory = instance.memory(caller);
  const { scratch } = memory;
  return {
    key: placeInput(key, memory, caller),
    value: placeInput(value, memory, caller),
    lists: scratch.allocate(8 * starts.length, caller),
    block: scratch.allocate(4 * WORDS, caller),
  };
}

function writeAppend(
  instance: WasmInstance,
  cache: number,
  { key, value, lists, block }: PlacedRows,
  { axes, n, starts, counts }: AppendCall,
  caller: string,
): void {
  const { u32 } = instance.memory(caller).views();
  const base = block >>> 2;
  u32.copyWithin(base, cache >>> 2, (cache >>> 2) + HEADER);
  writeView(u32, base + KEY, key, axes);
  writeView(u32, base + VALUE, value, axes);
  u32.set(starts, lists >>> 2);
  u32.set(counts, (lists >>> 2) + starts.length);
  u32[base + N] = n;
  u32[base + STARTS] = lists;
  u32[base + COUNTS] = lists + 4 * starts.length;
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
  { key, value, n, counts }: AppendCall,
  caller: string,
): AppendTiles {
  const isInt8 = instance.memory(caller).views().u32[cache >>> 2] === INT8;
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
export function readRows(instance: WasmInstance, header: readonly number[], call: ReadCall, caller: string): void {
  const job = recordingOf(instance);
  if (job === undefined) drive(instance, readSteps(instance, header, call, caller), caller);
  else job.add(effortOf(workOfRead(header, call)), () => readSteps(instance, header, call, caller));
}

/** Where rows are read to. */
interface ReadCall {
  readonly key: Placed;
  readonly value: Placed;
  readonly axes: AxisOrder;
  readonly from: number;
  readonly n: number;
}

function workOfRead([, heads = 0, headDim = 0, valueHeadDim = 0]: readonly number[], { n }: ReadCall): number {
  return Math.ceil((n * heads * (headDim + valueHeadDim) * WORK_PER_ELEMENT) / 1024);
}

function* readSteps(instance: WasmInstance, header: readonly number[], call: ReadCall, caller: string): Steps<void> {
  const { scratch } = instance.memory(caller);
  const mark = scratch.mark();
  try {
    const block = scratch.allocate(4 * WORDS, caller);
    const { u32 } = instance.memory(caller).views();
    const base = block >>> 2;
    u32.set(header, base);
    writeView(u32, base + KEY, call.key, call.axes);
    writeView(u32, base + VALUE, call.value, call.axes);
    u32[base + N] = call.n;
    u32[base + STARTS] = 0;
    u32[base + COUNTS] = call.from;
    const tiles = Math.ceil(call.n / BLOCK);
    yield { kind: KIND_CACHE, phase: PHASE_READ, block, pass: 0, tiles, work: workOfRead(header, call) };
  } finally {
    scratch.release(mark);
  }
}
