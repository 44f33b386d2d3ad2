/**
 * Attention over keys that no single place holds: shards compute states, and merging them gives the bits of the
 * unsplit call.
 */

import type { AttentionBaseOptions, AttentionBatchOptions } from "./attention-options.ts";
import type { Engine } from "./engine.ts";
import { instanceFor } from "./init.ts";
import { resolveAttention } from "./layout/attention.ts";
import { captureAttention } from "./layout/attention-capture.ts";
import { captureMergeOptions, proveResults } from "./layout/merge.ts";
import { proveParts } from "./layout/part.ts";
import { captureShard } from "./layout/shard.ts";
import type { AttentionPart } from "./part.ts";
import type { PlainTensor, Tensor, TensorLike } from "./tensor.ts";
import type { WasmInstance } from "./wasm/instance.ts";
import { type MergedRows, type MergeSizes, mergeParts, mergeResults } from "./wasm/merge.ts";
import { runPartial } from "./wasm/partial.ts";
import { afterwards } from "./wasm/recording.ts";
import { contiguousStrides, copyElements } from "./wasm/view.ts";

/** Options of {@link attentionPartial}: those of `attention` that change scores, and the place of the shard's keys. */
export interface AttentionPartialOptions
  extends Omit<AttentionBaseOptions, "returnLse" | "out" | "outDtype" | "onEmptyRow">,
    Omit<AttentionBatchOptions, "returnWeights" | "tap" | "cuQLens" | "cuKvLens"> {
  /** Position of the shard's first key among all keys. */
  readonly kvStart: number;
  /** How many keys the whole call has. Masks, biases and kvLengths are those of the whole call. */
  readonly kvTotal: number;
}

/** Options of {@link mergePartials} and {@link mergeStates}. */
export interface MergeOptions {
  /** Whether `lse` is in the result. Default `false`. */
  readonly returnLse?: boolean | undefined;
  /** The engine that merges. Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** What {@link mergePartials} returns: as `attention` would have. */
export interface MergeResult {
  /** In the layout and rank of the query. */
  readonly out: PlainTensor<"float32">;
  /** `[batch, numHeads, qLen]`, less the axes that the query leaves out; with `returnLse: true`. */
  readonly lse?: PlainTensor<"float32">;
}

/**
 * The unnormalised states of attention over a shard of the keys: `key` and `value` hold the keys from `kvStart` on, out
 * of `kvTotal`; everything else is as in the unsplit call, masks and lengths of all keys included. A split may lie anywhere,
 * inside a block of 64 too. Memory per query row: at most two states per level of the merge tree over the shard's
 * blocks, and what is known of at most 63 keys on either side (Milakov and Gimelshein 2018; Dao et al. 2023).
 *
 * @throws as `attention`; RangeError `ERR_SACCADE_RANGE` where the shard reaches past `kvTotal`
 *
 * @example
 * ```ts
 * import { attentionPartial, init, mergePartials } from "saccade";
 *
 * await init();
 * const tensor = (length: number, shape: number[]) => ({ data: new Float32Array(length).fill(0.5), shape });
 * const query = tensor(16, [2, 8]);
 * const parts = [0, 100].map((kvStart) => {
 *   const kvLen = kvStart === 0 ? 100 : 30;
 *   return attentionPartial(query, tensor(kvLen * 8, [kvLen, 8]), tensor(kvLen * 8, [kvLen, 8]), { kvStart, kvTotal: 130 });
 * });
 * console.log(mergePartials(parts).out.shape); // [2, 8]
 * ```
 */
export function attentionPartial(
  query: TensorLike | Tensor,
  key: TensorLike | Tensor,
  value: TensorLike | Tensor,
  options: AttentionPartialOptions,
): AttentionPart {
  const caller = "attentionPartial";
  const { shard, rest } = captureShard(options, caller);
  const captured = captureAttention(query, key, value, rest, caller);
  const instance = instanceFor(captured.engine, caller);
  return runPartial(instance, resolveAttention(captured, instance, shard), captured.layout);
}

/**
 * Merges the parts of a call, in any order, to the bits of the unsplit call; sinks are applied here. Parts must hold
 * every key exactly once and come from one call (options, sizes, query, profile): else they are refused.
 *
 * @throws TypeError `ERR_SACCADE_ARGUMENT` (no part), `ERR_SACCADE_OPTION` (parts of different calls, of another build);
 *   RangeError `ERR_SACCADE_RANGE` (keys missing or held twice), `ERR_SACCADE_SHAPE`
 */
export function mergePartials(parts: ArrayLike<AttentionPart>, options?: MergeOptions): MergeResult {
  const caller = "mergePartials";
  const { returnLse, engine } = captureMergeOptions(options, ["returnLse", "engine"], caller);
  const { instance, parts: proved } = proveParts(parts, () => instanceFor(engine, caller), caller);
  const first = proved[0]!;
  const rows = mergeParts(instance, first, proved, caller);
  return resultOf(instance, rows, first, first.layout, first.rank, returnLse);
}

/**
 * Merges ordinary results over different keys: `out` and `lse` of each. The error is bounded, the bits are not those of
 * the unsplit call (each `lse` was rounded once): {@link attentionPartial} keeps them. Sinks must not be in more than one.
 *
 * @param states - results of equal shapes, from left to right; the order of two or more changes the last bits
 * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`; RangeError `ERR_SACCADE_SHAPE`, `ERR_SACCADE_RANGE`
 */
export function mergeStates(
  states: ArrayLike<{ readonly out: TensorLike | Tensor; readonly lse: TensorLike | Tensor }>,
  options?: MergeOptions & { readonly layout?: "bshd" | "bhsd" | undefined },
): MergeResult {
  const caller = "mergeStates";
  const { returnLse, engine, layout } = captureMergeOptions(options, ["returnLse", "engine", "layout"], caller);
  const instance = instanceFor(engine, caller);
  const { sizes, rank, results } = proveResults(states, layout, instance, caller);
  return resultOf(instance, mergeResults(instance, sizes, results, caller), sizes, layout, rank, returnLse);
}

/** Rows in the layout and rank of the query. */
function resultOf(
  instance: WasmInstance,
  rows: MergedRows,
  { batch, numHeads, qLen, valueHeadDim }: MergeSizes,
  layout: "bshd" | "bhsd",
  rank: number,
  returnLse: boolean,
): MergeResult {
  const full = layout === "bshd" ? [batch, qLen, numHeads, valueHeadDim] : [batch, numHeads, qLen, valueHeadDim];
  let { out } = rows;
  if (layout === "bshd" && numHeads > 1 && qLen > 1) {
    const turned = new Float32Array(rows.out.length);
    const to = contiguousStrides(full, turned.length);
    const from = [numHeads * qLen * valueHeadDim, valueHeadDim, qLen * valueHeadDim, 1];
    afterwards(instance, () => {
      copyElements(full, new Int32Array(rows.out.buffer), 0, from, new Int32Array(turned.buffer), 0, to);
    });
    out = turned;
  }
  const shape = rank === 4 ? full : rank === 3 ? full.slice(1) : [qLen, valueHeadDim];
  const lseShape = [batch, numHeads, qLen].slice(4 - rank);
  const result = { out: { data: out, shape, dtype: "float32" as const } };
  return returnLse ? { ...result, lse: { data: rows.lse, shape: lseShape, dtype: "float32" } } : result;
}
