/**
 * Runs one resolved attention call: places what is not yet in wasm memory, fills the argument block, plans, runs,
 * and takes the results out. Every allocation happens before the last views are taken.
 */

import {
  ATTENTION_BYTE_LENGTH,
  ATTENTION_OFFSETS,
  FLAG_CAUSAL,
  FLAG_SCALE,
  KIND_ATTENTION,
  VIEW_DTYPE,
  VIEW_FLOAT32,
  VIEW_POINTER,
  VIEW_STRIDE_BATCH,
  VIEW_STRIDE_HEAD,
  VIEW_STRIDE_SEQ,
} from "./abi.ts";
import { PHASE_ATTEND, PHASE_PACK, plan, runTiles } from "./dispatch.ts";
import type { WasmInstance } from "./instance.ts";
import { type LinearMemory, outOfMemory } from "./memory.ts";
import { contiguousStrides, copyElements, type RawArray, type TensorView } from "./view.ts";

/** Which axis of a tensor is which; -1 where the rank leaves it out. */
export interface AxisOrder {
  readonly batch: number;
  readonly seq: number;
  readonly head: number;
}

/** Where a result goes: the caller's view, or a new array where it is undefined. */
export interface Destination {
  readonly shape: readonly number[];
  readonly elements: number;
  readonly target: TensorView | undefined;
}

/** Attention with every default filled in and every length proved. */
export interface AttentionCall {
  readonly caller: string;
  readonly batch: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly qLen: number;
  readonly kvLen: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
  readonly axes: AxisOrder;
  readonly query: TensorView;
  readonly key: TensorView;
  readonly value: TensorView;
  readonly out: Destination;
  readonly lse: Destination | undefined;
  readonly weights: Destination | undefined;
  /** Undefined: `1 / sqrt(headDim)`, computed in the wasm. */
  readonly scale: number | undefined;
  readonly causal: boolean;
  /** Position of query row 0, of all batch rows or of each; undefined: 0. */
  readonly qOffset: readonly number[] | number | undefined;
  /** Valid keys per batch row; undefined: all. */
  readonly kvLengths: readonly number[] | undefined;
  /** Whether a row that sees no key is looked for afterwards. */
  readonly findEmptyRow: boolean;
}

/** New arrays for the results that have no target, and the first row that saw no key (-1: none, or not looked for). */
export interface AttentionOutcome {
  readonly out: Float32Array<ArrayBuffer> | undefined;
  readonly lse: Float32Array<ArrayBuffer> | undefined;
  readonly weights: Float32Array<ArrayBuffer> | undefined;
  readonly emptyRow: number;
}

const word = (name: keyof typeof ATTENTION_OFFSETS): number => ATTENTION_OFFSETS[name] >>> 2;

const SCALE = ATTENTION_OFFSETS.scale >>> 3;
const FLAGS = word("flags");
const BATCH = word("batch");
const NUM_HEADS = word("num_heads");
const NUM_KV_HEADS = word("num_kv_heads");
const Q_LEN = word("q_len");
const KV_LEN = word("kv_len");
const HEAD_DIM = word("head_dim");
const VALUE_HEAD_DIM = word("value_head_dim");
const QUERY = word("query");
const KEY = word("key");
const VALUE = word("value");
const OUT = word("out");
const LSE = word("lse");
const WEIGHTS = word("weights");
const Q_OFFSET = word("q_offset");
const KV_LENGTHS = word("kv_lengths");
const SCRATCH = word("scratch");
const SCRATCH_BYTE_LENGTH = word("scratch_byte_length");
const PLAN_SCRATCH_BYTE_LENGTH = word("plan_scratch_byte_length");
const PLAN_PASSES = word("plan_passes");
const PLAN_PACK_TILES = word("plan_pack_tiles");
const PLAN_ATTEND_TILES = word("plan_attend_tiles");

/** An input or output as the wasm will see it. */
interface Placed {
  readonly address: number;
  readonly strides: readonly number[];
}

/** Runs the call. Whatever happens, the scratch arena is as it was. */
export function runAttention(instance: WasmInstance, call: AttentionCall): AttentionOutcome {
  const memory = instance.memory(call.caller);
  const mark = memory.scratch.mark();
  try {
    return runPlaced(instance, memory, call);
  } finally {
    memory.scratch.release(mark);
  }
}

