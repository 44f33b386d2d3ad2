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
  ALIBI_SLOPES,
  BATCH,
  BIAS,
  BIAS_WIDTH,
  FLAGS,
  HEAD_DIM,
  KV_LEN,
  KV_START,
  LSE,
  MASK,
  MASK_WIDTH,
  NUM_HEADS,
  NUM_KV_HEADS,
  PARTIAL,
  PROGRAM,
  PROGRAM_LENGTH,
  Q_LEN,
  Q_LENGTHS,
  SCALE,
  SCRATCH,
  SINKS,
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
import type { AttentionCall, AxisOrder, KeyRange, Modifiers, WeightsCall } from "./call.ts";
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

/** Writes the row-major lse `[batch, numHeads, qLen]`. */
export function writeLse(u32: Uint32Array, base: number, address: number, { numHeads, qLen }: AttentionCall): void {
  u32[base + LSE + VIEW_POINTER] = address;
  u32[base + LSE + VIEW_STRIDE_BATCH] = numHeads * qLen;
  u32[base + LSE + VIEW_STRIDE_SEQ] = 1;
  u32[base + LSE + VIEW_STRIDE_HEAD] = qLen;
}

/** Writes an operand that broadcasts to `[batch, numHeads, qLen, kvLen]` from its last axes; returns its width. */
function writeBroadcast(u32: Uint32Array, at: number, { shape }: TensorView, place: Placed): number {
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

/** Where the modifiers' memory lies; 0 where there is none. */
export interface PlacedModifiers {
  readonly qLengths: number;
  readonly alibiSlopes: number;
  readonly sinks: number;
  readonly mask: Placed | undefined;
  readonly bias: Placed | undefined;
  readonly program: number;
}

/** Writes the modifiers. */
export function writeModifiers(views: MemoryViews, block: number, modifiers: Modifiers, places: PlacedModifiers): void {
  const base = block >>> 2;
  const { u32 } = views;
  const { softcap, window, mask, bias, program } = modifiers;
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
  if (mask !== undefined && places.mask !== undefined) {
    u32[base + MASK_WIDTH] = writeBroadcast(u32, base + MASK, mask, places.mask);
  }
  if (bias !== undefined && places.bias !== undefined) {
    u32[base + BIAS_WIDTH] = writeBroadcast(u32, base + BIAS, bias, places.bias);
  }
  if (program !== undefined) {
    u32[base + PROGRAM] = places.program;
    u32[base + PROGRAM_LENGTH] = program.words.length;
  }
  u32[base + Q_LENGTHS] = places.qLengths;
  u32[base + ALIBI_SLOPES] = places.alibiSlopes;
  u32[base + SINKS] = places.sinks;
}

const KINDS = { full: WEIGHTS_FULL, "head-mean": WEIGHTS_HEAD_MEAN, rows: WEIGHTS_ROWS, "top-k": WEIGHTS_TOP_K };

/** Writes where the weights go; `extra` is the address of the rows' slots or of the indices. */
export function writeWeights(u32: Uint32Array, base: number, weights: WeightsCall, at: Placed, extra: number): void {
  u32[base + WEIGHTS] = at.address;
  u32[base + WEIGHTS_KIND] = KINDS[weights.kind];
  u32[base + WEIGHTS_COUNT] = weights.kind === "rows" ? weights.rows.length : weights.kind === "top-k" ? weights.k : 0;
  u32[base + WEIGHTS_EXTRA] = extra;
}

/** Writes where the scores go. */
export function writeTap(u32: Uint32Array, base: number, stage: (typeof TAP_STAGES)[number], at: Placed): void {
  u32[base + TAP] = at.address;
  u32[base + TAP_STAGE] = TAP_STAGES.indexOf(stage);
}
