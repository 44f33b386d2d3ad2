/**
 * Attention.
 */

import type { Engine } from "./engine.ts";
import { SaccadeRangeError } from "./errors.ts";
import { instanceFor } from "./init.ts";
import { describeRow, resolveAttention } from "./layout/attention.ts";
import { captureAttention } from "./layout/attention-capture.ts";
import type { PlainTensor, Tensor, TensorLike } from "./tensor.ts";
import { type Destination, runAttention } from "./wasm/attention.ts";

/** Where results are written, one by one. */
export interface AttentionTargets {
  /** For `out`. */
  readonly out: TensorLike | Tensor;
  /** For `lse`; needs `returnLse: true`. */
  readonly lse?: TensorLike | Tensor | undefined;
  /** For `weights`; needs `returnWeights: true`. */
  readonly weights?: TensorLike | Tensor | undefined;
}

/** What can be given as `out`. */
export type AttentionTarget = TensorLike | Tensor | AttentionTargets;

/**
 * Options of {@link attention}.
 *
 * @typeParam Lse - whether `lse` is in the result: the type of `returnLse`
 * @typeParam Weights - whether `weights` are in the result: the type of `returnWeights`
 * @typeParam Target - the type of `out`; say it where options with `out` are kept in a variable
 */
export interface AttentionOptions<
  Lse extends boolean = boolean,
  Weights extends boolean = boolean,
  Target extends AttentionTarget | undefined = undefined,