function runPlaced(instance: WasmInstance, memory: LinearMemory, call: AttentionCall): AttentionOutcome {
  const { caller, out, lse, weights, batch } = call;
  // New result arrays come first: if the JavaScript heap refuses one, nothing has been written anywhere.
  const outData = newData(out, memory, caller);
  const lseData = lse === undefined ? undefined : newData(lse, memory, caller);
  const weightsData = weights === undefined ? undefined : newData(weights, memory, caller);
  const rows = batch * call.numHeads * call.qLen;
  if (rows === 0) return { out: outData, lse: lseData, weights: weightsData, emptyRow: -1 };

  const query = placeInput(call.query, memory, caller);
  const key = placeInput(call.key, memory, caller);
  const value = placeInput(call.value, memory, caller);
  const outPlace = placeOutput(out, memory, caller);
  const lsePlace = lse === undefined ? undefined : placeContiguous(lse, memory, caller);
  const weightsPlace = weights === undefined ? undefined : placeContiguous(weights, memory, caller);
  const needsLse = lsePlace !== undefined || call.findEmptyRow;
  const lseAddress = lsePlace?.address ?? (needsLse ? memory.scratch.allocate(rows * 4, caller) : 0);
  const qOffsetAddress = call.qOffset === undefined ? 0 : memory.scratch.allocate(batch * 4, caller);
  const kvLengthsAddress = call.kvLengths === undefined ? 0 : memory.scratch.allocate(batch * 4, caller);

  let views = memory.views();
  fillInput(call.query, query, views);
  fillInput(call.key, key, views);
  fillInput(call.value, value, views);
  if (typeof call.qOffset === "number")
    views.i32.fill(call.qOffset, qOffsetAddress >>> 2, (qOffsetAddress >>> 2) + batch);
  else if (call.qOffset !== undefined) views.i32.set(call.qOffset, qOffsetAddress >>> 2);
  if (call.kvLengths !== undefined) views.u32.set(call.kvLengths, kvLengthsAddress >>> 2);

  const block = instance.argumentBlock;
  const base = block >>> 2;
  const u32 = views.u32;
  // Fields that are not written below mean: absent.
  u32.fill(0, base, base + (ATTENTION_BYTE_LENGTH >>> 2));
  views.f64[(block >>> 3) + SCALE] = call.scale ?? 0;
  u32[base + FLAGS] = (call.scale === undefined ? 0 : FLAG_SCALE) | (call.causal ? FLAG_CAUSAL : 0);
  u32[base + BATCH] = batch;
  u32[base + NUM_HEADS] = call.numHeads;
  u32[base + NUM_KV_HEADS] = call.numKvHeads;
  u32[base + Q_LEN] = call.qLen;
  u32[base + KV_LEN] = call.kvLen;
  u32[base + HEAD_DIM] = call.headDim;
  u32[base + VALUE_HEAD_DIM] = call.valueHeadDim;
  writeView(u32, base + QUERY, query, call.axes);
  writeView(u32, base + KEY, key, call.axes);
  writeView(u32, base + VALUE, value, call.axes);
  writeView(u32, base + OUT, outPlace, call.axes);
  if (lseAddress !== 0) {
    u32[base + LSE + VIEW_POINTER] = lseAddress;
    u32[base + LSE + VIEW_STRIDE_BATCH] = call.numHeads * call.qLen;
    u32[base + LSE + VIEW_STRIDE_SEQ] = 1;
    u32[base + LSE + VIEW_STRIDE_HEAD] = call.qLen;
  }
  u32[base + WEIGHTS] = weightsPlace?.address ?? 0;
  u32[base + Q_OFFSET] = qOffsetAddress;
  u32[base + KV_LENGTHS] = kvLengthsAddress;
  u32[base + SCRATCH] = memory.emptyAddress;
  u32[base + SCRATCH_BYTE_LENGTH] = 0;

  runBlock(instance, memory, block, caller);

  views = memory.views();
  takeOut(out, outPlace, outData, views);
  if (lse !== undefined && lsePlace !== undefined) takeOut(lse, lsePlace, lseData, views);
  if (weights !== undefined && weightsPlace !== undefined) takeOut(weights, weightsPlace, weightsData, views);
  const emptyRow = call.findEmptyRow ? findEmptyRow(views.f32, lseAddress >>> 2, rows) : -1;
  return { out: outData, lse: lseData, weights: weightsData, emptyRow };
}

