/**
 * Runs one resolved attention call: places what is not yet in wasm memory, fills the argument block, plans, runs,
 * and takes the results out. Every allocation happens before the last views are taken.
 */

import { ELEMENT_BYTE_LENGTH, type TensorData } from "../dtype.ts";
import { ATTENTION_BYTE_LENGTH, VIEW_POINTER } from "./abi.ts";
import {
  type PlacedModifiers,
  writeLse,
  writeModifiers,
  writeSizes,
  writeTap,
  writeView,
  writeWeights,
} from "./attention-block.ts";
import {
  CACHE,
  KEY,
  KV_LEN,
  KV_LENGTHS,
  LSE,
  OUT,
  Q_LEN,
  Q_OFFSET,
  QUERY,
  SCRATCH,
  SCRATCH_BYTE_LENGTH,
  SPLIT_BLOCKS,
  VALUE,
} from "./attention-fields.ts";
import { blockSteps, planBlock, runBlock, workOf } from "./attention-phases.ts";
import type { AttentionCall, Destination, Modifiers, Sequences, WeightsCall } from "./call.ts";
import type { WasmInstance } from "./instance.ts";
import { type Job, recordingOf } from "./job.ts";
import type { LinearMemory, MemoryViews } from "./memory.ts";
import { fillInput, newData, type Placed, placeContiguous, placeInput, placeOutput, takeOut } from "./place.ts";
import type { PlacedProgram } from "./program.ts";

/** New arrays for the results that have no target, and the first row that saw no key (-1: none, or not looked for). */
export interface AttentionOutcome {
  readonly out: TensorData | undefined;
  readonly lse: TensorData | undefined;
  readonly weights: TensorData | undefined;
  /** Beside top-k weights. */
  readonly indices: TensorData | undefined;
  readonly scores: TensorData | undefined;
  emptyRow: number;
}

/**
 * Runs the call. Whatever happens, the scratch arena is as it was. Where the call is recorded, the outcome is filled in when its
 * steps have run.
 */
export function runAttention(instance: WasmInstance, call: AttentionCall): AttentionOutcome {
  const { caller, sequences } = call;
  const memory = instance.memory(caller);
  const job = recordingOf(instance);
  if (job !== undefined) return recordAttention(job, memory, call);
  const mark = memory.scratch.mark();
  try {
    const begun = begin(instance, memory, call);
    if (begun.places === undefined) return begun.outcome;
    const block = instance.argumentBlock;
    if (sequences === undefined) runBlock(instance, memory, block, caller);
    else {
      for (const _ of eachSequence(memory, block, call, sequences, begun.places)) {
        runBlock(instance, memory, block, caller);
      }
    }
    end(memory, call, begun.outcome, begun.places);
    return begun.outcome;
  } finally {
    memory.scratch.release(mark);
  }
}

/** As {@link runAttention}, phase by phase; the block is the call's own, since a job may hold several. */
function recordAttention(job: Job, memory: LinearMemory, call: AttentionCall): AttentionOutcome {
  const { instance } = job;
  const { caller, sequences } = call;
  const block = memory.scratch.allocate(ATTENTION_BYTE_LENGTH, caller);
  const shared = instance.argumentBlock;
  instance.argumentBlock = block;
  const { outcome, places } = begin(instance, memory, call);
  instance.argumentBlock = shared;
  if (places === undefined) return outcome;
  const base = block >>> 2;
  const words = memory.views().u32.slice(base, base + ATTENTION_BYTE_LENGTH / 4);
  const eachPlan = function* (): Generator<void, void, void> {
    memory.views().u32.set(words, base);
    if (sequences === undefined) yield;
    else yield* eachSequence(memory, block, call, sequences, places);
  };
  const mark = memory.scratch.mark();
  let work = 0;
  for (const _ of eachPlan()) {
    work += workOf(planBlock(instance, memory, block, caller), block);
  }
  memory.scratch.release(mark);
  job.add(work, function* () {
    const mark = memory.scratch.mark();
    for (const _ of eachPlan()) yield* blockSteps(instance, memory, block, caller);
    memory.scratch.release(mark);
    end(memory, call, outcome, places);
  });
  return outcome;
}

