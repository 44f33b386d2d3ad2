/**
 * Layer normalisation, and normalisation by the root mean square.
 */

import type { Engine } from "./engine.ts";
import { rangeError, shapeError } from "./errors.ts";
import { instanceFor } from "./init.ts";
import { resolveApart } from "./layout/destinations.ts";
import { proveFloatTensor } from "./layout/operands.ts";
import { readOptions } from "./layout/options.ts";
import { plainOf } from "./layout/results.ts";
import { proveInteger, proveNumber } from "./layout/shape.ts";
import { captureTensor } from "./layout/tensor-like.ts";
import type { PlainTensor, TensorInput } from "./tensor.ts";
import { inSession, type Session, type Slot } from "./wasm/operator.ts";

/** Options of {@link rmsNorm}. */
export interface RmsNormOptions {
  /** `[n]`, n elements being along the axis: multiplies the normalised elements. Default: 1. */
  readonly weight?: TensorInput | undefined;
  /** Added to the mean of the squares; a number from 0. Default `2 ** -23`, the epsilon of float32. */
  readonly epsilon?: number | undefined;
  /** The axis along which rows run; counted from the end where it is negative. Default -1. */
  readonly axis?: number | undefined;
  /** Where the result goes: float32 of x's shape; it must not overlap an input. Default: a new tensor. */
  readonly out?: TensorInput | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** Options of {@link layerNorm}. */
export interface LayerNormOptions extends RmsNormOptions {
  /** `[n]`: added at the end. Default: nothing. */
  readonly bias?: TensorInput | undefined;
  /** Added to the variance; a number from 0. Default `1e-5`. */
  readonly epsilon?: number | undefined;
}

/**
 * Layer normalisation (Ba, Kiros and Hinton 2016) along an axis: `(x - mean) / sqrt(variance + epsilon) * weight + bias`, with the
 * variance of the whole row (divided by n), as PyTorch has it. The mean is taken away before squaring, so a large
 * one costs no digits. NaN or Infinity in a row makes that row NaN, and no other. Float32 whatever x's dtype; the bits of a row
 * do not depend on the axis it runs along, nor on the rows beside it.
 *
 * @param x - of any rank from 1
 * @returns of x's shape; the target itself where `out` is given
 * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`,
 *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE`, `ERR_SACCADE_OVERLAP`; SaccadeError as `attention`
 *
 * @example
 * ```ts
 * import { init, layerNorm } from "saccade";
 *
 * await init();
 * const x = { data: new Float32Array([1, 3, 10, 30]), shape: [2, 2] };
 * console.log(layerNorm(x, { epsilon: 0 }).data); // -1, 1, -1, 1
 * ```
 */
export function layerNorm(x: TensorInput, options?: LayerNormOptions): PlainTensor<"float32"> {
  return normalize("layerNorm", x, options, ["weight", "bias", "epsilon", "axis", "out", "engine"], 1e-5);
}

/**
 * Normalisation by the root mean square (Zhang and Sennrich 2019) along an axis: `x / sqrt(mean of squares + epsilon) * weight`.
 *
 * @param x - of any rank from 1
 * @returns of x's shape; the target itself where `out` is given
 * @throws as {@link layerNorm}
 *
 * @example
 * ```ts
 * import { init, rmsNorm } from "saccade";
 *
 * await init();
 * const x = { data: new Float32Array([2, 2, 2, 2]), shape: [4] };
 * console.log(rmsNorm(x, { epsilon: 0 }).data); // 1, 1, 1, 1
 * ```
 */
export function rmsNorm(x: TensorInput, options?: RmsNormOptions): PlainTensor<"float32"> {
  return normalize("rmsNorm", x, options, ["weight", "epsilon", "axis", "out", "engine"], 2 ** -23);
}

function normalize(
  caller: "layerNorm" | "rmsNorm",
  x: TensorInput,
  options: LayerNormOptions | undefined,
  known: readonly (keyof LayerNormOptions)[],
  defaultEpsilon: number,
): PlainTensor<"float32"> {
  const captured = captureTensor(x, caller, "x");
  const read = readOptions(options, known, caller);
  const weight = read.weight === undefined ? undefined : captureTensor(read.weight, caller, "weight");
  const bias = read.bias === undefined ? undefined : captureTensor(read.bias, caller, "bias");
  const target = read.out === undefined ? undefined : captureTensor(read.out, caller, "out");
  const epsilon = read.epsilon === undefined ? defaultEpsilon : proveEpsilon(read.epsilon, caller);
  const rank = captured.shape.length;
  if (rank === 0) throw shapeError(caller, "x.shape is []; expected at least one axis");
  const given = read.axis === undefined ? -1 : proveInteger(read.axis, -rank, rank - 1, caller, "options.axis");
  const axis = given < 0 ? given + rank : given;
  const instance = instanceFor(read.engine, caller);
  const views = {
    x: proveFloatTensor(captured, instance, caller),
    weight: weight && proveFloatTensor(weight, instance, caller),
    bias: bias && proveFloatTensor(bias, instance, caller),
  };
  const { shape } = views.x;
  const n = shape[axis]!;
  for (const [name, view] of Object.entries({ weight: views.weight, bias: views.bias })) {
    if (view !== undefined && (view.shape.length !== 1 || view.shape[0] !== n)) {
      throw shapeError(caller, `${name}.shape is [${view.shape.join(", ")}]; expected [${n}] (x.shape[${axis}])`);
    }
  }
  const destination = resolveApart(target, shape, views, instance, caller);
  return inSession(instance, caller, (session) => {
    const out = session.result(destination);
    const [xSlot, ...affine] = [views.x, views.weight, views.bias].map((view) => view && session.input(view));
    runNorm(session, [xSlot!, ...affine], out, { axis, epsilon, centred: caller === "layerNorm" });
    return plainOf(out, read.out);
  });
}

/** Runs a normalisation of `[x, weight, bias]` inside a session. */
export function runNorm(
  session: Session,
  inputs: readonly [x: Slot, ...affine: (Slot | undefined)[]],
  out: Slot,
  { axis, epsilon, centred }: { readonly axis: number; readonly epsilon: number; readonly centred: boolean },
): void {
  if (out.elements === 0) return;
  const { shape } = out;
  const count = (sizes: readonly number[]): number => sizes.reduce((product, size) => product * size, 1);
  session.run("layerNorm", {
    integers: [count(shape.slice(0, axis)), shape[axis]!, count(shape.slice(axis + 1)), centred ? 0 : 1],
    floats: [epsilon],
    inputs,
    outputs: [out],
  });
}

/** From 0, and a number that float32 has. */
export function proveEpsilon(value: unknown, caller: string): number {
  const epsilon = proveNumber(value, caller, "options.epsilon");
  if (epsilon >= 0 && Math.fround(epsilon) < Number.POSITIVE_INFINITY) return epsilon;
  throw rangeError(caller, `options.epsilon is ${epsilon}; expected a number from 0 that float32 has`);
}
