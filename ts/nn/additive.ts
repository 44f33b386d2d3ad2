/**
 * Additive scores inside layers: their weights proved once and held in the engine's memory.
 */

import { argumentError } from "../errors.ts";
import { stepTensor } from "../layout/tensor-like.ts";
import { additive, Score, type ScoreSpec } from "../pooling/score.ts";
import type { Weight } from "../pooling/weight.ts";
import type { TensorView } from "../wasm/view.ts";
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

/** Proves the weights of an additive score, and reads them: nothing can change them afterwards. */
export function readAdditive(weights: AdditiveWeights<unknown>): ScoreSpec {
  return Score.specOf(additive(weights as Parameters<typeof additive>[0]))!;
}

/** Holds the weights of a score. */
export function holdAdditive(held: Held, spec: ScoreSpec, layer: string): HeldScore {
  const { query, key, bias, last } = spec;
  if (query === undefined || key === undefined || last === undefined) {
    const missing = query === undefined ? "wq" : "wk";
    throw argumentError(layer, `${missing} is undefined; expected a Tensor or { data, shape }`);
  }
  const hold = (weight: Weight, name: string) => held.hold(stepTensor(weight, name)) as Weight;
  const parts = { query: hold(query, "wq"), last: hold(last, "v"), bias: bias && hold(bias, "bias") };
  return { spec: { ...spec, ...parts, key: undefined }, wk: held.hold(stepTensor(key, "wk")) };
}