/** Where a call that is under way has its operands and results. */
interface CallPlaces {
  /** An object of its own: spreading it into this one takes as long as all the rest of a small call. */
  readonly inputs: PlacedCall;
  readonly out: Placed;
  readonly lse: Placed | undefined;
  readonly lseAddress: number;
  readonly weights: PlacedWeights | undefined;
  readonly tap: Placed | undefined;
}

interface Begun {
  readonly outcome: AttentionOutcome;
  /** Undefined where there is nothing to run. */
  readonly places: CallPlaces | undefined;
}

/** Places operands and results and fills the argument block. */
function begin(instance: WasmInstance, memory: LinearMemory, call: AttentionCall): Begun {
  const { caller, out, lse, weights, tap, batch } = call;
  // New result arrays come first: if the JavaScript heap refuses one, nothing has been written anywhere.
  const outData = newData(out, memory, caller);
  const lseData = lse === undefined ? undefined : newData(lse, memory, caller);
  const weightsData = weights === undefined ? undefined : newData(weights.values, memory, caller);
  const indicesData = weights?.kind === "top-k" ? newData(weights.indices, memory, caller) : undefined;
  const scoresData = tap === undefined ? undefined : newData(tap.scores, memory, caller);
  const outcome: AttentionOutcome = {
    out: outData,
    lse: lseData,
    weights: weightsData,
    indices: indicesData,
    scores: scoresData,
    emptyRow: -1,
  };
  const rows = batch * call.numHeads * call.qLen;
  if (rows === 0) {
    // Without heads their mean is still a matrix: of zeros, as a new array has them.
    if (weights !== undefined && weightsData === undefined) clear(weights.values, memory, caller);
    return { outcome, places: undefined };
  }

  const placed = placeCall(memory, call);
  const outPlace = placeOutput(out, memory, caller);
  const lsePlace = lse === undefined ? undefined : placeContiguous(lse, memory, caller);
  const needsLse = lsePlace !== undefined || call.findEmptyRow;
  const lseAddress = lsePlace?.address ?? (needsLse ? memory.scratch.allocate(rows * 4, caller) : 0);
  const weightsPlaces = weights === undefined ? undefined : placeWeights(weights, call.qLen, memory, caller);
  const tapPlace = tap === undefined ? undefined : placeContiguous(tap.scores, memory, caller);

  const views = memory.views();
  writeCall(instance, memory, call, placed, views);
  const block = instance.argumentBlock;
  const base = block >>> 2;
  const { u32 } = views;
  writeView(u32, base + OUT, outPlace, call.axes);
  if (lseAddress !== 0) writeLse(u32, base, lseAddress, call);
  if (weights !== undefined && weightsPlaces !== undefined) {
    fillSlots(weights, weightsPlaces, call.qLen, views);
    writeWeights(u32, base, weights, weightsPlaces.values, weightsPlaces.extra?.address ?? 0);
  }
  if (tap !== undefined && tapPlace !== undefined) writeTap(u32, base, tap.stage, tapPlace);
  return {
    outcome,
    places: { inputs: placed, out: outPlace, lse: lsePlace, lseAddress, weights: weightsPlaces, tap: tapPlace },
  };
}

/** Takes the results out. */
function end(memory: LinearMemory, call: AttentionCall, outcome: AttentionOutcome, places: CallPlaces): void {
  const { out, lse, weights, tap } = call;
  const views = memory.views();
  takeOut(out, places.out, outcome.out, views);
  if (lse !== undefined && places.lse !== undefined) takeOut(lse, places.lse, outcome.lse, views);
  if (weights !== undefined && places.weights !== undefined) {
    takeOut(weights.values, places.weights.values, outcome.weights, views);
    if (weights.kind === "top-k") takeOut(weights.indices, places.weights.extra!, outcome.indices, views);
  }
  if (tap !== undefined && places.tap !== undefined) takeOut(tap.scores, places.tap, outcome.scores, views);
  if (call.findEmptyRow) outcome.emptyRow = findEmptyRow(views.f32, places.lseAddress >>> 2, call);
}

