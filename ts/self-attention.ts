/**
 * Self-attention: every row of a sequence attends to all rows of it.
 */

import type { WeightsOption } from "./attention-options.ts";
import type { Engine } from "./engine.ts";
import { instanceFor } from "./init.ts";
import { resolveDestination } from "./layout/destinations.ts";
import { proveFinite } from "./layout/finite.ts";
import { proveFloatTensor } from "./layout/operands.ts";
import { readOptions } from "./layout/options.ts";
import { type NamedView, proveApart } from "./layout/overlap.ts";
import { type CapturedTensor, captureTensor } from "./layout/tensor-like.ts";
import {
  ATTENTION_OPTIONS,
  captureProjected,
  type ProjectedAttentionOptions,
  type ProjectedAttentionResult,
  type Projections,
  projectedResult,
  proveProjections,
  proveSequence,
  runProjected,
} from "./projected-attention.ts";
import type { TensorInput } from "./tensor.ts";
import { inSession } from "./wasm/operator.ts";

/** Options of {@link selfAttention}: the projections, and what `attention` takes beside its tensors. */
export interface SelfAttentionOptions<
  Weights extends WeightsOption = WeightsOption,
  Target extends TensorInput | undefined = TensorInput | undefined,
> extends Projections<TensorInput>,
    ProjectedAttentionOptions<Weights, Target> {
  /** `[numHeads * headDim, dim]`: the queries' projection. */
  readonly wq: TensorInput;
  /** `[numKvHeads * headDim, dim]`: the keys'. */
  readonly wk: TensorInput;
  /** `[numKvHeads * valueHeadDim, dim]`: the values'. */
  readonly wv: TensorInput;
  /** Default 1. */
  readonly numHeads?: number | undefined;
  /** Heads of keys and values, a divisor of numHeads. Default: numHeads. */
  readonly numKvHeads?: number | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

const PROJECTIONS = ["wq", "wk", "wv", "bq", "bk", "bv"] as const;
const KNOWN = [...PROJECTIONS, "numHeads", "numKvHeads", ...ATTENTION_OPTIONS, "out", "engine"] as const;

/**
 * Self-attention (Vaswani et al. 2017): `softmax(Q K^T / sqrt(headDim)) V` with `Q = x Wq^T + bq`, `K = x Wk^T + bk`,
 * `V = x Wv^T + bv`, head by head. The projections lie in the engine's memory between the steps: nothing is copied, and memory
 * is O(seq) unless weights are asked for. Bits are those of `linear` and `attention`, one after the other.
 *
 * @param x - `[seq, dim]` or `[batch, seq, dim]`
 * @returns `out` `[seq, numHeads * valueHeadDim]` (with x's batch), the heads side by side, and `weights` where they are asked
 *   for, as `attention` gives them
 * @throws as `attention`; RangeError `ERR_SACCADE_RANGE` for projections that are not finite
 *
 * @example
 * ```ts
 * import { init, selfAttention } from "saccade";
 *
 * await init();
 * const x = { data: new Float32Array([1, 0, 0, 1, 1, 1]), shape: [3, 2] };
 * const identity = { data: new Float32Array([1, 0, 0, 1]), shape: [2, 2] };
 * const { out, weights } = selfAttention(x, { wq: identity, wk: identity, wv: identity, causal: true, returnWeights: true });
 * console.log(out.shape, weights.shape); // [3, 2] [1, 3, 3]
 * ```
 */
export function selfAttention<
  Weights extends WeightsOption = false,
  const Target extends TensorInput | undefined = undefined,
>(x: TensorInput, options: SelfAttentionOptions<Weights, Target>): ProjectedAttentionResult<Weights, Target> {
  const caller = "selfAttention";
  const rows = captureTensor(x, caller, "x");
  const read = readOptions(options, KNOWN, caller);
  const required = (name: "wq" | "wk" | "wv"): CapturedTensor => captureTensor(read[name], caller, name);
  const optional = (name: "bq" | "bk" | "bv"): CapturedTensor | undefined =>
    read[name] === undefined ? undefined : captureTensor(read[name], caller, name);
  const given = {
    wq: required("wq"),
    wk: required("wk"),
    wv: required("wv"),
    bq: optional("bq"),
    bk: optional("bk"),
    bv: optional("bv"),
  };
  const heads = proveProjections(given, { numHeads: read.numHeads, numKvHeads: read.numKvHeads }, caller);
  for (const name of ["wq", "wk", "wv"] as const) proveSequence(rows, given[name], name, caller);
  const captured = captureProjected({ query: rows, key: rows, value: rows }, heads, read, caller);
  const target = read.out === undefined ? undefined : captureTensor(read.out, caller, "out");
  const instance = instanceFor(read.engine, caller);
  const view = proveFloatTensor(rows, instance, caller);
  const inputs: NamedView[] = [{ name: "x", view }];
  const prove = (tensor: CapturedTensor | undefined) => {
    if (tensor === undefined) return undefined;
    const proved = proveFloatTensor(tensor, instance, caller);
    proveFinite(proved, instance, caller, tensor.name);
    inputs.push({ name: tensor.name, view: proved });
    return proved;
  };
  const weights = {
    wq: prove(given.wq)!,
    wk: prove(given.wk)!,
    wv: prove(given.wv)!,
    bq: prove(given.bq),
    bk: prove(given.bk),
    bv: prove(given.bv),
  };
  const shape = [...view.shape.slice(0, -1), heads.numHeads * heads.valueHeadDim];
  const destination = resolveDestination(target, shape, "float32", instance, caller);
  if (destination.target !== undefined) proveApart([{ name: "out", view: destination.target }], inputs, caller);
  return inSession(instance, caller, (session) => {
    const out = session.result(destination);
    const operands = { query: view, key: view, value: view, weights };
    const found = runProjected(session, captured, operands, out, destination.target);
    return projectedResult<Weights, Target>(out, read.out, found);
  });
}
