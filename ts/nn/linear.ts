/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The linear layer with weights that are held, laid out once as the matrix product reads them.
 */

import { laterMethod } from "../async/later.ts";
import type { AsyncOptions } from "../control.ts";
import { disposeKey } from "../dispose.ts";
import type { Engine } from "../engine.ts";
import { instanceFor } from "../init.ts";
import { resolveApart } from "../layout/destinations.ts";
import { proveFinite } from "../layout/finite.ts";
import { proveFloatTensor } from "../layout/operands.ts";
import { proveWord, readOptions } from "../layout/options.ts";
import { plainOf } from "../layout/results.ts";
import { captureTensor } from "../layout/tensor-like.ts";
import { ACTIVATIONS, type Activation, proveLinear, runLinear } from "../linear.ts";
import type { PlainTensor, TensorInput } from "../tensor.ts";
import { inSession } from "../wasm/operator.ts";
import type { TensorView } from "../wasm/view.ts";
import { Held, holding } from "./held.ts";
import { readRows } from "./rows.ts";
import { LayerWeights, type StateDict } from "./state-dict.ts";

/** Options of {@link Linear}. */
export interface LinearLayerOptions {
  /** Applied to each element of the result. Default `"identity"`. */
  readonly activation?: Activation | undefined;
  /** What the names of the weights begin with: `"encoder.fc1."`. Default: nothing. */
  readonly prefix?: string | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** Options of {@link Linear.forward}. */
export interface LinearCallOptions {
  /** Where the result goes: float32 of the result's shape; it must not overlap an input. Default: a new tensor. */
  readonly out?: TensorInput | undefined;
}

const LAYER = "Linear";

/** Output features that the wasm lays side by side. */
const COLUMNS = 32;

/** Weights laid out once as the matrix product reads them. */
function packWeight(held: Held, weight: TensorView): TensorView {
  const [outer, inner] = weight.shape as [number, number];
  const elements = Math.ceil(outer / COLUMNS) * inner * COLUMNS;
  return held.make([elements], elements, (session, target) => {
    if (elements === 0) return;
    session.run("packWeight", { integers: [1, inner, outer], inputs: [session.input(weight)], outputs: [target] });
  });
}

/**
 * The linear layer `y = activation(x W^T + b)`, with its weights held in the engine's memory in the form that the matrix product
 * reads: a call packs nothing. The bits are those of `linear`.
 *
 * @example
 * ```ts
 * import { Linear } from "saccade/nn";
 *
 * using layer = new Linear({ weight: { data: new Float32Array([1, 0, 0, 1, 1, 1]), shape: [3, 2] } });
 * console.log(layer.forward({ data: new Float32Array([1, 2]), shape: [1, 2] }).data); // 1, 2, 3
 * ```
 */
export class Linear {
  readonly #held: Held;
  readonly #packed: TensorView;
  readonly #bias: TensorView | undefined;
  readonly #activation: Activation;
  /** Features of the input. */
  readonly inFeatures: number;
  /** Features of the result. */
  readonly outFeatures: number;

  /**
   * @param weights - by PyTorch's names: `weight` `[outFeatures, inFeatures]` and `bias` (if any) `[outFeatures]`
   * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`,
   *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE` (a weight that is not finite); SaccadeError as `attention`
   */
  constructor(weights: StateDict, options?: LinearLayerOptions) {
    const read = readOptions(options, ["activation", "prefix", "engine"], LAYER);
    const dict = new LayerWeights(weights, read.prefix, LAYER);
    const weight = captureTensor(dict.required("weight"), LAYER, dict.nameOf("weight"));
    const bias = dict.has("bias") ? captureTensor(dict.required("bias"), LAYER, dict.nameOf("bias")) : undefined;
    this.#activation =
      read.activation === undefined ? "identity" : proveWord(read.activation, ACTIVATIONS, LAYER, "activation");
    const instance = instanceFor(read.engine, LAYER);
    const held = new Held(instance, LAYER);
    this.#held = held;
    const view = proveFloatTensor(weight, instance, LAYER);
    const biasView = bias && proveFloatTensor(bias, instance, LAYER);
    proveLinear({ x: { shape: view.shape.slice(-1) }, weight: view, bias: biasView }, LAYER, weight.name);
    proveFinite(view, instance, LAYER, weight.name);
    [this.outFeatures, this.inFeatures] = view.shape as [number, number];
    [this.#packed, this.#bias] = holding(held, () => [packWeight(held, view), bias && held.hold(bias)]);
  }

  /** Whether the weights have been given back, by {@link Linear.dispose} or with the whole engine. */
  get disposed(): boolean {
    return this.#held.disposed;
  }

  /**
   * @param x - `[..., inFeatures]`, of any rank from 1
   * @returns `[..., outFeatures]`; the target itself where `out` is given
   * @throws as the constructor; RangeError `ERR_SACCADE_OVERLAP`; SaccadeError `ERR_SACCADE_DISPOSED`
   */
  forward(x: TensorInput, options?: LinearCallOptions): PlainTensor<"float32"> {
    const caller = `${LAYER}.forward`;
    const { instance, x: view, target, given } = readRows(this.#held, x, options, caller);
    const shape = [this.outFeatures, this.inFeatures] as const;
    proveLinear({ x: view, weight: { shape } }, caller);
    const held = { x: view, "a weight": this.#packed, "the bias": this.#bias };
    const destination = resolveApart(target, [...view.shape.slice(0, -1), shape[0]], held, instance, caller);
    return inSession(instance, caller, (session) => {
      const out = session.result(destination);
      const bias = this.#bias && session.input(this.#bias);
      const slots = { x: session.input(view), weight: session.input(this.#packed), bias };
      runLinear(session, slots, out, this.#activation, shape);
      return plainOf(out, given);
    });
  }

  /** The asynchronous twin of {@link Linear.forward}. */
  forwardAsync(x: TensorInput, options?: LinearCallOptions & AsyncOptions): Promise<PlainTensor<"float32">> {
    return laterMethod(this, "forward", 1, LAYER, [x, options]);
  }

  /** Gives the layer's memory back. May be called again; any other use afterwards throws `ERR_SACCADE_DISPOSED`. */
  dispose(): void {
    this.#held.dispose();
  }

  /** {@link Linear.dispose}, for `using`. */
  [disposeKey](): void {
    this.dispose();
  }
}
