/**
 * Runs one resolved call: inputs in, a plan, the tiles, results out.
 */

import type { TensorData } from "../dtype.ts";
import { writeBroadcast, writeModifiers, writeResults, writeSizes, writeView } from "./attention-block.ts";
import {
  ALIBI_SLOPES,
  BIAS,
  BIAS_WIDTH,
  CACHE,
  KEY,
  KV_LENGTHS,
  MASK,
  MASK_WIDTH,
  PROGRAM,
  PROGRAM_LENGTH,
  Q_LENGTHS,
  Q_OFFSET,
  QUERY,
  SINKS,
  VALUE,
} from "./attention-fields.ts";
import {
  type AttentionCall,
  type Destination,
  RESULT_INDICES,
  RESULT_LSE,
  RESULT_OUT,
  RESULT_WEIGHTS,
  type Results,
} from "./call.ts";
import type { WasmInstance } from "./instance.ts";
import type { LinearMemory } from "./memory.ts";
import { newData, type Placed, placeContiguous, placeInput, placeList, placeOutput, takeOut } from "./place.ts";
import { recordingOf } from "./recording.ts";
import { runBlock } from "./run-block.ts";

/** New arrays of the results; for those with a target none. */
export interface AttentionOutcome {
  readonly data: Results<TensorData>;
  /** Index `(batch * numHeads + head) * qLen + row` of the first row that sees no key, if asked for; else -1. */
  emptyRow: number;
}

/** Runs a call. Whatever happens, the scratch arena is as it was. */
export function runAttention(instance: WasmInstance, call: AttentionCall): AttentionOutcome {
  const { caller } = call;
  const memory = instance.memory(caller);
  const recording = recordingOf(instance);
  if (recording !== undefined) return recording.attention(memory, call);
  const mark = memory.scratch.mark();
  try {
    const begun = beginAttention(instance, memory, call);
    if (begun.places !== undefined) {
      runBlock(instance, memory, instance.argumentBlock, caller);
      endAttention(memory, call, begun);
    }
    return begun.outcome;
  } finally {
    memory.scratch.release(mark);
  }
}

/** A call whose block is filled. */
export interface Begun {
  readonly outcome: AttentionOutcome;
  /** Undefined where there is nothing to run. */
  readonly places: Results<Placed> | undefined;
  readonly lse: number;
}

/** Takes memory for inputs and results, and fills the argument block. */
export function beginAttention(instance: WasmInstance, memory: LinearMemory, call: AttentionCall): Begun {
  const { caller, results, weights, batch, numHeads, qLen } = call;
  // New result arrays come first: if the JavaScript heap refuses one, nothing has been written anywhere.
  const data = new Array<TensorData | undefined>(results.length);
  for (let i = 0; i < results.length; i++) data[i] = results[i] && newData(results[i]!, memory, caller);
  const outcome: AttentionOutcome = { data, emptyRow: -1 };
  const rows = batch * numHeads * qLen;
  if (rows === 0) {
    // Without heads their mean is still a matrix: of zeros, as a new array has them.
    const mean = results[RESULT_WEIGHTS];
    if (mean?.target !== undefined) clear(mean, memory, caller);
    return { outcome, places: undefined, lse: 0 };
  }
  writeCall(instance, memory, call);
  const places = new Array<Placed | undefined>(results.length);
  for (let i = 0; i < results.length; i++) {
    const result = results[i];
    if (result !== undefined) places[i] = (i === RESULT_OUT ? placeOutput : placeContiguous)(result, memory, caller);
  }
  const lse = places[RESULT_LSE]?.address ?? (call.findEmptyRow ? memory.scratch.allocate(rows * 4, caller) : 0);
  const extra =
    weights?.kind === "rows"
      ? placeList(slotsOf(weights.rows, qLen), memory, caller)
      : (places[RESULT_INDICES]?.address ?? 0);
  writeResults(memory.views().u32, instance.argumentBlock >>> 2, call, places, lse, extra);
  return { outcome, places, lse };
}

