/**
 * Attention along time: pooling of frames by what matters, and self-attention of frames at each place.
 */

import { attend } from "./attention.ts";
import type { Asked, AttentionWindow } from "./attention-options.ts";
import type { Engine } from "./engine.ts";
import { optionError, rangeError, type SaccadeTypeError } from "./errors.ts";
import { instanceFor } from "./init.ts";
import {
  destinationOf,
  type FeatureCall,
  type FeatureOptions,
  newDestination,
  proveShapeOf,
  readFeatureCall,
  wrongShape,
} from "./layout/feature-call.ts";
import { type CapturedLengths, captureLengths, proveRowLengths } from "./layout/lengths.ts";
import { mergeAxes } from "./layout/merged-axes.ts";
import { type FloatView, proveFloatTensor } from "./layout/operands.ts";
import { proveBoolean, readOptions } from "./layout/options.ts";
import { plainOf } from "./layout/results.ts";
import { proveNumber } from "./layout/shape.ts";
import { captureTensor, type TensorLike } from "./layout/tensor-like.ts";
import { runLinear } from "./linear.ts";
import { proveTemperature } from "./softmax.ts";
import type { PlainTensor, TensorInput } from "./tensor.ts";
import { softmaxRows, weightedSum } from "./wasm/feature-map.ts";
import type { WasmInstance } from "./wasm/instance.ts";
import { inSession, type Session, type Slot } from "./wasm/operator.ts";

/** Options of {@link temporalAttention}. */
export interface TemporalAttentionOptions<Deviation extends boolean = boolean> extends FeatureOptions {
  /** Learned pooling: the hidden layer, `[hidden, features]`, features being all of a frame. Goes with `v`. */
  readonly w?: TensorInput | undefined;
  /** Learned pooling: `[hidden]`, added to the hidden layer. */
  readonly b?: TensorInput | undefined;
  /** Learned pooling: the query, `[hidden]`. */
  readonly v?: TensorInput | undefined;
  /** Pooling by a given query instead: a frame's shape, or `[batch, ...frame]`. */
  readonly query?: TensorInput | undefined;
  /** Factor of a given query's dot products. Default `1 / sqrt(features)`. */
  readonly scale?: number | undefined;
  /** Divides the scores of learned pooling: above 1 the weights come nearer to each other. Default 1. */
  readonly temperature?: number | undefined;
  /** Valid frames per batch row; those behind never show. Default: all. */
  readonly lengths?: ArrayLike<number> | TensorInput | undefined;
  /** Gives `deviation` too, `sqrt(max(sum w (x - out)^2, varianceFloor))` `[batch, ...frame]`: attentive statistics pooling. Default false. */
  readonly returnDeviation?: Deviation | undefined;
  /** The least variance that the deviation is the root of; from 0. Default 1e-12. */
  readonly varianceFloor?: number | undefined;
}

/** What {@link temporalAttention} gives. */
export type TemporalAttentionResult<Deviation extends boolean = boolean> = {
  /** The weighted mean of the frames: `[batch, ...frame]`. */
  readonly out: PlainTensor<"float32">;
  /** What each frame weighs: `[batch, time]`. A batch row adds up to 1. */
  readonly weights: PlainTensor<"float32">;
} & Asked<Deviation, "deviation", PlainTensor<"float32">>;

