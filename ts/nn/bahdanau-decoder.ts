/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The decoder of the first attention model.
 */

import { laterMethod } from "../async/later.ts";
import type { AsyncOptions } from "../control.ts";
import { disposeKey } from "../dispose.ts";
import type { Engine } from "../engine.ts";
import { argumentError, SaccadeError, shapeError } from "../errors.ts";
import { instanceFor } from "../init.ts";
import { resolveDestination } from "../layout/destinations.ts";
import { captureLengths, proveRowLengths } from "../layout/lengths.ts";
import { proveFloatTensor } from "../layout/operands.ts";
import { readOptions } from "../layout/options.ts";
import { plainOf } from "../layout/results.ts";

import { type CapturedTensor, captureTensor } from "../layout/tensor-like.ts";
import { runLinear } from "../linear.ts";
import { softmax } from "../pooling/normalize.ts";
import { runPooling } from "../pooling/run.ts";
import { resolvePooling } from "../pooling/sizes.ts";
import type { PlainTensor, TensorInput } from "../tensor.ts";
import { inSession, type ResultSlot } from "../wasm/operator.ts";
import { afterwards, recordingOf } from "../wasm/recording.ts";
import { sliceView, type TensorView } from "../wasm/view.ts";
import { type AdditiveWeights, type HeldScore, holdAdditive, readAdditive } from "./additive.ts";
import { type CellWeights, captureCell, holdCell, runCell } from "./gru-cell.ts";
import { Held, holding } from "./held.ts";
import { LayerWeights, type StateDict } from "./state-dict.ts";

/** Weights of {@link BahdanauDecoder}. */
export interface BahdanauDecoderWeights extends AdditiveWeights<TensorInput> {
  /** `[units, hidden]`: the state's projection. */
  readonly wq: TensorInput;
  /** `[units, encoderDim]`: the encoder's. */
  readonly wk: TensorInput;
  /** `[units]`. */
  readonly v: TensorInput;
  /** `[units]`. */
  readonly bias?: TensorInput | undefined;
  /** The recurrent cell by PyTorch's names: `weight_ih` `[3 * hidden, encoderDim + embeddingDim]`, `weight_hh`, `bias_ih`, `bias_hh`. */
  readonly gru: StateDict;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** What {@link BahdanauDecoder.step} gives. */
export interface BahdanauStep {
  /** `[batch, encoderDim]`: what the state attended to. */
  readonly context: PlainTensor<"float32">;
  /** `[batch, kvLen]`. */
  readonly weights: PlainTensor<"float32">;
  /** `[batch, hidden]`: the next state. */
  readonly hidden: PlainTensor<"float32">;
}

/** Options of {@link BahdanauDecoder.encode}. */
export interface BahdanauEncodeOptions {
  /** Valid outputs of each batch row; what lies behind is never seen. Default: all. */
  readonly kvLengths?: ArrayLike<number> | TensorInput | undefined;
}

/** What is read at every step. */
interface Encoder {
  readonly values: TensorView;
  /** Projected once. */
  readonly keys: TensorView;
  readonly lengths: Int32Array | undefined;
}

const LAYER = "BahdanauDecoder";

/**
 * The decoder of Bahdanau, Cho and Bengio (2014): at each step the state attends to the encoder's outputs by the additive score
 * `v^T tanh(Wq hidden + Wk encoder_j + bias)`, and a gated recurrent unit makes the next state of `[context; embedding]`. The projected
 * keys are held in the engine's memory: a step projects the state alone.
 *
 * @example
 * ```ts
 * import { BahdanauDecoder } from "saccade/nn";
 *
 * const zeros = (...shape: number[]) => ({ data: new Float32Array(shape.reduce((a, b) => a * b)), shape });
 * using decoder = new BahdanauDecoder({
 *   ...{ wq: zeros(6, 4), wk: zeros(6, 5), v: zeros(6) },
 *   gru: { weight_ih: zeros(12, 8), weight_hh: zeros(12, 4) },
 * });
 * decoder.encode(zeros(2, 7, 5), { kvLengths: [7, 3] });
 * const { context, weights, hidden } = decoder.step(zeros(2, 3), zeros(2, 4));
 * console.log(context.shape, weights.shape, hidden.shape); // [2, 5] [2, 7] [2, 4]
 * ```
 */
export class BahdanauDecoder {
  readonly #held: Held;
  readonly #score: HeldScore;
  readonly #cell: CellWeights<TensorView>;
  #encoder: Encoder | undefined;
  /** Features of a state. */
  readonly hiddenSize: number;
  /** Features of the encoder's outputs. */
  readonly encoderSize: number;
  /** Features of an embedding. */
  readonly embeddingSize: number;

