/**
 * Attention of a feature map to itself by gates: per channel, per place and per element.
 */

import type { Asked } from "../attention-options.ts";
import {
  destinationOf,
  type FeatureCall,
  type FeatureOptions,
  newDestination,
  proveShapeOf,
  readFeatureCall,
  wrongShape,
} from "../layout/feature-call.ts";
import type { FloatView } from "../layout/operands.ts";
import { proveBoolean, proveWord } from "../layout/options.ts";
import { plainOf } from "../layout/results.ts";
import { runLinear } from "../linear.ts";
import type { PlainTensor, TensorInput } from "../tensor.ts";
import { averageMaximum, convolution, gate } from "../wasm/feature-map.ts";
import { inSession, type ResultSlot, type Session, type Slot } from "../wasm/operator.ts";
import { type FeatureMap, INPUT, proveBottleneck, proveKernel, proveMap } from "./map.ts";

/** The two layers over channels that {@link channelAttention}, {@link squeezeExcite} and {@link cbam} share. */
export interface BottleneckOptions extends FeatureOptions {
  /** `[hidden, channels]`. */
  readonly w1: TensorInput;
  /** `[hidden]`. */
  readonly b1?: TensorInput | undefined;
  /** `[channels, hidden]`. */
  readonly w2: TensorInput;
  /** `[channels]`. */
  readonly b2?: TensorInput | undefined;
}

/** Options of {@link spatialAttention}. */
export interface SpatialAttentionOptions extends FeatureOptions {
  /** The kernel over the two maps: `[1, 2, height, width]`, height and width odd; 7 x 7 in the paper. */
  readonly conv: TensorInput;
  /** `[1]`. */
  readonly bias?: TensorInput | undefined;
  /** Which map the kernel's channel 0 reads. Default `"mean-max"`, as in the paper; its authors' code has the maximum first. */
  readonly order?: "mean-max" | "max-mean" | undefined;
}

/** Options of {@link cbam}. */
export interface CbamOptions<Weights extends boolean = boolean> extends BottleneckOptions, SpatialAttentionOptions {
  /** Gives the two gates too: `channelWeights` `[batch, channels]` and `spatialWeights` `[batch, height, width]`. Default false. */
  readonly returnWeights?: Weights | undefined;
}

/** Options of {@link eca}. */
export interface EcaOptions extends FeatureOptions {
  /** The kernel over neighbouring channels: `[k]` or `[1, 1, k]`, k odd. */
  readonly w: TensorInput;
}

/** Options of {@link elementwiseAttention}. */
export interface ElementwiseAttentionOptions extends FeatureOptions {
  /** `[channels, channels]`, or a kernel `[channels, channels, height, width]` of odd height and width. */
  readonly w: TensorInput;
  /** `[channels]`. */
  readonly bias?: TensorInput | undefined;
}

/** What a gate gives. */
export interface GateResult {
  /** x times the gate, of x's shape. */
  readonly out: PlainTensor<"float32">;
  /** The gate, from 0 to 1: `[batch, channels]` per channel, `[batch, height, width]` per place, x's shape per element. */
  readonly weights: PlainTensor<"float32">;
}

/** What {@link cbam} gives. */
export type CbamResult<Weights extends boolean = boolean> = {
  /** x times both gates, of x's shape. */
  readonly out: PlainTensor<"float32">;
} & Asked<Weights, "channelWeights" | "spatialWeights", PlainTensor<"float32">>;

const BOTTLENECK = { required: ["w1", "w2"], optional: ["b1", "b2"] } as const;
const ORDERS = ["mean-max", "max-mean"] as const;

/**
 * Channel attention of CBAM: `x * sigmoid(mlp(average) + mlp(maximum))`, average and maximum over the places of each channel,
 * `mlp(d) = w2 relu(w1 d + b1) + b2` (Woo et al. 2018).
 *
 * @param x - `[batch, channels, height, width]`
 * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`,
 *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE` (a weight that is not finite), `ERR_SACCADE_OVERLAP`; SaccadeError as `attention`
 */
export function channelAttention(x: TensorInput, options: BottleneckOptions): GateResult {
  return squeezed(x, options, "channelAttention", "average-maximum");
}

/**
 * Squeeze and excitation: `x * sigmoid(w2 relu(w1 average + b1) + b2)`, the average over the places of each channel (Hu, Shen and
 * Sun 2018).
 *
 * @param x - `[batch, channels, height, width]`
 * @throws as {@link channelAttention}
 */
export function squeezeExcite(x: TensorInput, options: BottleneckOptions): GateResult {
  return squeezed(x, options, "squeezeExcite", "average");
}