/** Options of {@link temporalSelfAttention}; each means what it means for `attention`. */
export interface TemporalSelfAttentionOptions<Weights extends boolean = boolean> {
  /** Another sequence of the same shape to score against. Default: the frames. */
  readonly key?: TensorInput | undefined;
  /** What is summed, of the frames' shape. Default: the key. */
  readonly value?: TensorInput | undefined;
  /** Factor of the scores. Default `1 / sqrt(dim)`. */
  readonly scale?: number | undefined;
  /** `true`: a moment sees itself and what came before, as a stream must. Default false. */
  readonly causal?: boolean | undefined;
  /** Moments around each one that it sees. */
  readonly window?: AttentionWindow | undefined;
  /** Valid frames per batch row. Default: all. */
  readonly lengths?: ArrayLike<number> | TensorInput | undefined;
  /** Gives `weights` `[batch, ...places, time, time]` too. Default false. */
  readonly returnWeights?: Weights | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** What {@link temporalSelfAttention} gives. */
export type TemporalSelfAttentionResult<Weights extends boolean = boolean> = {
  /** Of the frames' shape. */
  readonly out: PlainTensor<"float32">;
} & Asked<Weights, "weights", PlainTensor<"float32">>;

const INPUT = "frames";

/**
 * Attention pooling over time: `out = sum_t w_t frame_t` with weights that add up to 1. Learned pooling scores each frame alone,
 * `w = softmax_t(v^T tanh(W frame_t + b) / temperature)` (Bahdanau, Cho and Bengio 2015; with `returnDeviation` the attentive
 * statistics pooling of Okabe, Koshinaka and Shinoda 2018); a given query scores by scaled dot products,
 * `w = softmax_t(scale * query . frame_t)`. A row without valid frames has weights and out 0.
 *
 * @param frames - `[batch, time, ...frame]`: features, or whole feature maps
 * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION` (options of both ways, or of neither);
 *   RangeError `ERR_SACCADE_SHAPE`, `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE`, `ERR_SACCADE_OVERLAP`; SaccadeError as `attention`
 *
 * @example
 * ```ts
 * import { init, temporalAttention } from "saccade";
 *
 * await init();
 * const frames = { data: new Float32Array([0, 0, 8, 0, 0, 0]), shape: [1, 3, 2] };
 * const query = { data: new Float32Array([4, 0]), shape: [2] };
 * console.log(temporalAttention(frames, { query }).weights.data[1]! > 0.99); // true
 * ```
 */
export function temporalAttention<Deviation extends boolean = false>(
  frames: TensorInput,
  options: TemporalAttentionOptions<Deviation> = {},
): TemporalAttentionResult<Deviation> {
  const caller = "temporalAttention";
  const call = readFeatureCall(frames, options, {
    caller,
    input: INPUT,
    required: [],
    optional: ["w", "b", "v", "query"],
    others: ["scale", "temperature", "lengths", "returnDeviation", "varianceFloor"],
  });
  const { x, instance, read, tensors } = call;
  const { query, w, b, v } = tensors;
  const [batch, time, ...frame] = x.shape as [number, number, ...number[]];
  const features = frame.reduce((product, size) => product * size, 1);
  if (frame.length === 0) throw wrongShape(caller, INPUT, x.shape, "[batch, time, ...frame] with at least 3 axes");
  if (features === 0) throw wrongShape(caller, INPUT, x.shape, "frames of at least one number");
  const learned = proveLearned({ w, b, v }, query, read, features, caller);
  proveShapeOf(caller, "query", query, [frame, [batch, ...frame]], "a frame, or one per batch row");
  const temperature = read.temperature === undefined ? 1 : proveTemperature(read.temperature, caller);
  const scale = read.scale === undefined ? undefined : proveNumber(read.scale, caller, "options.scale");
  const deviates = read.returnDeviation !== undefined && proveBoolean(read.returnDeviation, caller, "returnDeviation");
  const floor = read.varianceFloor === undefined ? 1e-12 : proveFloor(read.varianceFloor, caller);
  const lengths = proveFrames(call.lengths, batch, time, instance, caller);
  const destination = destinationOf(call, [batch, ...frame], INPUT);
  const found = learned === undefined ? weightsOfQuery(call, lengths, scale) : undefined;
  return inSession(instance, caller, (session) => {
    const out = session.result(destination);
    const result = found === undefined ? session.result(newDestination(call, [batch, time])) : undefined;
    const deviation = deviates ? session.result(newDestination(call, [batch, ...frame])) : undefined;
    const input = session.input(x);
    const weights = result ?? session.left(found!.data);
    if (learned !== undefined) {
      const scores = scoreByLayer(session, session.reshape(input, [batch * time, features]), learned);
      const valid = lengths && session.list(lengths);
      softmaxRows(session, scores, [batch, time], { temperature, lengths: valid }, weights);
    }
    const sizes = { batch, channels: time, places: features };
    weightedSum(session, input, sizes, weights, "channels", { out, deviation, floor });
    return {
      out: plainOf(out, call.given),
      weights: result === undefined ? found! : plainOf(result),
      ...(deviation === undefined ? {} : { deviation: plainOf(deviation) }),
    } as TemporalAttentionResult<Deviation>;
  });
}

interface Learned {
  readonly w: FloatView;
  readonly b: FloatView | undefined;
  readonly v: FloatView;
}

/** Proves which way of scoring is asked for: a learned layer, or (undefined) a given query. */
function proveLearned(
  { w, b, v }: Readonly<Record<"w" | "b" | "v", FloatView | undefined>>,
  query: FloatView | undefined,
  { scale, temperature }: { scale?: unknown; temperature?: unknown },
  features: number,
  caller: string,
): Learned | undefined {
  const given = Object.entries({ w, b, v, temperature }).filter(([, value]) => value !== undefined);
  if (query !== undefined) {
    if (given.length === 0) return undefined;
    throw contradiction(caller, `${given[0]![0]} belongs to learned pooling, and query is given`);
  }
  if (w === undefined || v === undefined) {
    throw contradiction(caller, "expected either w and v (learned pooling) or query");
  }
  if (scale !== undefined)
    throw contradiction(caller, "scale belongs to a given query; learned pooling has temperature");
  const hidden = w.shape[0] ?? 0;
  if (w.shape.length !== 2 || w.shape[1] !== features || hidden === 0) {
    throw wrongShape(caller, "w", w.shape, `[hidden, ${features}] (hidden, features) with at least one hidden unit`);
  }
  proveShapeOf(caller, "b", b, [[hidden]], "hidden");
  proveShapeOf(caller, "v", v, [[hidden]], "hidden");
  return { w, b, v };
}

function contradiction(caller: string, message: string): SaccadeTypeError {
  return optionError(caller, message);
}

function proveFloor(value: unknown, caller: string): number {
  const floor = proveNumber(value, caller, "options.varianceFloor");
  if (floor >= 0 && Math.fround(floor) < Number.POSITIVE_INFINITY) return floor;
  throw rangeError(caller, `options.varianceFloor is ${floor}; expected a number from 0 up that float32 has`);
}

/** `v^T tanh(W x + b)` for rows `[rows, features]`. */
function scoreByLayer(session: Session, rows: Slot, { w, b, v }: Learned): Slot {
  const [count, hidden] = [rows.shape[0]!, w.shape[0]!];
  const inner = session.temporary([count, hidden]);
  const scores = session.temporary([count, 1]);
  runLinear(session, { x: rows, weight: session.input(w), bias: b && session.input(b) }, inner, "tanh");
  runLinear(session, { x: inner, weight: session.reshape(session.input(v), [1, hidden]) }, scores);
  return scores;
}

/** The weights of attention with one query per batch row and the frames as keys of a single head: `[batch, time]`. */
function weightsOfQuery(
  call: FeatureCall<never, "w" | "b" | "v" | "query", "scale" | "engine">,
  lengths: ArrayLike<number> | undefined,
  scale: number | undefined,
): PlainTensor<"float32"> {
  const { caller, input, captured } = call;
  const [batch, time, ...frame] = input.shape as [number, number, ...number[]];
  const key = withHead(mergeAxes(input, 2, 2 + frame.length, caller));
  const given = captured.query!;
  const perRow = given.shape.length > frame.length;
  const query = mergeAxes(given, perRow ? 1 : 0, given.shape.length, caller);
  const features = key.shape[3]!;
  // A query of all rows is read again for each of them.
  const strides = [perRow ? (query.strides?.[0] ?? features) : 0, 0, 0, 1];
  const options = { returnWeights: true, scale, kvLengths: lengths, engine: call.engine };
  const { weights } = attend({ ...query, shape: [batch, 1, 1, features], strides }, key, key, options, caller) as {
    weights: PlainTensor<"float32">;
  };
  return { ...weights, shape: [batch, time] };
}

/** Proves valid frames per batch row. */
function proveFrames(
  captured: CapturedLengths | undefined,
  batch: number,
  time: number,
  instance: WasmInstance,
  caller: string,
): Int32Array | undefined {
  const whole = `${INPUT}.shape[1]`;
  return captured && proveRowLengths(captured, "options.lengths", [batch], time, whole, instance, caller).values;
}

/** `[batch, time, features]` with a head between. */
function withHead({ shape, strides, ...rest }: TensorLike): TensorLike {
  const [batch, time, features] = [shape[0]!, shape[1]!, shape[2]!];
  const steps = strides === undefined ? {} : { strides: [strides[0]!, strides[1]!, features, 1] };
  return { ...rest, shape: [batch, time, 1, features], ...steps };
}

/**
 * Self-attention along time at each place: every place attends over its own moments, `[batch, time, ...places, dim]` being
 * `attention`'s `[batch, seq, heads, headDim]` with the places as heads. Nothing is transposed or copied, and memory stays linear
 * in time. With `causal`, and with `window: { left }` for a bounded past, the result up to a moment does not depend on what follows.
 * It is the temporal half of the divided attention of Bertasius, Wang and Torresani (2021).
 *
 * @param frames - `[batch, time, ...places, dim]`; without places `[batch, time, dim]`
 * @throws as `attention`
 *
 * @example
 * ```ts
 * import { init, temporalSelfAttention } from "saccade";
 *
 * await init();
 * const frames = { data: new Float32Array(1 * 4 * 6 * 6 * 8), shape: [1, 4, 6, 6, 8] }; // 4 frames of 6 x 6 places
 * console.log(temporalSelfAttention(frames, { causal: true }).out.shape); // 1, 4, 6, 6, 8
 * ```
 */
export function temporalSelfAttention<Weights extends boolean = false>(
  frames: TensorInput,
  options: TemporalSelfAttentionOptions<Weights> = {},
): TemporalSelfAttentionResult<Weights> {
  const caller = "temporalSelfAttention";
  const captured = captureTensor(frames, caller, INPUT);
  const known = ["key", "value", "scale", "causal", "window", "lengths", "returnWeights", "engine"] as const;
  const read = readOptions(options, known, caller);
  const capturedKey = read.key === undefined ? captured : captureTensor(read.key, caller, "key");
  const capturedValue = read.value === undefined ? capturedKey : captureTensor(read.value, caller, "value");
  const returnWeights = read.returnWeights !== undefined && proveBoolean(read.returnWeights, caller, "returnWeights");
  const capturedLengths =
    read.lengths === undefined ? undefined : captureLengths(read.lengths, caller, "options.lengths");
  const instance = instanceFor(read.engine, caller);
  const { shape } = captured;
  const last = shape.length - 1;
  if (last < 2) throw wrongShape(caller, INPUT, shape, "[batch, time, ...places, dim] with at least 3 axes");
  if (shape[last] === 0) throw wrongShape(caller, INPUT, shape, "a dim of at least 1");
  const [query, key, value] = [captured, capturedKey, capturedValue].map((each) => {
    const view = proveFloatTensor(each, instance, caller);
    proveShapeOf(caller, each.name, view, [shape], "as frames");
    return mergeAxes(each, 2, last, caller);
  }) as [TensorLike, TensorLike, TensorLike];
  const [batch, time] = shape as [number, number];
  const lengths = proveFrames(capturedLengths, batch, time, instance, caller);
  const { scale, causal, window, engine } = read;
  const ranges = { kvLengths: lengths, qLengths: lengths };
  const wanted = { outDtype: "float32", returnWeights, scale, causal, window, engine, ...ranges };
  const { out, weights } = attend(query, key, value, wanted, caller) as {
    out: PlainTensor<"float32">;
    weights?: PlainTensor<"float32">;
  };
  return {
    out: { ...out, shape: [...shape] },
    ...(weights === undefined ? {} : { weights: { ...weights, shape: [batch, ...shape.slice(2, last), time, time] } }),
  } as TemporalSelfAttentionResult<Weights>;
}
