/**
 * The words of the attention argument block: which value goes where.
 */

import {
  ATTENTION_BYTE_LENGTH,
  FLAG_CAUSAL,
  FLAG_SCALE,
  FLAG_SOFTCAP,
  FLAG_WINDOW,
  TAP_STAGES,
  VIEW_DTYPE,
  VIEW_DTYPES,
  VIEW_POINTER,
  VIEW_STRIDE_BATCH,
  VIEW_STRIDE_HEAD,
  VIEW_STRIDE_SEQ,
  WEIGHTS_FULL,
  WEIGHTS_HEAD_MEAN,
  WEIGHTS_ROWS,
  WEIGHTS_TOP_K,
  WINDOW_OPEN,
} from "./abi.ts";
import {
  BATCH,
  FLAGS,
  HEAD_DIM,
  KV_LEN,
  KV_START,
  LSE,
  NUM_HEADS,
  NUM_KV_HEADS,
  OUT,
  PARTIAL,
  Q_LEN,
  SCALE,
  SCRATCH,
  SOFTCAP,
  TAP,
  TAP_STAGE,
  VALUE_HEAD_DIM,
  WEIGHTS,
  WEIGHTS_COUNT,
  WEIGHTS_EXTRA,
  WEIGHTS_KIND,
  WINDOW_FIRST,
  WINDOW_LEFT,
  WINDOW_RIGHT,
} from "./attention-fields.ts";
import {
  type AttentionCall,
  type AxisOrder,
  type KeyRange,
  type Modifiers,
  RESULT_OUT,
  RESULT_SCORES,
  RESULT_WEIGHTS,
  type Results,
} from "./call.ts";
import type { MemoryViews } from "./memory.ts";
import type { Placed } from "./place.ts";
import type { TensorView } from "./view.ts";

/** The part of a call that {@link writeSizes} writes. */
export type SizesOfBlock = Pick<
  AttentionCall,
  "scale" | "causal" | "batch" | "numHeads" | "numKvHeads" | "qLen" | "kvLen" | "headDim" | "valueHeadDim"
>;

/** Clears the block and writes sizes and scalars. Fields that stay 0 mean: absent. */
export function writeSizes(views: MemoryViews, block: number, call: SizesOfBlock, scratch: number): void {
  const base = block >>> 2;
  const { u32 } = views;
  u32.fill(0, base, base + (ATTENTION_BYTE_LENGTH >>> 2));
  if (call.scale !== undefined) views.f64[(base + SCALE) >>> 1] = call.scale;
  u32[base + FLAGS] = (call.scale === undefined ? 0 : FLAG_SCALE) | (call.causal ? FLAG_CAUSAL : 0);
  u32[base + BATCH] = call.batch;
  u32[base + NUM_HEADS] = call.numHeads;
  u32[base + NUM_KV_HEADS] = call.numKvHeads;
  u32[base + Q_LEN] = call.qLen;
  u32[base + KV_LEN] = call.kvLen;
  u32[base + HEAD_DIM] = call.headDim;
  u32[base + VALUE_HEAD_DIM] = call.valueHeadDim;
  u32[base + SCRATCH] = scratch;
}

/** Says which of the call's keys are here, and where their states go. */
export function writeShard(u32: Uint32Array, base: number, { kvStart, kvEnd }: KeyRange, partial: number): void {
  u32[base + KV_START] = kvStart;
  u32[base + KV_LEN] = kvEnd - kvStart;
  u32[base + PARTIAL] = partial;
}

/** Writes an operand that has the axes of the call. */
export function writeView(u32: Uint32Array, at: number, { address, strides, dtype }: Placed, axes: AxisOrder): void {
  u32[at + VIEW_POINTER] = address;
  u32[at + VIEW_DTYPE] = VIEW_DTYPES[dtype];
  u32[at + VIEW_STRIDE_BATCH] = axes.batch < 0 ? 0 : strides[axes.batch]!;
  u32[at + VIEW_STRIDE_SEQ] = strides[axes.seq]!;
  u32[at + VIEW_STRIDE_HEAD] = axes.head < 0 ? 0 : strides[axes.head]!;
}

/** Writes an operand that broadcasts to `[batch, numHeads, qLen, kvLen]` from its last axes; returns its width. */
export function writeBroadcast(u32: Uint32Array, at: number, { shape }: TensorView, place: Placed): number {
  const rank = shape.length;
  // An axis that is missing or 1 is walked with a stride of 0.
  const stride = (fromEnd: number): number =>
    fromEnd > rank || shape[rank - fromEnd] === 1 ? 0 : place.strides[rank - fromEnd]!;
  u32[at + VIEW_POINTER] = place.address;
  u32[at + VIEW_DTYPE] = VIEW_DTYPES[place.dtype];
  u32[at + VIEW_STRIDE_BATCH] = stride(4);
  u32[at + VIEW_STRIDE_HEAD] = stride(3);
  u32[at + VIEW_STRIDE_SEQ] = stride(2);
  return shape[rank - 1]!;
}

/** Writes the numbers of the modifiers. */
export function writeModifiers(views: MemoryViews, base: number, { softcap, window }: Modifiers): void {
  const { u32 } = views;
  if (softcap !== undefined) {
    views.f64[(base + SOFTCAP) >>> 1] = softcap;
    u32[base + FLAGS]! |= FLAG_SOFTCAP;
  }
  if (window !== undefined) {
    u32[base + FLAGS]! |= FLAG_WINDOW;
    u32[base + WINDOW_LEFT] = window.left ?? WINDOW_OPEN;
    u32[base + WINDOW_RIGHT] = window.right ?? WINDOW_OPEN;
    u32[base + WINDOW_FIRST] = window.first;
  }
}

const KINDS = { full: WEIGHTS_FULL, "head-mean": WEIGHTS_HEAD_MEAN, rows: WEIGHTS_ROWS, "top-k": WEIGHTS_TOP_K };

/**
 * Writes where the results go.
 *
 * @param lse - address of the row-major `[batch, numHeads, qLen]`, or 0
 * @param extra - address of the rows' slots or of the indices, beside such weights
 */
export function writeResults(
  u32: Uint32Array,
  base: number,
  { axes, numHeads, qLen, weights, tap }: AttentionCall,
  places: Results<Placed>,
  lse: number,
  extra: number,
): void {
  writeView(u32, base + OUT, places[RESULT_OUT]!, axes);
  if (lse !== 0) {
    u32[base + LSE + VIEW_POINTER] = lse;
    u32[base + LSE + VIEW_STRIDE_BATCH] = numHeads * qLen;
    u32[base + LSE + VIEW_STRIDE_SEQ] = 1;
    u32[base + LSE + VIEW_STRIDE_HEAD] = qLen;
  }
  if (weights !== undefined) {
    u32[base + WEIGHTS] = places[RESULT_WEIGHTS]!.address;
    u32[base + WEIGHTS_KIND] = KINDS[weights.kind];
    u32[base + WEIGHTS_COUNT] =
      weights.kind === "rows" ? weights.rows.length : weights.kind === "top-k" ? weights.k : 0;
    u32[base + WEIGHTS_EXTRA] = extra;
  }
  if (tap !== undefined) {
    u32[base + TAP] = places[RESULT_SCORES]!.address;
    u32[base + TAP_STAGE] = TAP_STAGES.indexOf(tap);
  }
}
