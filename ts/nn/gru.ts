/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Gated recurrent units.
 */

import { laterMethod } from "../async/later.ts";
import type { AsyncOptions } from "../control.ts";
import { disposeKey } from "../dispose.ts";
import type { Engine } from "../engine.ts";
import { argumentError, shapeError } from "../errors.ts";
import { instanceFor } from "../init.ts";
import { resolveDestination } from "../layout/destinations.ts";
import { captureLengths, proveRowLengths } from "../layout/lengths.ts";
import { proveFloatTensor } from "../layout/operands.ts";
import { readOptions } from "../layout/options.ts";
import { type NamedView, proveApart } from "../layout/overlap.ts";
import { plainOf } from "../layout/results.ts";

import { type CapturedTensor, captureTensor } from "../layout/tensor-like.ts";
import type { PlainTensor, TensorInput } from "../tensor.ts";
import { inSession } from "../wasm/operator.ts";
import type { TensorView } from "../wasm/view.ts";
import { type CellWeights, captureCell, holdCell, runCell } from "./gru-cell.ts";
import { Held, holding } from "./held.ts";
import { LayerWeights, type StateDict } from "./state-dict.ts";

/** Options of {@link GRU}. */
export interface GRUOptions {
  /** What the names of the weights begin with: `"encoder.gru."`. Default: nothing. */
  readonly prefix?: string | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** Options of {@link GRU.forward}. */
export interface GRUCallOptions {
  /** First states, `[layers * directions, batch, hidden]` (without batch: `[layers * directions, hidden]`). Default: zeros. */
  readonly h0?: TensorInput | undefined;
  /**
   * Steps of each batch row, at most as many as there are. A row's steps behind its length give 0 and leave its state as it is;
   * what x holds there never shows. The backward direction begins at the last step of the length.
   */
  readonly lengths?: ArrayLike<number> | TensorInput | undefined;
  /** Where the output goes: float32 of its shape; it must not overlap an input. Default: a new tensor. */
  readonly out?: TensorInput | undefined;
}

/** What {@link GRU.forward} gives. */
export interface GRUResult {
  /** The last layer's states at every step, `[batch, time, directions * hidden]`: the forward direction's first. */
  readonly output: PlainTensor<"float32">;
  /** The last states, in the shape of `h0`: layer by layer, of each the forward direction and then the backward one. */
  readonly hn: PlainTensor<"float32">;
}

const LAYER = "GRU";

/**
 * A gated recurrent unit (Cho et al. 2014) as PyTorch has it, the reset gate acting on the projected state: with
 * `r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)`, `z` likewise and `n = tanh(W_in x + b_in + r * (W_hn h + b_hn))`, the next state is
 * `(1 - z) * n + z * h`. Any number of layers, in one or both directions; batch comes first. Weights are held in the engine's
 * memory. A row has the same bits alone and in any batch.
 *
 * @example
 * ```ts
 * import { GRU } from "saccade/nn";
 *
 * const zeros = (...shape: number[]) => ({ data: new Float32Array(shape.reduce((a, b) => a * b)), shape });
 * using gru = new GRU({ weight_ih_l0: zeros(6, 3), weight_hh_l0: zeros(6, 2) });
 * const { output, hn } = gru.forward(zeros(1, 4, 3));
 * console.log(output.shape, hn.shape); // [1, 4, 2] [1, 1, 2]
 * ```
 */
export class GRU {
  readonly #held: Held;
  /** Layer by layer, direction by direction. */
  readonly #cells: readonly CellWeights<TensorView>[];
  /** How many layers there are. */
  readonly numLayers: number;
  /** Whether every layer also runs backward. */
  readonly bidirectional: boolean;
  /** Features of the input. */
  readonly inputSize: number;
  /** Features of a state. */
  readonly hiddenSize: number;

  /**
   * @param weights - by PyTorch's names: `weight_ih_l0` `[3 * hidden, in]`, `weight_hh_l0` `[3 * hidden, hidden]`, `bias_ih_l0`
   *   and `bias_hh_l0` (if any) `[3 * hidden]`, `..._reverse` for the backward direction, `..._l1` for the next layer
   * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`,
   *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE` (a weight that is not finite); SaccadeError as `attention`
   */
  constructor(weights: StateDict, options?: GRUOptions) {
    const read = readOptions(options, ["prefix", "engine"], LAYER);
    const dict = new LayerWeights(weights, read.prefix, LAYER);
    this.bidirectional = dict.has("weight_ih_l0_reverse");
    const suffixes = this.bidirectional ? ["", "_reverse"] : [""];
    const captured: CellWeights<CapturedTensor>[] = [];
    let layers = 0;
    do {
      for (const suffix of suffixes) {
        const first = captured[0];
        const hidden = first?.hh.shape[1];
        const inputSize = layers === 0 ? first?.ih.shape[1] : hidden! * suffixes.length;
        captured.push(captureCell(dict, `_l${layers}${suffix}`, inputSize, hidden, LAYER));
      }
      layers += 1;
    } while (dict.has(`weight_ih_l${layers}`));
    const strange = dict.names.find((name) => {
      const parts = /^(?:weight|bias)_(?:ih|hh)_l(\d+)(_reverse)?$/.exec(name);
      return parts !== null && (Number(parts[1]) >= layers || (parts[2] !== undefined && !this.bidirectional));
    });
    if (strange !== undefined) {
      const kind = this.bidirectional ? "bidirectional" : "one direction";
      throw argumentError(
        LAYER,
        `${dict.nameOf(strange)} has no place: the other weights make ${layers} layers, ${kind}`,
      );
    }
    this.numLayers = layers;
    this.inputSize = captured[0]!.ih.shape[1]!;
    this.hiddenSize = captured[0]!.hh.shape[1]!;
    const held = new Held(instanceFor(read.engine, LAYER), LAYER);
    this.#held = held;
    this.#cells = holding(held, () => captured.map((cell) => holdCell(held, cell)));
  }