  /**
   * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`,
   *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE` (a weight that is not finite); SaccadeError as `attention`
   */
  constructor(weights: BahdanauDecoderWeights) {
    const { wq, wk, v, bias, gru, engine } = readOptions(weights, ["wq", "wk", "v", "bias", "gru", "engine"], LAYER);
    for (const [name, weight] of Object.entries({ wq, wk, gru })) {
      if (weight === undefined) throw argumentError(LAYER, `${name} is missing`);
    }
    const spec = readAdditive({ wq, wk, v, bias });
    this.hiddenSize = spec.query!.shape[1]!;
    this.encoderSize = spec.key!.shape[1]!;
    const cell = captureCell(new LayerWeights(gru, undefined, LAYER), "", undefined, this.hiddenSize, LAYER);
    this.embeddingSize = cell.ih.shape[1]! - this.encoderSize;
    if (this.embeddingSize < 0) {
      throw shapeError(
        LAYER,
        `${cell.ih.name}.shape[1] is ${cell.ih.shape[1]}; expected encoderDim + embeddingDim, at least ${this.encoderSize}`,
      );
    }
    const held = new Held(instanceFor(engine, LAYER), LAYER);
    this.#held = held;
    [this.#score, this.#cell] = holding(held, () => [holdAdditive(held, spec, LAYER), holdCell(held, cell)] as const);
  }

  /** Whether the memory has been given back, by {@link BahdanauDecoder.dispose} or with the whole engine. */
  get disposed(): boolean {
    return this.#held.disposed;
  }

  /**
   * Takes the encoder's outputs, which all steps until the next call attend to. They are copied, and projected here once.
   *
   * @param encoder - `[batch, kvLen, encoderDim]`
   * @throws as the constructor; SaccadeError `ERR_SACCADE_DISPOSED`. After a refused call the earlier outputs stay
   */
  encode(encoder: TensorInput, options?: BahdanauEncodeOptions): void {
    const caller = `${LAYER}.encode`;
    const captured = captureTensor(encoder, caller, "encoder");
    const read = readOptions(options, ["kvLengths"], caller);
    const given =
      read.kvLengths === undefined ? undefined : captureLengths(read.kvLengths, caller, "options.kvLengths");
    const held = this.#held;
    const instance = held.use(caller, options);
    const { shape } = captured;
    if (shape.length !== 3 || shape[2] !== this.encoderSize) {
      throw shapeError(
        caller,
        `encoder.shape is [${shape.join(", ")}]; expected [batch, kvLen, ${this.encoderSize}] (encoderDim, as wk.shape[1])`,
      );
    }
    const [batch, kvLen] = shape as [number, number];
    const lengths =
      given && proveRowLengths(given, "options.kvLengths", [batch], kvLen, "encoder.shape[1]", instance, caller).values;
    const view = proveFloatTensor(captured, instance, caller);
    const { wk } = this.#score;
    const units = wk.shape[0]!;
    const values = held.make(shape, view.elements, (session, target) => session.copy(view, target));
    let keys: TensorView;
    try {
      keys = held.make([batch, kvLen, units], batch * kvLen * units, (session, target) =>
        runLinear(session, { x: session.input(values), weight: session.input(wk) }, target),
      );
    } catch (error) {
      held.free(values);
      throw error;
    }
    let latest: Encoder | undefined = { values, keys, lengths };
    const free = (encoder: Encoder | undefined): void => {
      if (encoder === undefined) return;
      held.free(encoder.values);
      held.free(encoder.keys);
    };
    afterwards(instance, () => {
      if (held.disposed) return;
      [this.#encoder, latest] = [latest, this.#encoder];
      free(latest);
      latest = undefined;
    });
    // A record that does not run to its end has not come to the exchange above.
    recordingOf(instance)?.hold(() => free(latest));
  }

  /** The asynchronous twin of {@link BahdanauDecoder.encode}: until its promise is fulfilled, steps attend to the earlier outputs. */
  encodeAsync(encoder: TensorInput, options?: BahdanauEncodeOptions & AsyncOptions): Promise<void> {
    return laterMethod(this, "encode", 1, LAYER, [encoder, options]);
  }

  /**
   * One step of decoding.
   *
   * @param embedding - `[batch, embeddingDim]`: of the token before
   * @param hidden - `[batch, hidden]`: the state before
   * @throws as {@link BahdanauDecoder.encode}; SaccadeError `ERR_SACCADE_NOT_INITIALIZED` before the first of its calls
   */
  step(embedding: TensorInput, hidden: TensorInput): BahdanauStep;
  step(embedding: TensorInput, hidden: TensorInput, options?: object): BahdanauStep {
    const caller = `${LAYER}.step`;
    const captured = [captureTensor(embedding, caller, "embedding"), captureTensor(hidden, caller, "hidden")] as const;
    readOptions(options, [], caller);
    const instance = this.#held.use(caller, options);
    const encoder = this.#encoder;
    if (encoder === undefined) {
      throw new SaccadeError(
        "ERR_SACCADE_NOT_INITIALIZED",
        `${caller}: there is nothing to attend to: call encode(encoder) first`,
      );
    }
    const { hiddenSize, encoderSize, embeddingSize } = this;
    const [batch, kvLen] = encoder.values.shape as [number, number];
    const prove = (tensor: CapturedTensor, size: number): TensorView => {
      const { name, shape } = tensor;
      if (shape.length === 2 && shape[0] === batch && shape[1] === size)
        return proveFloatTensor(tensor, instance, caller);
      throw shapeError(caller, `${name}.shape is [${shape.join(", ")}]; expected [${batch}, ${size}]`);
    };
    const embedded = prove(captured[0], embeddingSize);
    const state = prove(captured[1], hiddenSize);
    return inSession(instance, caller, (session) => {
      const result = (...shape: number[]): ResultSlot =>
        session.result(resolveDestination(undefined, shape, "float32", instance, caller));
      const results = {
        context: result(batch, encoderSize),
        weights: result(batch, kvLen),
        hidden: result(batch, hiddenSize),
      };
      const before = session.input(state);
      const query = session.reshape(before, [batch, 1, hiddenSize]);
      const [key, value] = [session.input(encoder.keys), session.input(encoder.values)];
      const { spec } = this.#score;
      const lengths = { kind: encoder.lengths === undefined ? 0 : 1, lengths: encoder.lengths } as const;
      const sizes = resolvePooling({ query, key, value }, spec, "bshd", caller);
      const call = { score: spec, normalize: softmax(), sizes, lengths, maskSizes: [1, 1, 1, 1] };
      runPooling(session, call, { query, key, value }, { out: results.context, weights: results.weights });
      // [context; embedding], side by side.
      const joined = session.temporary([batch, encoderSize + embeddingSize]);
      session.copy(results.context, sliceView(joined, [0, 0], [batch, encoderSize]));
      session.copy(embedded, sliceView(joined, [0, encoderSize], [batch, embeddingSize]));
      const place = { batch, time: 1, direction: 0, directions: 1, state: 0, states: 1 };
      const projections = session.temporary([batch, 1, 3 * hiddenSize]);
      const slots = { x: joined, projections, h0: before, lengths: undefined, output: undefined, hn: results.hidden };
      runCell(session, this.#cell, place, slots);
      return { context: plainOf(results.context), weights: plainOf(results.weights), hidden: plainOf(results.hidden) };
    });
  }

  /** The asynchronous twin of {@link BahdanauDecoder.step}; it attends to the outputs that are there when it is called. */
  stepAsync(embedding: TensorInput, hidden: TensorInput, options?: AsyncOptions): Promise<BahdanauStep> {
    return laterMethod(this, "step", 2, LAYER, [embedding, hidden, options]);
  }

  /** Gives the layer's memory back. May be called again; any other use afterwards throws `ERR_SACCADE_DISPOSED`. */
  dispose(): void {
    this.#encoder = undefined;
    this.#held.dispose();
  }

  /** {@link BahdanauDecoder.dispose}, for `using`. */
  [disposeKey](): void {
    this.dispose();
  }
}
