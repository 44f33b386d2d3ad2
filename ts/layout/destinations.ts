/**
 * Where the results of a call go: their shapes, and the targets that were given for them.
 */

import type { DType, FloatDType } from "../dtype.ts";
import { dtypeError, optionError, shapeError } from "../errors.ts";
import {
  type AttentionSizes,
  type Destination,
  RESULT_INDICES,
  RESULT_LSE,
  RESULT_OUT,
  RESULT_SCORES,
  RESULT_WEIGHTS,
  type Results,
} from "../wasm/call.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import type { TensorView } from "../wasm/view.ts";
import type { CapturedAttention } from "./captured-attention.ts";
import { type NamedView, proveApart } from "./overlap.ts";
import { countElements } from "./shape.ts";
import { type CapturedTensor, dtypeOf, proveTensor } from "./tensor-like.ts";

/** Targets by their names, and why each may be out of place. */
const NAMES = ["out", "out.lse", "out.weights", "", "out.scores"];
const UNASKED = ["", "returnLse is not true", "returnWeights is not true", "", "tap is not given"];

/** Where the results go; `sizes` are those of a row of weights or scores. */
export function resolveDestinations(
  captured: CapturedAttention,
  sizes: AttentionSizes,
  outDtype: FloatDType,
  instance: WasmInstance,
): Results<Destination> {
  const { caller, out, outDtype: asked } = captured;
  const shapes = shapesOf(captured, sizes);
  for (let index = RESULT_LSE; index < out.length; index++) {
    if (out[index] !== undefined && shapes[index] === undefined && index !== RESULT_INDICES) {
      throw optionError(caller, `options.${NAMES[index]} is given, but options.${UNASKED[index]}`);
    }
  }
  const isTopK = shapes[RESULT_INDICES] !== undefined;
  if (out[RESULT_WEIGHTS] !== undefined && isTopK !== (out[RESULT_INDICES] !== undefined)) {
    throw optionError(
      caller,
      isTopK
        ? "options.out.weights is one tensor; returnWeights { topK } needs { values, indices }"
        : "options.out.weights is { values, indices }, which only returnWeights { topK } writes",
    );
  }
  const because =
    asked === undefined ? ", as the query is (options.outDtype can say otherwise)" : ", as options.outDtype says";
  return shapes.map((shape, i) => {
    if (shape === undefined) return undefined;
    const dtype = i === RESULT_OUT ? outDtype : i === RESULT_INDICES ? "int32" : "float32";
    return resolveDestination(out[i], shape, dtype, instance, caller, i === RESULT_OUT ? because : "");
  });
}

/** The shapes of the results that are asked for. */
function shapesOf(
  { query, returnLse, returnWeights: wanted, tap }: CapturedAttention,
  sizes: AttentionSizes,
): Results<readonly number[]> {
  const row = rowShape(sizes);
  const qLen = row.length - 1;
  const out: number[] = [];
  // A loop: frozen arrays are slow to slice.
  for (let axis = 0; axis + 1 < query.shape.length; axis++) out.push(query.shape[axis]!);
  out.push(sizes.valueHeadDim);
  const shapes: (readonly number[] | undefined)[] = [out, undefined, undefined, undefined, undefined];
  const wide = [...row, sizes.kvLen];
  if (returnLse) shapes[RESULT_LSE] = row;
  if (tap !== undefined) shapes[RESULT_SCORES] = [...wide];
  if (wanted === undefined) return shapes;
  const { kind } = wanted;
  if (kind === "top-k") shapes[RESULT_INDICES] = [...row, wanted.k];
  shapes[RESULT_WEIGHTS] =
    kind === "full"
      ? wide
      : kind === "rows"
        ? wide.with(qLen, wanted.rows.length)
        : kind === "top-k"
          ? [...row, wanted.k]
          : // A mean has no axis of heads.
            wide.filter((_, axis) => axis !== qLen - 1 || sizes.axes.head < 0);
  return shapes;
}

/** Shape of what has a value per row. */
function rowShape({ axes, batch, numHeads, qLen }: AttentionSizes): number[] {
  return axes.batch >= 0 ? [batch, numHeads, qLen] : axes.head >= 0 ? [numHeads, qLen] : [qLen];
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
    throw dtypeError(caller, `${name} is ${actual}; expected ${dtype}${because}`);
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
    const named: NamedView[] = [];
    for (const name in inputs) if (inputs[name] !== undefined) named.push({ name, view: inputs[name] });
    proveApart([{ name: "out", view: destination.target }], named, caller);
  }
  return destination;
}