/** A call's inputs in linear memory. */
export interface PlacedCall {
  readonly query: Placed;
  readonly key: Placed;
  readonly value: Placed;
  readonly qOffset: number;
  readonly kvLengths: number;
  readonly modifiers: PlacedWithProgram | undefined;
}

/** How many positions of query row 0 a call has: one per batch row or sequence. */
const offsetsOf = ({ batch, sequences }: AttentionCall): number =>
  sequences === undefined ? batch : sequences.query.length - 1;

/** Finds places for all inputs of a call. */
export function placeCall(memory: LinearMemory, call: AttentionCall): PlacedCall {
  const { caller, batch, qOffset, kvLengths, modifiers } = call;
  return {
    query: placeInput(call.query, memory, caller),
    key: placeInput(call.key, memory, caller),
    value: placeInput(call.value, memory, caller),
    qOffset: qOffset === undefined ? 0 : memory.scratch.allocate(offsetsOf(call) * 4, caller),
    kvLengths: kvLengths === undefined ? 0 : memory.scratch.allocate(batch * 4, caller),
    modifiers: modifiers === undefined ? undefined : placeModifiers(modifiers, memory, caller),
  };
}

/** Copies the inputs to their places and writes all of the argument block but the outputs. */
export function writeCall(
  instance: WasmInstance,
  memory: LinearMemory,
  call: AttentionCall,
  placed: PlacedCall,
  views: MemoryViews,
): void {
  const { qOffset, kvLengths, modifiers } = call;
  fillInput(call.query, placed.query, views);
  fillInput(call.key, placed.key, views);
  fillInput(call.value, placed.value, views);
  const offsets = placed.qOffset >>> 2;
  if (typeof qOffset === "number") views.i32.fill(qOffset, offsets, offsets + offsetsOf(call));
  else if (qOffset !== undefined) writeList(views.i32, qOffset, offsets);
  if (kvLengths !== undefined) writeList(views.u32, kvLengths, placed.kvLengths >>> 2);
  const block = instance.argumentBlock;
  const base = block >>> 2;
  const { u32 } = views;
  writeSizes(views, block, call, memory.emptyAddress);
  writeView(u32, base + QUERY, placed.query, call.axes);
  writeView(u32, base + KEY, placed.key, call.axes);
  writeView(u32, base + VALUE, placed.value, call.axes);
  u32[base + Q_OFFSET] = placed.qOffset;
  u32[base + KV_LENGTHS] = placed.kvLengths;
  u32[base + CACHE] = call.cache ?? 0;
  if (modifiers !== undefined && placed.modifiers !== undefined) {
    fillModifiers(modifiers, placed.modifiers, views);
    writeModifiers(views, block, modifiers, placed.modifiers);
  }
}

/** Writes a short list: for one or a few numbers a loop takes a tenth of what `set` does. */
function writeList(to: Int32Array | Uint32Array, list: readonly number[], at: number): void {
  for (let i = 0; i < list.length; i++) to[at + i] = list[i]!;
}

/**
 * The one loop over packed sequences: each is a call of its own whose views begin further on. The block holds the
 * whole call; only lengths and pointers change. What is allocated between two steps is free after them.
 */
function* eachSequence(
  memory: LinearMemory,
  block: number,
  call: AttentionCall,
  sequences: Sequences,
  { inputs, out }: Pick<CallPlaces, "inputs" | "out">,
): Generator<void, void, void> {
  const base = block >>> 2;
  const { seq } = call.axes;
  const { u32: whole } = memory.views();
  const lseAddress = whole[base + LSE + VIEW_POINTER]!;
  const qOffsetAddress = whole[base + Q_OFFSET]!;
  for (let s = 0; s + 1 < sequences.query.length; s++) {
    const qStart = sequences.query[s]!;
    const kvStart = sequences.key[s]!;
    const qLen = sequences.query[s + 1]! - qStart;
    const kvLen = sequences.key[s + 1]! - kvStart;
    if (qLen === 0) continue;
    const { u32 } = memory.views();
    const shift = (at: number, { address, strides, dtype }: Placed, start: number, length: number): void => {
      const bytes = start * strides[seq]! * ELEMENT_BYTE_LENGTH[dtype];
      u32[base + at + VIEW_POINTER] = length === 0 ? memory.emptyAddress : address + bytes;
    };
    u32[base + Q_LEN] = qLen;
    u32[base + KV_LEN] = kvLen;
    shift(QUERY, inputs.query, qStart, qLen);
    shift(KEY, inputs.key, kvStart, kvLen);
    shift(VALUE, inputs.value, kvStart, kvLen);
    shift(OUT, out, qStart, qLen);
    if (lseAddress !== 0) u32[base + LSE + VIEW_POINTER] = lseAddress + qStart * 4;
    if (qOffsetAddress !== 0) u32[base + Q_OFFSET] = qOffsetAddress + s * 4;
    u32[base + SPLIT_BLOCKS] = 0;
    // Of no use to this plan, and of the size of another one.
    u32[base + SCRATCH] = memory.emptyAddress;
    u32[base + SCRATCH_BYTE_LENGTH] = 0;
    const mark = memory.scratch.mark();
    yield;
    memory.scratch.release(mark);
  }
}

