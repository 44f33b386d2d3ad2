/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Layer normalisation with weights that are held.
 */

import { laterMethod } from "../async/later.ts";
import type { AsyncOptions } from "../control.ts";
import { disposeKey } from "../dispose.ts";
import type { Engine } from "../engine.ts";
import { shapeError } from "../errors.ts";
import { instanceFor } from "../init.ts";
import { proveEpsilon, runNorm } from "../layer-norm.ts";
import { resolveApart } from "../layout/destinations.ts";
import { readOptions } from "../layout/options.ts";
import { plainOf } from "../layout/results.ts";

import { type CapturedTensor, captureTensor } from "../layout/tensor-like.ts";
import { proveVector } from "../projected-attention.ts";
import type { PlainTensor, TensorInput } from "../tensor.ts";
import { inSession } from "../wasm/operator.ts";
import type { TensorView } from "../wasm/view.ts";
import { Held, holding } from "./held.ts";
import type { LinearCallOptions } from "./linear.ts";
import { readRows } from "./rows.ts";
import { LayerWeights, type StateDict } from "./state-dict.ts";

/** Options of {@link LayerNorm}. */
export interface LayerNormLayerOptions {
  /** Added to the variance; a number from 0. Default `1e-5`. */
  readonly epsilon?: number | undefined;
  /** What the names of the weights begin with: `"encoder.norm1."`. Default: nothing. */
  readonly prefix?: string | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

const LAYER = "LayerNorm";

/**
 * Layer normalisation along the last axis, with its weights held in the engine's memory. The bits are those of `layerNorm`.
 *
 * @example
 * ```ts
 * import { LayerNorm } from "saccade/nn";
 *
 * using norm = new LayerNorm({ weight: { data: new Float32Array([1, 10]), shape: [2] } }, { epsilon: 0 });
 * console.log(norm.forward({ data: new Float32Array([1, 3]), shape: [2] }).data); // -1, 10
 * ```
 */
export class LayerNorm {
  readonly #held: Held;
  readonly #weight: TensorView;
  readonly #bias: TensorView | undefined;
  readonly #epsilon: number;
  /** Elements of a row. */
  readonly features: number;

  /**
   * @param weights - by PyTorch's names: `weight` and `bias` (if any), `[features]`
   * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`,
   *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE` (a weight that is not finite); SaccadeError as `attention`
   */
  constructor(weights: StateDict, options?: LayerNormLayerOptions) {
    const read = readOptions(options, ["epsilon", "prefix", "engine"], LAYER);
    const dict = new LayerWeights(weights, read.prefix, LAYER);
    const capture = (name: string): CapturedTensor => captureTensor(dict.required(name), LAYER, dict.nameOf(name));
    const weight = capture("weight");
    const bias = dict.has("bias") ? capture("bias") : undefined;
    this.#epsilon = read.epsilon === undefined ? 1e-5 : proveEpsilon(read.epsilon, LAYER);
    if (weight.shape.length !== 1) {
      throw shapeError(LAYER, `${weight.name}.shape is [${weight.shape.join(", ")}]; expected [features]`);
    }
    this.features = weight.shape[0]!;
    proveVector(dict.nameOf("bias"), bias, this.features, LAYER);
    const held = new Held(instanceFor(read.engine, LAYER), LAYER);
    this.#held = held;
    [this.#weight, this.#bias] = holding(held, () => [held.hold(weight), bias && held.hold(bias)]);
  }

  /** Whether the weights have been given back, by {@link LayerNorm.dispose} or with the whole engine. */
  get disposed(): boolean {
    return this.#held.disposed;
  }

  /**
   * @param x - `[..., features]`, of any rank from 1
   * @returns of x's shape; the target itself where `out` is given
   * @throws as the constructor; RangeError `ERR_SACCADE_OVERLAP`; SaccadeError `ERR_SACCADE_DISPOSED`
   */
  forward(x: TensorInput, options?: LinearCallOptions): PlainTensor<"float32"> {
    const caller = `${LAYER}.forward`;
    const { instance, x: view, target, given } = readRows(this.#held, x, options, caller);
    const axis = view.shape.length - 1;
    if (view.shape[axis] !== this.features) {
      throw shapeError(caller, `x.shape is [${view.shape.join(", ")}]; expected [..., ${this.features}]`);
    }
    const inputs = { x: view, "the weight": this.#weight, "the bias": this.#bias };
    const destination = resolveApart(target, view.shape, inputs, instance, caller);
    return inSession(instance, caller, (session) => {
      const out = session.result(destination);
      const affine = [this.#weight, this.#bias].map((held) => held && session.input(held));
      runNorm(session, [session.input(view), ...affine], out, { axis, epsilon: this.#epsilon, centred: true });
      return plainOf(out, given);
    });
  }

  /** The asynchronous twin of {@link LayerNorm.forward}. */
  forwardAsync(x: TensorInput, options?: LinearCallOptions & AsyncOptions): Promise<PlainTensor<"float32">> {
    return laterMethod(this, "forward", 1, LAYER, [x, options]);
  }

  /** Gives the layer's memory back. May be called again; any other use afterwards throws `ERR_SACCADE_DISPOSED`. */
  dispose(): void {
    this.#held.dispose();
  }

  /** {@link LayerNorm.dispose}, for `using`. */
  [disposeKey](): void {
    this.dispose();
  }
}