  /** Whether the weights have been given back, by {@link GRU.dispose} or with the whole engine. */
  get disposed(): boolean {
    return this.#held.disposed;
  }

  /**
   * Runs over a sequence.
   *
   * @param x - `[batch, time, in]`, or `[time, in]`
   * @throws as the constructor; RangeError `ERR_SACCADE_RANGE`, `ERR_SACCADE_OVERLAP`; SaccadeError `ERR_SACCADE_DISPOSED`
   */
  forward(x: TensorInput, options?: GRUCallOptions): GRUResult {
    const caller = `${LAYER}.forward`;
    const rows = captureTensor(x, caller, "x");
    const read = readOptions(options, ["h0", "lengths", "out"], caller);
    const first = read.h0 === undefined ? undefined : captureTensor(read.h0, caller, "h0");
    const given = read.lengths === undefined ? undefined : captureLengths(read.lengths, caller, "options.lengths");
    const target = read.out === undefined ? undefined : captureTensor(read.out, caller, "out");
    const instance = this.#held.use(caller, options);
    const { inputSize, hiddenSize } = this;
    const view = proveFloatTensor(rows, instance, caller);
    const rank = view.shape.length;
    if ((rank !== 2 && rank !== 3) || view.shape[rank - 1] !== inputSize) {
      throw shapeError(
        caller,
        `x.shape is [${view.shape.join(", ")}]; expected [batch, time, ${inputSize}] or [time, ${inputSize}]`,
      );
    }
    const [batch, time] = rank === 3 ? (view.shape as [number, number]) : [1, view.shape[0]!];
    const directions = this.bidirectional ? 2 : 1;
    const states = this.numLayers * directions;
    const stateShape = rank === 3 ? [states, batch, hiddenSize] : [states, hiddenSize];
    const h0 = first && proveFloatTensor(first, instance, caller);
    if (h0 !== undefined && (h0.shape.length !== rank || h0.shape.some((size, axis) => size !== stateShape[axis]))) {
      throw shapeError(caller, `h0.shape is [${h0.shape.join(", ")}]; expected [${stateShape.join(", ")}]`);
    }
    const lengths =
      given && proveRowLengths(given, "options.lengths", [batch], time, `x.shape[${rank - 2}]`, instance, caller);
    const shape = [...view.shape.slice(0, -1), directions * hiddenSize];
    const destination = resolveDestination(target, shape, "float32", instance, caller);
    if (destination.target !== undefined) {
      const inputs: NamedView[] = [{ name: "x", view }];
      if (h0 !== undefined) inputs.push({ name: "h0", view: h0 });
      for (const cell of this.#cells) {
        for (const weight of Object.values(cell) as (TensorView | undefined)[]) {
          if (weight !== undefined) inputs.push({ name: "a weight", view: weight });
        }
      }
      proveApart([{ name: "out", view: destination.target }], inputs, caller);
    }
    return inSession(instance, caller, (session) => {
      const output = session.result(destination);
      const hn = session.result(resolveDestination(undefined, stateShape, "float32", instance, caller));
      const projections = session.temporary([batch, time, 3 * hiddenSize]);
      const common = { projections, h0: h0 && session.input(h0), lengths: lengths?.values, hn };
      // A layer reads what the one before it left; two places take turns.
      const between = this.numLayers > 1 ? [session.temporary(shape), session.temporary(shape)] : [];
      let input = session.input(view);
      for (let layer = 0; layer < this.numLayers; layer++) {
        const to = layer + 1 === this.numLayers ? output : between[layer % 2]!;
        for (let direction = 0; direction < directions; direction++) {
          const state = layer * directions + direction;
          const place = { batch, time, direction, directions, state, states };
          runCell(session, this.#cells[state]!, place, { ...common, x: input, output: to });
        }
        input = to;
      }
      return { output: plainOf(output, read.out), hn: plainOf(hn) };
    });
  }

  /** The asynchronous twin of {@link GRU.forward}. */
  forwardAsync(x: TensorInput, options?: GRUCallOptions & AsyncOptions): Promise<GRUResult> {
    return laterMethod(this, "forward", 1, LAYER, [x, options]);
  }

  /** Gives the layer's memory back. May be called again; any other use afterwards throws `ERR_SACCADE_DISPOSED`. */
  dispose(): void {
    this.#held.dispose();
  }

  /** {@link GRU.dispose}, for `using`. */
  [disposeKey](): void {
    this.dispose();
  }
}