/** Plans the attention block at `block`, gives it its scratch memory, and runs all passes. */
export function runBlock(instance: WasmInstance, memory: LinearMemory, block: number, caller: string): void {
  plan(instance, KIND_ATTENTION, block, caller);
  const base = block >>> 2;
  let u32 = memory.views().u32;
  const scratchByteLength = u32[base + PLAN_SCRATCH_BYTE_LENGTH]!;
  const passes = u32[base + PLAN_PASSES]!;
  const packTiles = u32[base + PLAN_PACK_TILES]!;
  const attendTiles = u32[base + PLAN_ATTEND_TILES]!;
  const scratch = memory.scratch.allocate(scratchByteLength, caller);
  u32 = memory.views().u32;
  u32[base + SCRATCH] = scratch;
  u32[base + SCRATCH_BYTE_LENGTH] = scratchByteLength;
  for (let pass = 0; pass < passes; pass++) {
    runTiles(instance, KIND_ATTENTION, PHASE_PACK, block, pass, packTiles, caller);
    runTiles(instance, KIND_ATTENTION, PHASE_ATTEND, block, pass, attendTiles, caller);
  }
}

function newData(
  destination: Destination,
  memory: LinearMemory,
  caller: string,
): Float32Array<ArrayBuffer> | undefined {
  if (destination.target !== undefined) return undefined;
  try {
    return new Float32Array(destination.elements);
  } catch (cause) {
    throw outOfMemory(caller, destination.elements * 4, memory.liveBytes, memory.limitBytes, cause);
  }
}

/** A view that lies outside is copied as it lies, or element by element where most of its span is not its own. */
function isPacked(view: TensorView): boolean {
  return view.span >= 2 * view.elements;
}

function placeInput(view: TensorView, memory: LinearMemory, caller: string): Placed {
  if (view.address >= 0) return view;
  if (!isPacked(view)) return { address: memory.scratch.allocate(view.span * 4, caller), strides: view.strides };
  const strides = contiguousStrides(view.shape, view.elements);
  return { address: memory.scratch.allocate(view.elements * 4, caller), strides };
}

function fillInput(view: TensorView, place: Placed, views: { readonly i32: RawArray }): void {
  if (view.outside === undefined) return;
  const at = place.address >>> 2;
  if (!isPacked(view)) views.i32.set(view.outside, at);
  else copyElements(view.shape, view.outside, 0, view.strides, views.i32, at, place.strides);
}

function placeOutput(destination: Destination, memory: LinearMemory, caller: string): Placed {
  const { target } = destination;
  return target !== undefined && target.address >= 0 ? target : newPlace(destination, memory, caller);
}

function placeContiguous(destination: Destination, memory: LinearMemory, caller: string): Placed {
  const { target } = destination;
  return target !== undefined && target.address >= 0 && target.contiguous
    ? target
    : newPlace(destination, memory, caller);
}

function newPlace({ shape, elements }: Destination, memory: LinearMemory, caller: string): Placed {
  return { address: memory.scratch.allocate(elements * 4, caller), strides: contiguousStrides(shape, elements) };
}

function writeView(u32: Uint32Array, at: number, { address, strides }: Placed, axes: AxisOrder): void {
  u32[at + VIEW_POINTER] = address;
  u32[at + VIEW_DTYPE] = VIEW_FLOAT32;
  u32[at + VIEW_STRIDE_BATCH] = axes.batch < 0 ? 0 : strides[axes.batch]!;
  u32[at + VIEW_STRIDE_SEQ] = strides[axes.seq]!;
  u32[at + VIEW_STRIDE_HEAD] = axes.head < 0 ? 0 : strides[axes.head]!;
}

function takeOut(
  { target, shape, elements }: Destination,
  place: Placed,
  data: Float32Array<ArrayBuffer> | undefined,
  views: { readonly f32: Float32Array<ArrayBuffer>; readonly i32: RawArray },
): void {
  const at = place.address >>> 2;
  if (data !== undefined) {
    data.set(views.f32.subarray(at, at + elements));
  } else if (target !== undefined && target !== place) {
    const to = target.outside ?? views.i32;
    const toAt = target.outside === undefined ? target.address >>> 2 : 0;
    copyElements(shape, views.i32, at, place.strides, to, toAt, target.strides);
  }
}

/** Index of the first row whose lse is -Infinity: it saw no key. */
function findEmptyRow(f32: Float32Array, at: number, rows: number): number {
  for (let row = 0; row < rows; row++) if (f32[at + row] === Number.NEGATIVE_INFINITY) return row;
  return -1;
}