export interface PlacedWithProgram extends PlacedModifiers {
  readonly placedProgram: PlacedProgram | undefined;
}

function placeModifiers(modifiers: Modifiers, memory: LinearMemory, caller: string): PlacedWithProgram {
  const { qLengths, alibiSlopes, sinks, mask, bias, program } = modifiers;
  const list = (entries: ArrayLike<number> | undefined): number =>
    entries === undefined ? 0 : memory.scratch.allocate(entries.length * 4, caller);
  const placedProgram = program?.place(memory, caller);
  return {
    qLengths: list(qLengths),
    alibiSlopes: list(alibiSlopes),
    sinks: list(sinks),
    mask: mask === undefined ? undefined : placeInput(mask, memory, caller),
    bias: bias === undefined ? undefined : placeInput(bias, memory, caller),
    program: placedProgram?.address ?? 0,
    placedProgram,
  };
}

function fillModifiers(modifiers: Modifiers, places: PlacedWithProgram, views: MemoryViews): void {
  const { qLengths, alibiSlopes, sinks, mask, bias, program } = modifiers;
  if (qLengths !== undefined) views.u32.set(qLengths, places.qLengths >>> 2);
  if (alibiSlopes !== undefined) views.f32.set(alibiSlopes, places.alibiSlopes >>> 2);
  if (sinks !== undefined) views.f32.set(sinks, places.sinks >>> 2);
  if (mask !== undefined && places.mask !== undefined) fillInput(mask, places.mask, views);
  if (bias !== undefined && places.bias !== undefined) fillInput(bias, places.bias, views);
  if (program !== undefined && places.placedProgram !== undefined) program.fill(places.placedProgram, views);
}

interface PlacedWeights {
  readonly values: Placed;
  /** Indices beside top-k values, a slot per query row beside chosen rows. */
  readonly extra: Placed | undefined;
}

function placeWeights(weights: WeightsCall, qLen: number, memory: LinearMemory, caller: string): PlacedWeights {
  const values = placeContiguous(weights.values, memory, caller);
  if (weights.kind === "top-k") return { values, extra: placeContiguous(weights.indices, memory, caller) };
  if (weights.kind !== "rows") return { values, extra: undefined };
  const address = memory.scratch.allocate(qLen * 4, caller);
  return { values, extra: { address, strides: [1], dtype: "int32" } };
}

function fillSlots(weights: WeightsCall, { extra }: PlacedWeights, qLen: number, { i32 }: MemoryViews): void {
  if (weights.kind !== "rows" || extra === undefined) return;
  const at = extra.address >>> 2;
  i32.fill(-1, at, at + qLen);
  weights.rows.forEach((row, slot) => {
    i32[at + row] = slot;
  });
}

/** Writes zeros to a target. */
function clear(destination: Destination, memory: LinearMemory, caller: string): void {
  const place = placeContiguous(destination, memory, caller);
  const views = memory.views();
  const at = place.address >>> 2;
  views.f32.fill(0, at, at + destination.elements);
  takeOut(destination, place, undefined, views);
}

/** Index in `[batch, numHeads, qLen]` of the first row whose lse is -Infinity: it had neither key nor sink. */
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
