/**
 * Additive scores inside layers: their weights proved once and held in the engine's memory.
 */

import { SaccadeTypeError } from "../errors.ts";
import type { CapturedTensor } from "../layout/tensor-like.ts";
import { additive, Score, type ScoreSpec } from "../pooling/score.ts";
import type { Weight } from "../pooling/weight.ts";
import { sliceView, type TensorView } from "../wasm/view.ts";
import type { Held } from "./held.ts";

/** Weights of an additive score: `v^T tanh(Wq q + Wk k + bias)`. */
export interface AdditiveWeights<T> {
  readonly wq: T;
  readonly wk: T;
  readonly v: T;
  readonly bias?: T | undefined;
}

/** A score whose keys come projected, and what projects them. */
export interface HeldScore {
  readonly spec: ScoreSpec;
  /** `[hidden, keyDim]`. */
  readonly wk: TensorView;
}

/** What makes a score's copy of a weight a tensor that a layer can hold. */
function captured(weight: Weight, name: string): CapturedTensor {
  const { shape } = weight;
  return {
    name,
    shape,
    resident: undefined,
    data: undefined,
    dtype: undefined,
    strides: undefined,
    offset: undefined,
    step: weight,
  };
}

/** Proves the weights of an additive score, and reads them: nothing can change them afterwards. */
export function readAdditive(weights: AdditiveWeights<unknown>): ScoreSpec {
  return Score.specOf(additive(weights as Parameters<typeof additive>[0]))!;
}

/** Holds the weights of a score. */
export function holdAdditive(held: Held, spec: ScoreSpec, layer: string): HeldScore {
  const { query, key, bias, last } = spec;
  if (query === undefined || key === undefined || last === undefined) {
    const missing = query === undefined ? "wq" : "wk";
    throw new SaccadeTypeError(
      "ERR_SACCADE_ARGUMENT",
      `${layer}: ${missing} is undefined; expected a Tensor or { data, shape }`,
    );
  }
  const hold = (weight: Weight, name: string) => held.hold(captured(weight, name)) as Weight;
  const parts = { query: hold(query, "wq"), last: hold(last, "v"), bias: bias && hold(bias, "bias") };
  return { spec: { ...spec, ...parts, key: undefined }, wk: held.hold(captured(key, "wk")) };
}

/** Some rows of a held matrix, or elements of a held vector. */
export function part<V extends TensorView | undefined>(view: V, from: number, count: number): V {
  if (view === undefined) return view;
  const { shape } = view;
  return sliceView(view, [from, ...shape.slice(1).map(() => 0)], [count, ...shape.slice(1)]) as TensorView as V;
}
