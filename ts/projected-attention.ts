/**
 * Attention between projections: what self-attention and multi-head attention have in common. Rows are projected to the
 * heads' queries, keys and values, the attention kernels read those where they lie, and nothing is copied between the steps.
 */

import { resultsOf } from "./attention.ts";
import type {
  AttentionBaseOptions,
  AttentionBatchOptions,
  AttentionResult,
  WeightsOption,
} from "./attention-options.ts";
import { rangeError, shapeError } from "./errors.ts";
import { resolveAttention } from "./layout/attention.ts";
import { captureOptions } from "./layout/attention-capture.ts";
import type { CapturedAttention } from "./layout/captured-attention.ts";
import { type NamedView, proveApart } from "./layout/overlap.ts";
import { plainOf } from "./layout/results.ts";
import { proveInteger } from "./layout/shape.ts";
import { bareTensor, type CapturedTensor, stepTensor } from "./layout/tensor-like.ts";
import { runLinear } from "./linear.ts";
import type { TensorInput } from "./tensor.ts";
import { runAttention } from "./wasm/attention.ts";
import type { Session, Slot } from "./wasm/operator.ts";
import { contiguousStrides, type TensorView } from "./wasm/view.ts";

/** Options of attention that also hold between projections; each means what it means for `attention`. */
export interface ProjectedAttentionOptions<
  Weights extends WeightsOption = WeightsOption,
  Target extends TensorInput | undefined = TensorInput | undefined,
> extends Pick<AttentionBaseOptions, "scale" | "softcap" | "causal" | "window" | "qOffset" | "alibiSlopes" | "sinks">,
    Pick<AttentionBatchOptions<Weights>, "mask" | "bias" | "kvLengths" | "qLengths" | "returnWeights"> {
  /** Where the result goes: float32 of the result's shape; it must not overlap an input. Default: a new tensor. */
  readonly out?: Target | undefined;
}

/** Names of those options that attention itself reads. */
export const ATTENTION_OPTIONS = [
  "scale",
  "softcap",
  "causal",
  "window",
  "qOffset",
  "alibiSlopes",
  "sinks",
  "mask",
  "bias",
  "kvLengths",
  "qLengths",
  "returnWeights",
] as const;

/** The result of attention between projections: float32 whatever the inputs. */
export type ProjectedAttentionResult<
  Weights extends WeightsOption,
  Target extends TensorInput | undefined,
> = AttentionResult<false, Weights, Target, undefined, "float32">;

/** The matrices of the three projections, `[outFeatures, inFeatures]`, and what is added behind them. */
export interface Projections<T> {
  readonly wq: T;
  readonly wk: T;
  readonly wv: T;
  readonly bq?: T | undefined;
  readonly bk?: T | undefined;
  readonly bv?: T | undefined;
}

/** How the projected features divide into heads. */
export interface Heads {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
}

interface Shaped {
  readonly shape: readonly number[];
}

/** Proves the shapes of projections, and divides them into heads. */
export function proveProjections(
  { wq, wk, wv, bq, bk, bv }: Projections<Shaped>,
  counts: { readonly numHeads: unknown; readonly numKvHeads: unknown },
  caller: string,
): Heads {
  const count = (name: "numHeads" | "numKvHeads", fallback: number): number =>
    counts[name] === undefined ? fallback : proveInteger(counts[name], 1, 2 ** 31 - 1, caller, `options.${name}`);
  const numHeads = count("numHeads", 1);
  const numKvHeads = count("numKvHeads", numHeads);
  if (numHeads % numKvHeads !== 0) {
    throw rangeError(
      caller,
      `options.numHeads is ${numHeads}, options.numKvHeads is ${numKvHeads}; expected a multiple of it`,
    );
  }
  const matrix = (name: string, { shape }: Shaped, heads: number, bias: Shaped | undefined): number => {
    if (shape.length !== 2 || shape[1] === 0) {
      throw shapeError(caller, `${name}.shape is [${shape.join(", ")}]; expected [outFeatures, inFeatures]`);
    }
    if (shape[0]! % heads !== 0) {
      throw shapeError(
        caller,
        `${name}.shape[0] (outFeatures) is ${shape[0]}; expected a multiple of the ${heads} heads`,
      );
    }
    proveVector(`b${name.slice(1)}`, bias, shape[0]!, caller);
    return shape[0]! / heads;
  };
  const headDim = matrix("wq", wq, numHeads, bq);
  const keyDim = matrix("wk", wk, numKvHeads, bk);
  const valueHeadDim = matrix("wv", wv, numKvHeads, bv);
  if (headDim === 0) throw shapeError(caller, "wq.shape[0] (outFeatures) is 0; expected at least one per head");
  if (keyDim !== headDim) {
    throw shapeError(
      caller,
      `wk.shape[0] is ${wk.shape[0]}: ${keyDim} for each of ${numKvHeads} heads; expected ${headDim}, as wq has`,
    );
  }
  return { numHeads, numKvHeads, headDim, valueHeadDim };
}