function squeezed(
  x: TensorInput,
  options: BottleneckOptions,
  caller: string,
  parts: "average" | "average-maximum",
): GateResult {
  const call = readFeatureCall(x, options, { caller, input: INPUT, ...BOTTLENECK });
  const map = proveMap(call);
  const hidden = proveBottleneck(caller, map.channels, call.tensors);
  return gated(call, [map.batch, map.channels], (session, features, slots) => {
    gateChannels(session, features, map, call.tensors, hidden, parts, slots);
  });
}

/**
 * Spatial attention of CBAM: `x * sigmoid(conv([average; maximum]) + bias)`, average and maximum over the channels of each place,
 * with nothing round the plane (Woo et al. 2018).
 *
 * @param x - `[batch, channels, height, width]`
 * @throws as {@link channelAttention}
 */
export function spatialAttention(x: TensorInput, options: SpatialAttentionOptions): GateResult {
  const caller = "spatialAttention";
  const names = { required: ["conv"], optional: ["bias"], others: ["order"] } as const;
  const call = readFeatureCall(x, options, { caller, input: INPUT, ...names });
  const map = proveMap(call);
  const spatial = proveSpatial(call);
  return gated(call, [map.batch, map.height, map.width], (session, features, slots) => {
    gatePlaces(session, features, map, spatial, slots);
  });
}

/**
 * The convolutional block attention module: {@link channelAttention}, then {@link spatialAttention} of its result (Woo et al. 2018).
 *
 * @param x - `[batch, channels, height, width]`
 * @throws as {@link channelAttention}
 *
 * @example
 * ```ts
 * import { cbam } from "saccade/vision";
 *
 * const zeros = (...shape: number[]) => ({ data: new Float32Array(shape.reduce((a, b) => a * b)), shape });
 * const x = { data: new Float32Array(32).fill(4), shape: [1, 2, 4, 4] };
 * const { out } = cbam(x, { w1: zeros(1, 2), w2: zeros(2, 1), conv: zeros(1, 2, 7, 7) });
 * console.log(out.data[0]); // 1: both gates are sigmoid(0)
 * ```
 */
export function cbam<Weights extends boolean = false>(
  x: TensorInput,
  options: CbamOptions<Weights>,
): CbamResult<Weights> {
  const caller = "cbam";
  const call = readFeatureCall(x, options, {
    caller,
    input: INPUT,
    required: ["w1", "w2", "conv"],
    optional: ["b1", "b2", "bias"],
    others: ["order", "returnWeights"],
  });
  const map = proveMap(call);
  const hidden = proveBottleneck(caller, map.channels, call.tensors);
  const spatial = proveSpatial(call);
  const { returnWeights } = call.read;
  const wanted = returnWeights !== undefined && proveBoolean(returnWeights, caller, "returnWeights");
  const { batch, channels, height, width } = map;
  const destination = destinationOf(call, call.x.shape, INPUT);
  return inSession(call.instance, caller, (session) => {
    const out = session.result(destination);
    const weights = wanted
      ? [
          session.result(newDestination(call, [batch, channels])),
          session.result(newDestination(call, [batch, height, width])),
        ]
      : undefined;
    const [perChannel = session.temporary([batch, channels]), perPlace = session.temporary([batch, height, width])] =
      weights ?? [];
    const refined = session.temporary(call.x.shape);
    const { tensors } = call;
    const slots = { gates: perChannel, out: refined };
    gateChannels(session, session.input(call.x), map, tensors, hidden, "average-maximum", slots);
    gatePlaces(session, refined, map, spatial, { gates: perPlace, out });
    return {
      out: plainOf(out, call.given),
      ...(weights === undefined ? {} : { channelWeights: plainOf(weights[0]!), spatialWeights: plainOf(weights[1]!) }),
    } as CbamResult<Weights>;
  });
}

/**
 * Efficient channel attention: `x * sigmoid(w * averages)`, a convolution over neighbouring channels of their averages over
 * places (Wang et al. 2020). Beyond the first and the last channel lies nothing.
 *
 * @param x - `[batch, channels, height, width]`
 * @throws as {@link channelAttention}
 */
export function eca(x: TensorInput, options: EcaOptions): GateResult {
  const caller = "eca";
  const call = readFeatureCall(x, options, { caller, input: INPUT, required: ["w"] });
  const map = proveMap(call);
  const { batch, channels } = map;
  const { w } = call.tensors;
  const k = w.shape.at(-1) ?? 0;
  const leading = w.shape.slice(0, -1).join();
  if (k % 2 !== 1 || (leading !== "" && leading !== "1,1")) {
    throw wrongShape(caller, "w", w.shape, "[k] or [1, 1, k] with an odd k");
  }
  return gated(call, [batch, channels], (session, features, slots) => {
    const averages = averageMaximum(session, features, map, "places", "average");
    const scores = convolution(session, averages, [batch, 1, 1, channels], session.input(w), [1, 1, k], undefined);
    gate(session, features, map, scores, { per: "channels", by: "sigmoid" }, slots);
  });
}

