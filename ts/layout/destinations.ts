/**
 * Where the results of a call go: their shapes, and the targets that were given for them.
 */

import type { DType, FloatDType } from "../dtype.ts";
import { SaccadeTypeError } from "../errors.ts";
import type { AttentionSizes, Destination, TapCall, WeightsCall } from "../wasm/call.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import type { TensorView } from "../wasm/view.ts";
import type { CapturedAttention, WantedWeights } from "./captured-attention.ts";
import { proveApart } from "./overlap.ts";
import { countElements, shapeError } from "./shape.ts";
import { type CapturedTensor, dtypeOf, proveTensor } from "./tensor-like.ts";

/** The results of a call. */
export interface Destinations {
  readonly out: Destination;
  readonly lse: Destination | undefined;
  readonly weights: WeightsCall | undefined;
  readonly tap: TapCall | undefined;
}

/** Proves all targets; a target for a result that is not asked for is a contradiction. */
export function resolveDestinations(
  captured: CapturedAttention,
  sizes: AttentionSizes,
  outDtype: FloatDType,
  instance: WasmInstance,
): Destinations {
  const { caller, returnLse, outLse, returnWeights, outWeights, tap, outScores } = captured;
  if (outLse !== undefined && !returnLse) throw unasked("out.lse", "returnLse is not true", caller);
  if (outScores !== undefined && tap === undefined) throw unasked("out.scores", "tap is not given", caller);
  if (outWeights !== undefined && returnWeights === undefined) {
    throw unasked("out.weights", "returnWeights is not true", caller);
  }
  const outShape = captured.query.shape.slice();
  outShape[outShape.length - 1] = sizes.valueHeadDim;
  const because =
    captured.outDtype === undefined
      ? ", as the query is (options.outDtype can say otherwise)"
      : ", as options.outDtype says";
  const out = resolveDestination(captured.out, outShape, outDtype, instance, caller, because);
  const lse = returnLse ? resolveDestination(outLse, rowShape(sizes), "float32", instance, caller) : undefined;
  const weights = returnWeights === undefined ? undefined : resolveWeights(captured, returnWeights, sizes, instance);
  if (tap === undefined) return { out, lse, weights, tap: undefined };
  const scores = resolveDestination(outScores, [...rowShape(sizes), sizes.kvLen], "float32", instance, caller);
  return { out, lse, weights, tap: { stage: tap, scores } };
}

/** The shape of a value per row, without the axes that the query leaves out. */
function rowShape({ axes, batch, numHeads, qLen }: AttentionSizes): number[] {
  return axes.batch >= 0 ? [batch, numHeads, qLen] : axes.head >= 0 ? [numHeads, qLen] : [qLen];
}

function resolveWeights(
  { outWeights, outIndices, caller }: CapturedAttention,
  wanted: NonNullable<WantedWeights>,
  sizes: AttentionSizes,
  instance: WasmInstance,
): WeightsCall {
  const isTopK = typeof wanted === "object" && "topK" in wanted;
  if (outWeights !== undefined && isTopK !== (outIndices !== undefined)) {
    throw new SaccadeTypeError(
      "ERR_SACCADE_OPTION",
      isTopK
        ? `${caller}: options.out.weights is one tensor; returnWeights { topK } needs { values, indices }`
        : `${caller}: options.out.weights is { values, indices }, which only returnWeights { topK } writes`,
    );
  }
  const rows = rowShape(sizes);
  const { axes, batch, qLen, kvLen } = sizes;
  const to = (shape: readonly number[]): Destination =>
    resolveDestination(outWeights, shape, "float32", instance, caller);
  if (wanted === "full") return { kind: "full", values: to([...rows, kvLen]) };
  if (wanted === "head-mean") {
    return { kind: "head-mean", values: to(axes.batch >= 0 ? [batch, qLen, kvLen] : [qLen, kvLen]) };
  }
  if ("rows" in wanted) {
    return { kind: "rows", rows: wanted.rows, values: to([...rows.slice(0, -1), wanted.rows.length, kvLen]) };
  }
  const k = wanted.topK;
  const shape = [...rows, k];
  const values = to(shape);
  const indices = resolveDestination(outIndices, [...shape], "int32", instance, caller);
  return { kind: "top-k", k, values, indices };
}

function unasked(target: string, because: string, caller: string): SaccadeTypeError {
  return new SaccadeTypeError("ERR_SACCADE_OPTION", `${caller}: options.${target} is given, but options.${because}`);
}

/** Where a result of a shape goes: to a proved target, or to a new array. */
export function resolveDestination(
  captured: CapturedTensor | undefined,
  shape: readonly number[],
  dtype: DType,
  instance: WasmInstance,
  caller: string,
  because = "",
): Destination {
  const elements = countElements(shape, caller, captured?.name ?? "the result");
  if (captured === undefined) return { shape, elements, dtype, target: undefined };
  const { name, shape: given } = captured;
  if (given.length !== shape.length || given.some((size, axis) => size !== shape[axis])) {
    throw shapeError(caller, `${name}.shape is [${given.join(", ")}]; expected [${shape.join(", ")}]`);
  }
  const actual = dtypeOf(captured, caller);
  if (actual !== dtype) {
    throw new SaccadeTypeError("ERR_SACCADE_DTYPE", `${caller}: ${name} is ${actual}; expected ${dtype}${because}`);
  }
  return { shape, elements, dtype, target: proveTensor(captured, instance, caller, true) };
}

/** Where a float32 result goes that has a call to itself: a target is apart from all of the call's inputs. */
export function resolveApart(
  captured: CapturedTensor | undefined,
  shape: readonly number[],
  inputs: Readonly<Record<string, TensorView | undefined>>,
  instance: WasmInstance,
  caller: string,
): Destination {
  const destination = resolveDestination(captured, shape, "float32", instance, caller);
  if (destination.target !== undefined) {
    const named = Object.entries(inputs).flatMap(([name, view]) => (view === undefined ? [] : [{ name, view }]));
    proveApart([{ name: "out", view: destination.target }], named, caller);
  }
  return destination;
}
