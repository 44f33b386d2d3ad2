/**
 * Attention pooling: the weighted mean of values that textbooks begin with, under any score and any normaliser.
 */

import type { Asked } from "./attention-options.ts";
import type { Engine } from "./engine.ts";
import { instanceFor } from "./init.ts";
import { resolveApart, resolveDestination } from "./layout/destinations.ts";
import { captureLengths } from "./layout/lengths.ts";
import { proveFloatTensor } from "./layout/operands.ts";
import { proveBoolean, proveWord, readOptions } from "./layout/options.ts";
import { plainOf } from "./layout/results.ts";
import { captureTensor } from "./layout/tensor-like.ts";
import { type Normalize, proveKeys, proveNormalize, softmax, sum } from "./pooling/normalize.ts";
import { runPooling } from "./pooling/run.ts";
import { proveScore, type Score, type ScoreKind } from "./pooling/score.ts";
import { LAYOUTS, type Layout, proveKeyLengths, proveMask, resolvePooling } from "./pooling/sizes.ts";
import type { PlainTensor, TensorInput } from "./tensor.ts";
import { inSession } from "./wasm/operator.ts";

/**
 * Options of {@link attentionPooling}.
 *
 * @typeParam Weights - whether `weights` are in the result: the type of `returnWeights`
 * @typeParam Scores - whether `scores` are: the type of `returnScores`
 */