> {
  /** Order of the axes: `"bshd"` (default) is `[batch, seq, heads, headDim]`, `"bhsd"` `[batch, heads, seq, headDim]`. */
  readonly layout?: "bshd" | "bhsd" | undefined;
  /** Factor of the scores: any finite number. Default `1 / sqrt(headDim)`. */
  readonly scale?: number | undefined;
  /** `true`: query row i sees key j iff `j <= i + qOffset`. Default `false`. */
  readonly causal?: boolean | undefined;
  /**
   * Position of query row 0 among the keys: an integer, one per batch row, `"bottom-right"` (kvLen, or kvLengths[b],
   * minus qLen; it may be negative) or `"top-left"` (0). Needed as soon as `causal` meets qLen != kvLen: systems
   * disagree on the default, so there is none. With qLen == kvLen it is 0.
   */
  readonly qOffset?: number | ArrayLike<number> | "bottom-right" | "top-left" | undefined;
  /** Valid keys per batch row, each at most kvLen; keys behind them are never seen, whatever they hold. Default: all. */
  readonly kvLengths?: ArrayLike<number> | undefined;
  /** Whether the natural logarithm of each row's sum of exponentials is returned too. Default `false`. */
  readonly returnLse?: Lse | undefined;
  /** Whether the attention weights are returned too: memory of qLen x kvLen per head. Default `false`. */
  readonly returnWeights?: Weights | undefined;
  /**
   * Where results are written instead of into new arrays: float32, in the shape of the result, with strides and offset
   * where wanted. It must not overlap an input or another output. With resident Tensors nothing is copied.
   */
  readonly out?: Target | undefined;
  /**
   * What a row does that sees no key: `"zero"` (default) leaves it 0 (lse: -Infinity), `"throw"` throws
   * `ERR_SACCADE_EMPTY_ROW` after the run, when `out` has been written.
   */
  readonly onEmptyRow?: "zero" | "throw" | undefined;
  /** The engine that runs the call, and in whose memory its Tensors live. Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** A new result, or the target that was given for it. */
type Written<Target, Name extends "out" | "lse" | "weights"> = Target extends { readonly out: unknown }
  ? Target extends { readonly [name in Name]: infer Given extends TensorLike | Tensor }
    ? Given
    : PlainTensor<"float32">
  : Name extends "out"
    ? Target extends TensorLike | Tensor
      ? Target
      : PlainTensor<"float32">
    : PlainTensor<"float32">;

/** `{ [name]: type }` where it was asked for, `{ [name]?: type }` where that is not known, else nothing. */
type Asked<Flag extends boolean, Name extends string, Type> = [Flag] extends [true]
  ? { readonly [name in Name]: Type }
  : [Flag] extends [false]
    ? unknown
    : { readonly [name in Name]?: Type };

/** What {@link attention} returns. Where a target was given for a result, the result is that very object. */
export type AttentionResult<
  Lse extends boolean = boolean,
  Weights extends boolean = boolean,
  Target extends AttentionTarget | undefined = undefined,
> = {
  /** `[batch, qLen, numHeads, valueHeadDim]`, in the layout and rank of the query. */
  readonly out: Written<Target, "out">;
} & Asked<Lse, "lse", Written<Target, "lse">> &
  Asked<Weights, "weights", Written<Target, "weights">>;

/**
 * Scaled dot-product attention: `softmax(scale * Q K^T) V`, row by row, for every head of every batch row
 * (Vaswani et al., "Attention Is All You Need", 2017), computed in blocks of keys with a running maximum and sum, so
 * that memory is O(qLen + kvLen) per head (Dao et al., "FlashAttention", 2022). Arithmetic is float32; in the strict
 * build the bits of a row depend on its inputs alone, never on batch, tiling, engine or CPU.
 *
 * Shapes in the default layout `"bshd"`; all three inputs have the same rank:
 *
 * | | rank 4 | rank 3 | rank 2 |
 * |---|---|---|---|
 * | query | `[batch, qLen, numHeads, headDim]` | `[qLen, numHeads, headDim]` | `[qLen, headDim]` |
 * | key | `[batch, kvLen, numKvHeads, headDim]` | `[kvLen, numKvHeads, headDim]` | `[kvLen, headDim]` |
 * | value | `[batch, kvLen, numKvHeads, valueHeadDim]` | `[kvLen, numKvHeads, valueHeadDim]` | `[kvLen, valueHeadDim]` |
 * | out | `[batch, qLen, numHeads, valueHeadDim]` | `[qLen, numHeads, valueHeadDim]` | `[qLen, valueHeadDim]` |
 * | lse | `[batch, numHeads, qLen]` | `[numHeads, qLen]` | `[qLen]` |
 * | weights | `[batch, numHeads, qLen, kvLen]` | `[numHeads, qLen, kvLen]` | `[qLen, kvLen]` |
 *
 * `numHeads` is a multiple of `numKvHeads`; query head h reads kv head `floor(h / (numHeads / numKvHeads))`. Every
 * size may be 0, but headDim, which is at least 1. A row that sees no key is 0, its lse -Infinity. Inputs are float32
 * and never change. Tensors of the engine are read where they lie; plain arrays are copied in (shared ones once: a
 * snapshot). After a refused call the engine works on, and nothing has been written.
 *
 * @param query - what each row looks for
 * @param key - what each key offers to be found by
 * @param value - what each key gives
 * @param options - see {@link AttentionOptions}; unknown names are refused
 * @returns `out`, with `lse` and `weights` where they were asked for
 *
 * @throws TypeError `ERR_SACCADE_ARGUMENT` (no tensor, an option of the wrong kind), `ERR_SACCADE_DTYPE`,
 *   `ERR_SACCADE_OPTION` (unknown or contradictory option, `qOffset` missing)
 * @throws RangeError `ERR_SACCADE_SHAPE`, `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE`, `ERR_SACCADE_OVERLAP`,
 *   `ERR_SACCADE_EMPTY_ROW`
 * @throws SaccadeError `ERR_SACCADE_NOT_INITIALIZED`, `ERR_SACCADE_DETACHED`, `ERR_SACCADE_DISPOSED`,
 *   `ERR_SACCADE_FOREIGN`, `ERR_SACCADE_OUT_OF_MEMORY`, `ERR_SACCADE_POISONED`, `ERR_SACCADE_UNSUPPORTED` (an option
 *   that this version does not have yet)
 *
 * @example
 * ```ts
 * import { attention, init } from "saccade";
 *
 * await init();
 * const shape = [1, 3, 2, 4]; // batch, seq, heads, headDim
 * const query = { data: Float32Array.from({ length: 24 }, (_, i) => Math.sin(i)), shape };
 * const { out, lse } = attention(query, query, query, { causal: true, returnLse: true });
 * console.log(out.shape, lse.shape); // [1, 3, 2, 4] [1, 2, 3]
 * ```
 */
export function attention<
  Lse extends boolean = false,
  Weights extends boolean = false,
  Target extends AttentionTarget | undefined = undefined,
>(
  query: TensorLike | Tensor,
  key: TensorLike | Tensor,
  value: TensorLike | Tensor,
  options?: AttentionOptions<Lse, Weights, Target>,
): AttentionResult<Lse, Weights, Target> {
  const captured = captureAttention(query, key, value, options);
  const instance = instanceFor(captured.engine, "attention");
  const call = resolveAttention(captured, instance);
  const outcome = runAttention(instance, call);
  if (outcome.emptyRow >= 0) {
    throw new SaccadeRangeError(
      "ERR_SACCADE_EMPTY_ROW",
      `attention: ${describeRow(call, outcome.emptyRow)} sees no key, and options.onEmptyRow is "throw"`,
    );
  }
  const { targets } = captured;
  const result: { out: unknown; lse?: unknown; weights?: unknown } = {
    out: resultOf(call.out, outcome.out, targets.out),
  };
  if (call.lse !== undefined) result.lse = resultOf(call.lse, outcome.lse, targets.lse);
  if (call.weights !== undefined) result.weights = resultOf(call.weights, outcome.weights, targets.weights);
  return result as AttentionResult<Lse, Weights, Target>;
}

function resultOf({ shape }: Destination, data: Float32Array<ArrayBuffer> | undefined, target: unknown): unknown {
  return data === undefined ? target : { data, shape, dtype: "float32" };
}