/** Copies the results of a call that has run out. */
export function endAttention(memory: LinearMemory, call: AttentionCall, { outcome, places, lse }: Begun): void {
  const views = memory.views();
  const { results } = call;
  for (let i = 0; i < results.length; i++) {
    if (results[i] !== undefined) takeOut(results[i]!, places![i]!, outcome.data[i], views);
  }
  if (call.findEmptyRow) outcome.emptyRow = findEmptyRow(views.f32, lse >>> 2, call);
}

/** Copies what a call reads to where the wasm can read it, and fills the argument block but for the results. */
export function writeCall(instance: WasmInstance, memory: LinearMemory, call: AttentionCall): void {
  const { caller, batch, axes, qOffset, modifiers } = call;
  const query = placeInput(call.query, memory, caller);
  const key = placeInput(call.key, memory, caller);
  const value = placeInput(call.value, memory, caller);
  const offsets = typeof qOffset === "number" ? new Array<number>(batch).fill(qOffset) : qOffset;
  const offsetsAt = placeList(offsets, memory, caller);
  const kvLengthsAt = placeList(call.kvLengths, memory, caller);
  const block = instance.argumentBlock;
  const base = block >>> 2;
  writeSizes(memory.views(), block, call, memory.emptyAddress);
  if (modifiers !== undefined) {
    const { qLengths, alibiSlopes, sinks, mask, bias, program } = modifiers;
    const maskAt = mask && placeInput(mask, memory, caller);
    const biasAt = bias && placeInput(bias, memory, caller);
    const lists = [qLengths, alibiSlopes, sinks].map((list) => placeList(list, memory, caller));
    const programAt = program?.place(memory, caller);
    const views = memory.views();
    const { u32 } = views;
    writeModifiers(views, base, modifiers);
    if (maskAt !== undefined) u32[base + MASK_WIDTH] = writeBroadcast(u32, base + MASK, mask!, maskAt);
    if (biasAt !== undefined) u32[base + BIAS_WIDTH] = writeBroadcast(u32, base + BIAS, bias!, biasAt);
    if (programAt !== undefined) {
      u32[base + PROGRAM] = programAt;
      u32[base + PROGRAM_LENGTH] = program!.words.length;
    }
    u32[base + Q_LENGTHS] = lists[0]!;
    u32[base + ALIBI_SLOPES] = lists[1]!;
    u32[base + SINKS] = lists[2]!;
  }
  const { u32 } = memory.views();
  writeView(u32, base + QUERY, query, axes);
  writeView(u32, base + KEY, key, axes);
  writeView(u32, base + VALUE, value, axes);
  u32[base + Q_OFFSET] = offsetsAt;
  u32[base + KV_LENGTHS] = kvLengthsAt;
  u32[base + CACHE] = call.cache ?? 0;
}

/** For each query row the place of its weights among those that are wanted, or -1. */
function slotsOf(rows: readonly number[], qLen: number): readonly number[] {
  const slots = new Array<number>(qLen).fill(-1);
  rows.forEach((row, slot) => {
    slots[row] = slot;
  });
  return slots;
}

/** Zeros in a target that no row would write. */
function clear(destination: Destination, memory: LinearMemory, caller: string): void {
  const place = placeContiguous(destination, memory, caller);
  const views = memory.views();
  const at = place.address >>> 2;
  views.f32.fill(0, at, at + destination.elements);
  takeOut(destination, place, undefined, views);
}

function findEmptyRow(f32: Float32Array, at: number, call: AttentionCall): number {
  const { numHeads, qLen, modifiers } = call;
  const rows = call.batch * numHeads * qLen;
  const qLengths = modifiers?.qLengths;
  for (let row = 0; row < rows; row++) {
    if (f32[at + row] !== Number.NEGATIVE_INFINITY) continue;
    // Rows behind the valid ones are padding.
    if (qLengths === undefined || row % qLen < qLengths[Math.floor(row / qLen / numHeads)]!) return row;
  }
  return -1;
}
