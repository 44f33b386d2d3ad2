/**
 * Attention.
 */

import type {
  AttentionOptions,
  AttentionResult,
  AttentionTarget,
  OutDTypeOf,
  TapStage,
  WeightsOption,
} from "./attention-options.ts";
import type { FloatDType } from "./dtype.ts";
import type { Engine } from "./engine.ts";
import { SaccadeRangeError } from "./errors.ts";
import { instanceFor } from "./init.ts";
import { describeRow, resolveAttention } from "./layout/attention.ts";
import { captureAttention } from "./layout/attention-capture.ts";
import type { CapturedAttention } from "./layout/captured-attention.ts";
import type { TensorInput } from "./tensor.ts";
import { warmedBy, warmInput, withWarmTensors } from "./warm-up.ts";
import { type AttentionOutcome, runAttention } from "./wasm/attention.ts";
import {
  type AttentionCall,
  RESULT_INDICES,
  RESULT_LSE,
  RESULT_OUT,
  RESULT_SCORES,
  RESULT_WEIGHTS,
} from "./wasm/call.ts";
import { runPacked } from "./wasm/packed.ts";
import { afterwards } from "./wasm/recording.ts";

const CALLER = "attention";

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
 * | weights, scores | `[batch, numHeads, qLen, kvLen]` | `[numHeads, qLen, kvLen]` | `[qLen, kvLen]` |
 *
 * `numHeads` is a multiple of `numKvHeads`; query head h reads kv head `floor(h / (numHeads / numKvHeads))`. Every
 * size may be 0, but headDim, which is at least 1. Inputs are float32, float16 or bfloat16, each of its own kind, and
 * never change; `out` has the query's dtype unless `outDtype` says otherwise (float16 in a `Float16Array` where the
 * engine has it, else as bits in a `Uint16Array`). Tensors of the engine are read where they lie; plain arrays are copied
 * in (shared ones once: a snapshot). After a refused call the engine works on, and nothing has been written.
 *
 * Sequences of different lengths can lie packed in tensors of rank 3: see `AttentionPackedOptions`.
 *
 * A score goes through these steps, in this order: raw dot product, `scale`, `softcap`, plus `bias` and `alibiSlopes`,
 * visibility, softmax (with `sinks`), times V. A key is visible where `causal`, `window`, `mask`, `kvLengths` and a bias
 * that is not -Infinity all say so. What lies under a mask is never seen: NaN and Infinity there cannot show. A row
 * that sees no key is 0, its lse -Infinity, or the sink's.
 *
 * @param query - what each row looks for
 * @param key - what each key offers to be found by
 * @param value - what each key gives
 * @param options - see {@link AttentionOptions}; unknown names are refused
 * @returns `out`, with `lse`, `weights` and `scores` where they were asked for
 *
 * @throws TypeError `ERR_SACCADE_ARGUMENT` (no tensor, an option of the wrong kind), `ERR_SACCADE_DTYPE`,
 *   `ERR_SACCADE_OPTION` (unknown or contradictory option, `qOffset` missing)
 * @throws RangeError `ERR_SACCADE_SHAPE`, `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE`, `ERR_SACCADE_OVERLAP`,
 *   `ERR_SACCADE_EMPTY_ROW`
 * @throws SaccadeError `ERR_SACCADE_NOT_INITIALIZED`, `ERR_SACCADE_DETACHED`, `ERR_SACCADE_DISPOSED`,
 *   `ERR_SACCADE_FOREIGN`, `ERR_SACCADE_OUT_OF_MEMORY`, `ERR_SACCADE_POISONED`
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
  const Query extends TensorInput,
  Lse extends boolean = false,
  Weights extends WeightsOption = false,
  Target extends AttentionTarget | undefined = undefined,
  Tap extends TapStage | undefined = undefined,
  OutDType extends FloatDType | undefined = undefined,
>(
  query: Query,
  key: TensorInput,
  value: TensorInput,
  options?: AttentionOptions<Lse, Weights, Target, Tap, OutDType>,
): AttentionResult<Lse, Weights, Target, Tap, OutDTypeOf<Query, OutDType>> {
  return attend(query, key, value, options, CALLER) as AttentionResult<
    Lse,
    Weights,
    Target,
    Tap,
    OutDTypeOf<Query, OutDType>
  >;
}

/** {@link attention} for a function that is made of it: messages name that function. */
export const attend: typeof runAttend = /* @__PURE__ */ warmedBy(runAttend, warm);

/** Operands of the caller's and of the engine; many rows, whole and causal, and a single one: the tile's kernels and those of a row. */
function warm(engine: Engine, round: number, thorough: boolean): void {
  const [qLen, kvLen] = thorough ? [64, 256] : [1, 1];
  const shapes = [qLen, qLen, 1, 1, kvLen].map((length) => [1, length, 2, 64]);
  const plain = warmInput(1, 1, 2, 64);
  attention(plain, plain, plain, { engine });
  withWarmTensors(engine, shapes, (rows, rowsOut, row, rowOut, keys) => {
    const options = { causal: round % 4 === 3, qOffset: "bottom-right", engine } as const;
    attention(rows, keys, keys, { ...options, out: rowsOut });
    attention(row, keys, keys, { ...options, out: rowOut });
  });
}

function runAttend(query: unknown, key: unknown, value: unknown, options: unknown, caller: string): object {
  const captured = captureAttention(query, key, value, options, caller);
  const instance = instanceFor(captured.engine, caller);
  const call = resolveAttention(captured, instance);
  const outcome =
    call.sequences === undefined ? runAttention(instance, call) : runPacked(instance, call, call.sequences);
  afterwards(instance, () => {
    if (outcome.emptyRow < 0) return;
    const lacks = call.modifiers?.sinks === undefined ? "sees no key" : "sees no key and has no sink";
    throw new SaccadeRangeError(
      "ERR_SACCADE_EMPTY_ROW",
      `${caller}: ${describeRow(call, outcome.emptyRow)} ${lacks}, and options.onEmptyRow is "throw"`,
    );
  });
  return resultsOf(call, outcome, captured.targets);
}

/** The results of a call that has run: new ones, or the targets that were given for them. */
export function resultsOf(
  { results }: AttentionCall,
  { data }: AttentionOutcome,
  targets: CapturedAttention["targets"],
): Partial<Record<"out" | "lse" | "weights" | "scores", unknown>> {
  const resultOf = (index: number): unknown => {
    const destination = results[index];
    if (destination === undefined || data[index] === undefined) return targets[index];
    return { data: data[index], shape: destination.shape, dtype: destination.dtype };
  };
  const result: Partial<Record<"out" | "lse" | "weights" | "scores", unknown>> = { out: resultOf(RESULT_OUT) };
  if (results[RESULT_LSE] !== undefined) result.lse = resultOf(RESULT_LSE);
  if (results[RESULT_WEIGHTS] !== undefined) {
    const values = resultOf(RESULT_WEIGHTS);
    const isPair = results[RESULT_INDICES] !== undefined && targets[RESULT_WEIGHTS] === undefined;
    result.weights = isPair ? { values, indices: resultOf(RESULT_INDICES) } : values;
  }
  if (results[RESULT_SCORES] !== undefined) result.scores = resultOf(RESULT_SCORES);
  return result;
}