export interface PoolingOptions<Weights extends boolean = boolean, Scores extends boolean = boolean> {
  /** How well a query and a key fit: `dot()`, `additive({ … })`, `gaussian()`, … */
  readonly score: Score;
  /** How a row of scores becomes weights. Default: `sum()` for the kernels of the distance, `softmax()` for every other score. */
  readonly normalize?: Normalize | undefined;
  /** Keys that count: one number per batch row, or one for every query (rows of numbers, or an int32 tensor `[batch, qLen]`). */
  readonly kvLengths?: ArrayLike<number> | ArrayLike<ArrayLike<number>> | TensorInput | undefined;
  /** Truth values, true = may attend, broadcast to `[batch, numHeads, qLen, kvLen]` without the axes that the query leaves out. */
  readonly mask?: TensorInput | undefined;
  /** Order of the axes of rank 4. Default `"bshd"`: `[batch, seq, heads, dim]`; `"bhsd"`: `[batch, heads, seq, dim]`. */
  readonly layout?: Layout | undefined;
  /** Whether the weights are wanted. Default false: they are never stored as a whole then. */
  readonly returnWeights?: Weights | undefined;
  /** Whether the scores are wanted, in natural units, -Infinity where a key is hidden. Default false. */
  readonly returnScores?: Scores | undefined;
  /** Where the result goes: float32 of the result's shape; it must not overlap an input. Default: a new tensor. */
  readonly out?: TensorInput | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** What {@link attentionPooling} returns. */
export type PoolingResult<Weights extends boolean = boolean, Scores extends boolean = boolean> = {
  /** Like the query, with the value's last axis. */
  readonly out: PlainTensor<"float32">;
} & Asked<Weights, "weights", PlainTensor<"float32">> &
  Asked<Scores, "scores", PlainTensor<"float32">>;

const KNOWN = [
  "score",
  "normalize",
  "kvLengths",
  "mask",
  "layout",
  "returnWeights",
  "returnScores",
  "out",
  "engine",
] as const;

/** Scores that are logarithms of a kernel. */
const KERNELS: readonly ScoreKind[] = ["gaussian", "boxcar", "triangular", "epanechnikov"];

/**
 * Attention pooling, `f(q) = sum_i alpha(q, k_i) v_i`: a score for every query and key, a row of scores made into weights, the
 * values added with these weights. float32 whatever the inputs' dtypes.
 *
 * Query head h reads key head `floor(h / (numHeads / numKvHeads))`. What lies under a hidden key is never seen, NaN included; a row that
 * sees no key is 0. A row has the same bits alone and among many. Memory is O(qLen + kvLen) unless weights or scores are asked for.
 *
 * @param query - `[qLen, queryDim]`, `[batch, qLen, queryDim]` or `[batch, qLen, numHeads, queryDim]`
 * @param key - the same with kvLen, numKvHeads and keyDim
 * @param value - the same with kvLen, numKvHeads and any last axis
 * @returns `out`, like the query with the value's last axis; with `returnWeights` and `returnScores` also `weights` and `scores`,
 *   `[batch, numHeads, qLen, kvLen]` without the axes that the query leaves out
 * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`,
 *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE`, `ERR_SACCADE_OVERLAP`; SaccadeError as `attention`
 *
 * @example
 * ```ts
 * import { attentionPooling, gaussian, init } from "saccade";
 *
 * await init();
 * const row = (...data: number[]) => ({ data: new Float32Array(data), shape: [data.length, 1] });
 * const { out, weights } = attentionPooling(row(1), row(0, 2), row(10, 20), { score: gaussian(), returnWeights: true });
 * console.log(out.data, weights.data); // 15, and twice 0.5
 * ```
 */
export function attentionPooling<Weights extends boolean = false, Scores extends boolean = false>(
  query: TensorInput,
  key: TensorInput,
  value: TensorInput,
  options: PoolingOptions<Weights, Scores>,
): PoolingResult<Weights, Scores> {
  const caller = "attentionPooling";
  const captured = {
    query: captureTensor(query, caller, "query"),
    key: captureTensor(key, caller, "key"),
    value: captureTensor(value, caller, "value"),
  };
  const read = readOptions(options, KNOWN, caller);
  const score = proveScore(read.score, caller);
  const wanted = (name: "returnWeights" | "returnScores"): boolean =>
    read[name] !== undefined && proveBoolean(read[name], caller, name);
  const [returnWeights, returnScores] = [wanted("returnWeights"), wanted("returnScores")];
  const layout = read.layout === undefined ? "bshd" : proveWord(read.layout, LAYOUTS, caller, "layout");
  const sizes = resolvePooling(captured, score, layout, caller);
  const normalize =
    read.normalize === undefined
      ? KERNELS.includes(score.kind)
        ? sum()
        : softmax()
      : proveNormalize(read.normalize, caller);
  proveKeys(normalize, sizes.kvLen, caller);
  const capturedLengths =
    read.kvLengths === undefined ? undefined : captureLengths(read.kvLengths, caller, "options.kvLengths");
  const capturedMask = read.mask === undefined ? undefined : captureTensor(read.mask, caller, "mask");
  const target = read.out === undefined ? undefined : captureTensor(read.out, caller, "out");

  const instance = instanceFor(read.engine, caller);
  const views = {
    query: proveFloatTensor(captured.query, instance, caller),
    key: proveFloatTensor(captured.key, instance, caller),
    value: proveFloatTensor(captured.value, instance, caller),
  };
  const lengths = proveKeyLengths(capturedLengths, sizes, instance, caller);
  const mask = proveMask(capturedMask, sizes, instance, caller);
  const outShape = [...captured.query.shape.slice(0, -1), sizes.valueDim];
  const destination = resolveApart(target, outShape, { ...views, mask: mask.view }, instance, caller);
  const rows = resolveDestination(undefined, sizes.weightsShape, "float32", instance, caller);
  return inSession(instance, caller, (session) => {
    const out = session.result(destination);
    const weights = returnWeights ? session.result(rows) : undefined;
    const scores = returnScores ? session.result(rows) : undefined;
    const slots = {
      query: session.input(views.query),
      key: session.input(views.key),
      value: session.input(views.value),
      mask: mask.view && session.raw(mask.view),
    };
    runPooling(session, { score, normalize, sizes, lengths, maskSizes: mask.sizes }, slots, { out, weights, scores });
    return {
      out: plainOf(out, read.out),
      ...(weights && { weights: plainOf(weights) }),
      ...(scores && { scores: plainOf(scores) }),
    } as PoolingResult<Weights, Scores>;
  });
}