/** Proves a vector of `size` elements, or nothing. */
export function proveVector(name: string, vector: Shaped | undefined, size: number, caller: string): void {
  if (vector === undefined || (vector.shape.length === 1 && vector.shape[0] === size)) return;
  throw shapeError(caller, `${name}.shape is [${vector.shape.join(", ")}]; expected [${size}] (outFeatures)`);
}

/** Proves rows to project: `[seq, features]` or `[batch, seq, features]`. */
export function proveSequence({ name, shape }: CapturedTensor, weight: Shaped, of: string, caller: string): void {
  const last = shape.length - 1;
  if (last !== 1 && last !== 2) {
    throw shapeError(
      caller,
      `${name}.shape has ${shape.length} axes; expected [seq, features] or [batch, seq, features]`,
    );
  }
  if (shape[last] !== weight.shape[1]) {
    throw shapeError(
      caller,
      `${name}.shape[${last}] (features) is ${shape[last]}, ${of}.shape[1] (inFeatures) is ${weight.shape[1]}`,
    );
  }
}

/** Rows by the names that messages use, each read and of a proved shape. */
export interface CapturedRows {
  readonly query: CapturedTensor;
  readonly key: CapturedTensor;
  readonly value: CapturedTensor;
}

/** Reads the options of attention for rows that are yet to be projected. */
export function captureProjected(
  { query, key, value }: CapturedRows,
  { numHeads, numKvHeads, headDim, valueHeadDim }: Heads,
  read: Partial<Record<string, unknown>>,
  caller: string,
): CapturedAttention {
  const options: Record<string, unknown> = {};
  for (const name of ATTENTION_OPTIONS) if (read[name] !== undefined) options[name] = read[name];
  const projected = ({ name, shape }: CapturedTensor, heads: number, dim: number): CapturedTensor =>
    bareTensor(name, [...shape.slice(0, -1), heads, dim]);
  return captureOptions(
    projected(query, numHeads, headDim),
    projected(key, numKvHeads, headDim),
    projected(value, numKvHeads, valueHeadDim),
    options,
    caller,
  );
}

/** Rows and weights as the wasm takes them. */
export interface ProjectedOperands {
  readonly query: TensorView;
  readonly key: TensorView;
  readonly value: TensorView;
  readonly weights: Projections<TensorView>;
}

/**
 * Projects rows and runs attention over them inside a session.
 *
 * @param out - `[..., qLen, numHeads * valueHeadDim]`, a slot of the session
 * @param target - where the call's result goes, if the caller has said so: apart from mask and bias
 * @returns the weights, where they are asked for
 */
export function runProjected(
  session: Session,
  captured: CapturedAttention,
  { query, key, value, weights }: ProjectedOperands,
  out: Slot,
  target: TensorView | undefined,
): unknown {
  const { instance } = session;
  const slots = { query: session.temporary(captured.query.shape), key: session.temporary(captured.key.shape) };
  const values = session.temporary(captured.value.shape);
  // Everything is proved before anything runs.
  const call = resolveAttention(
    {
      ...captured,
      query: stepTensor(slots.query, "query"),
      key: stepTensor(slots.key, "key"),
      value: stepTensor(values, "value"),
    },
    instance,
  );
  if (target !== undefined) {
    const { mask, bias } = call.modifiers ?? {};
    const inputs: NamedView[] = mask === undefined ? [] : [{ name: "mask", view: mask }];
    if (bias !== undefined) inputs.push({ name: "bias", view: bias });
    proveApart([{ name: "out", view: target }], inputs, session.caller);
  }
  const placed = new Map<TensorView, Slot>();
  const place = (view: TensorView): Slot => {
    const slot = placed.get(view) ?? session.input(view);
    placed.set(view, slot);
    return slot;
  };
  const project = (rows: TensorView, weight: TensorView, bias: TensorView | undefined, to: Slot): void =>
    runLinear(session, { x: place(rows), weight: place(weight), bias: bias && place(bias) }, to);
  project(query, weights.wq, weights.bq, slots.query);
  project(key, weights.wk, weights.bk, slots.key);
  project(value, weights.wv, weights.bv, values);
  const [whole, ...others] = call.results;
  const { shape, elements, dtype } = whole!;
  const heads = { ...out, shape, strides: contiguousStrides(shape, elements) };
  const results = [{ shape, elements, dtype, target: heads }, ...others];
  const outcome = runAttention(instance, { ...call, results });
  return resultsOf(call, outcome, []).weights;
}

/** The result of a call: the target itself where one was given. */
export function projectedResult<Weights extends WeightsOption, Target extends TensorInput | undefined>(
  out: Slot & { readonly data: unknown },
  target: unknown,
  weights: unknown,
): ProjectedAttentionResult<Weights, Target> {
  const result = { out: plainOf(out, target) };
  return (weights === undefined ? result : { ...result, weights }) as ProjectedAttentionResult<Weights, Target>;
}