/**
 * A gate for every element: `x * sigmoid(conv(x) + bias)`, the convolution (1 x 1 for a matrix) mixing the channels
 * (the mixed attention of Wang et al. 2017).
 *
 * @param x - `[batch, channels, height, width]`
 * @throws as {@link channelAttention}
 */
export function elementwiseAttention(x: TensorInput, options: ElementwiseAttentionOptions): GateResult {
  const caller = "elementwiseAttention";
  const call = readFeatureCall(x, options, { caller, input: INPUT, required: ["w"], optional: ["bias"] });
  const map = proveMap(call);
  const { batch, channels, height, width } = map;
  const { w, bias } = call.tensors;
  if (w.shape.length !== 4) proveShapeOf(caller, "w", w, [[channels, channels]], "channels, channels");
  const kernel = w.shape.length === 4 ? proveKernel(caller, "w", w, channels, channels) : ([1, 1] as const);
  proveShapeOf(caller, "bias", bias, [[channels]], "channels");
  return gated(call, call.x.shape, (session, features, slots) => {
    const scores = convolution(
      session,
      features,
      [batch, channels, height, width],
      session.input(w),
      [channels, ...kernel],
      bias && session.input(bias),
    );
    gate(session, features, map, scores, { per: "elements", by: "sigmoid" }, slots);
  });
}

/** Runs a gate's body with its results: the gate and x times it. */
function gated(
  call: FeatureCall<string, string, string>,
  shape: readonly number[],
  body: (session: Session, features: Slot, slots: { gates: ResultSlot; out: ResultSlot }) => void,
): GateResult {
  const destination = destinationOf(call, call.x.shape, INPUT);
  return inSession(call.instance, call.caller, (session) => {
    const out = session.result(destination);
    const gates = session.result(newDestination(call, shape));
    body(session, session.input(call.x), { gates, out });
    return { out: plainOf(out, call.given), weights: plainOf(gates) };
  });
}

function gateChannels(
  session: Session,
  features: Slot,
  map: FeatureMap,
  { w1, b1, w2, b2 }: { w1: FloatView; b1?: FloatView; w2: FloatView; b2?: FloatView },
  hidden: number,
  parts: "average" | "average-maximum",
  slots: { gates: Slot; out: Slot },
): void {
  const squeezed = averageMaximum(session, features, map, "places", parts);
  const [batch, count, channels] = squeezed.shape as [number, number, number];
  const inner = session.temporary([batch * count, hidden]);
  const scores = session.temporary([batch, count, channels]);
  runLinear(session, { x: squeezed, weight: session.input(w1), bias: b1 && session.input(b1) }, inner, "relu");
  runLinear(session, { x: inner, weight: session.input(w2), bias: b2 && session.input(b2) }, scores);
  gate(session, features, map, scores, { parts: count, per: "channels", by: "sigmoid" }, slots);
}

interface Spatial {
  readonly conv: FloatView;
  readonly bias: FloatView | undefined;
  readonly kernel: readonly [number, number];
  readonly parts: "average-maximum" | "maximum-average";
}

function proveSpatial({ caller, tensors, read }: FeatureCall<"conv", "bias", "order">): Spatial {
  const { conv, bias } = tensors;
  const kernel = proveKernel(caller, "conv", conv, 1, 2);
  proveShapeOf(caller, "bias", bias, [[1]], "one score");
  const order = read.order === undefined ? "mean-max" : proveWord(read.order, ORDERS, caller, "order");
  return { conv, bias, kernel, parts: order === "mean-max" ? "average-maximum" : "maximum-average" };
}

function gatePlaces(
  session: Session,
  features: Slot,
  map: FeatureMap,
  { conv, bias, kernel, parts }: Spatial,
  slots: { gates: Slot; out: Slot },
): void {
  const { batch, height, width } = map;
  const pooled = averageMaximum(session, features, map, "channels", parts);
  const weight = session.input(conv);
  const scores = convolution(
    session,
    pooled,
    [batch, 2, height, width],
    weight,
    [1, ...kernel],
    bias && session.input(bias),
  );
  gate(session, features, map, scores, { per: "places", by: "sigmoid" }, slots);
}
