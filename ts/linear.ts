/**
 * The linear layer: a matrix product with bias and activation.
 */

import type { Engine } from "./engine.ts";
import { shapeError } from "./errors.ts";
import { instanceFor } from "./init.ts";
import { resolveApart } from "./layout/destinations.ts";
import { proveFloatTensor } from "./layout/operands.ts";
import { proveWord, readOptions } from "./layout/options.ts";
import { plainOf } from "./layout/results.ts";

import { captureTensor } from "./layout/tensor-like.ts";
import type { PlainTensor, TensorInput } from "./tensor.ts";
import { warmedBy, warmInput } from "./warm-up.ts";
import { inSession, type Session, type Slot } from "./wasm/operator.ts";
import type { TensorView } from "./wasm/view.ts";

/** What a layer can apply to each element of its result, in the order of the wasm's numbers. */
export const ACTIVATIONS = ["identity", "relu", "tanh", "sigmoid", "silu"] as const;

/** What a layer applies to each element of its result. */
export type Activation = (typeof ACTIVATIONS)[number];

/** Options of {@link linear}. */
export interface LinearOptions {
  /** `[outFeatures]`, added to every row. */
  readonly bias?: TensorInput | undefined;
  /** Applied to each element of the result. Default `"identity"`. */
  readonly activation?: Activation | undefined;
  /** Where the result goes: float32 of the result's shape; it must not overlap an input. Default: a new tensor. */
  readonly out?: TensorInput | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

const KNOWN = ["bias", "activation", "out", "engine"] as const;

/**
 * The linear layer `y = activation(x W^T + b)`: the matrix product of rows and weights, float32 whatever the inputs' dtypes.
 * A row has the same bits alone and among many.
 *
 * @param x - `[..., inFeatures]`, of any rank from 1
 * @param weight - `[outFeatures, inFeatures]`
 * @returns `[..., outFeatures]`; the target itself where `out` is given
 * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`,
 *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_OVERLAP`; SaccadeError as `attention`
 *
 * @example
 * ```ts
 * import { init, linear } from "saccade";
 *
 * await init();
 * const x = { data: new Float32Array([1, 2]), shape: [1, 2] };
 * const weight = { data: new Float32Array([1, 0, 0, 1, 1, 1]), shape: [3, 2] };
 * console.log(linear(x, weight).data); // 1, 2, 3
 * ```
 */
export function linear(x: TensorInput, weight: TensorInput, options?: LinearOptions): PlainTensor<"float32"> {
  const caller = "linear";
  const capturedX = captureTensor(x, caller, "x");
  const capturedWeight = captureTensor(weight, caller, "weight");
  const read = readOptions(options, KNOWN, caller);
  const bias = read.bias === undefined ? undefined : captureTensor(read.bias, caller, "bias");
  const target = read.out === undefined ? undefined : captureTensor(read.out, caller, "out");
  const activation =
    read.activation === undefined ? "identity" : proveWord(read.activation, ACTIVATIONS, caller, "activation");
  const instance = instanceFor(read.engine, caller);
  const views = {
    x: proveFloatTensor(capturedX, instance, caller),
    weight: proveFloatTensor(capturedWeight, instance, caller),
    bias: bias === undefined ? undefined : proveFloatTensor(bias, instance, caller),
  };
  proveLinear(views, caller);
  const shape = [...views.x.shape.slice(0, -1), views.weight.shape[0]!];
  const destination = resolveApart(target, shape, views, instance, caller);
  return inSession(instance, caller, (session) => {
    const out = session.result(destination);
    const slots = {
      x: session.input(views.x),
      weight: session.input(views.weight),
      bias: views.bias && session.input(views.bias),
    };
    runLinear(session, slots, out, activation);
    return plainOf(out, read.out);
  });
}

/** Operands of a linear layer. */
interface LinearOperands<T> {
  readonly x: T;
  readonly weight: T;
  readonly bias?: T | undefined;
}

/**
 * Runs a linear layer inside a session.
 *
 * @param packed - the shape of weights that `packWeight` has laid out; left out where they are as they were given
 */
export const runLinear: typeof run = /* @__PURE__ */ warmedBy(run, warm, "operators");

/** Many rows and a single one. */
function warm(engine: Engine, _round: number, thorough: boolean): void {
  const [weight, rows, row] = [warmInput(128, 128), warmInput(64, 128), warmInput(1, 128)];
  linear(thorough ? rows : row, weight, { engine });
  linear(row, weight, { engine });
}

function run(
  session: Session,
  { x, weight, bias }: LinearOperands<Slot>,
  out: Slot,
  activation: Activation = "identity",
  packed?: readonly [outFeatures: number, inFeatures: number],
): void {
  const [outer, inner] = packed ?? (weight.shape as [number, number]);
  if (out.elements === 0) return;
  session.run("linear", {
    integers: [1, x.elements / inner, inner, outer, 1, ACTIVATIONS.indexOf(activation), packed === undefined ? 0 : 1],
    inputs: [x, weight, bias],
    outputs: [out],
  });
}

/** Proves that shapes fit a linear layer. */
export function proveLinear(
  { x, weight, bias }: LinearOperands<Pick<TensorView, "shape">>,
  caller: string,
  weightName = "weight",
): void {
  if (weight.shape.length !== 2) {
    throw shapeError(caller, `${weightName}.shape is [${weight.shape.join(", ")}]; expected [outFeatures, inFeatures]`);
  }
  const [outer, inner] = weight.shape as [number, number];
  if (inner === 0) throw shapeError(caller, `${weightName}.shape[1] (inFeatures) is 0; expected at least 1`);
  const last = x.shape.length - 1;
  if (last < 0) throw shapeError(caller, `x.shape is []; expected [..., inFeatures]`);
  if (x.shape[last] !== inner) {
    throw shapeError(caller, `x.shape[${last}] (inFeatures) is ${x.shape[last]}, ${weightName}.shape[1] is ${inner}`);
  }
  if (bias !== undefined && (bias.shape.length !== 1 || bias.shape[0] !== outer)) {
    throw shapeError(caller, `bias.shape is [${bias.shape.join(", ")}]; expected [${outer}] (outFeatures)`);
  }
}
