/**
 * Softmax attention over a feature map: over its places, and over its channels.
 */

import type { Asked } from "../attention-options.ts";
import {
  destinationOf,
  type FeatureCall,
  type FeatureOptions,
  newDestination,
  proveShapeOf,
  readFeatureCall,
} from "../layout/feature-call.ts";
import { proveBoolean } from "../layout/options.ts";
import { plainOf } from "../layout/results.ts";
import { runLinear } from "../linear.ts";
import { proveTemperature } from "../softmax.ts";
import type { PlainTensor, TensorInput } from "../tensor.ts";
import { averageMaximum, convolution, gate, softmaxRows, weightedSum } from "../wasm/feature-map.ts";
import { inSession, type Session, type Slot } from "../wasm/operator.ts";
import { type FeatureMap, INPUT, proveKernel, proveMap } from "./map.ts";

/** Tensors and options of both functions. */
const NAMES = {
  input: INPUT,
  required: ["w"],
  optional: ["bias"],
  others: ["temperature", "returnMap"],
} as const;

type SoftmaxCall = FeatureCall<"w", "bias", "temperature" | "returnMap">;

/** Options of {@link spatialSoftmaxAttention}. */
export interface SpatialSoftmaxOptions<Mapped extends boolean = boolean> extends FeatureOptions {
  /** Weights of the scores: `[channels]`, or a kernel `[1, channels, height, width]` of odd height and width. */
  readonly w: TensorInput;
  /** `[1]`, added to every score (which changes no weight but by rounding). */
  readonly bias?: TensorInput | undefined;
  /** Divides the scores: above 1 the weights come nearer to each other. Default 1. */
  readonly temperature?: number | undefined;
  /** Gives `map`, x times the weights, of x's shape, too. Default false. */
  readonly returnMap?: Mapped | undefined;
}

/** Options of {@link channelSoftmaxAttention}. */
export interface ChannelSoftmaxOptions<Mapped extends boolean = boolean> extends FeatureOptions {
  /** Weights of the scores: `[channels, channels]`. */
  readonly w: TensorInput;
  /** `[channels]`, added to the scores. */
  readonly bias?: TensorInput | undefined;
  /** Divides the scores. Default 1. */
  readonly temperature?: number | undefined;
  /** Gives `map`, x times the weights, of x's shape, too. Default false. */
  readonly returnMap?: Mapped | undefined;
}

/** What softmax attention over a feature map gives. */
export type SoftmaxAttentionResult<Mapped extends boolean = boolean> = {
  /** The weighted sum: `[batch, channels]` over places, `[batch, height, width]` over channels. */
  readonly out: PlainTensor<"float32">;
  /** What each place, or each channel, weighs: `[batch, height, width]`, or `[batch, channels]`. A batch row adds up to 1. */
  readonly weights: PlainTensor<"float32">;
} & Asked<Mapped, "map", PlainTensor<"float32">>;

/**
 * Attention over the places of a feature map: a convolution gives each place a score, `w = softmax(scores / temperature)` over
 * all places, `out[c] = sum w[place] x[c, place]` (Xu et al. 2015, with scores of the features alone).
 *
 * @param x - `[batch, channels, height, width]`
 * @returns `out` `[batch, channels]`, `weights` `[batch, height, width]`; a map without places gives 0
 * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`,
 *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE`, `ERR_SACCADE_OVERLAP`; SaccadeError as `attention`
 *
 * @example
 * ```ts
 * import { spatialSoftmaxAttention } from "saccade/vision";
 *
 * const x = { data: new Float32Array([1, 1, 1, 9]), shape: [1, 1, 2, 2] };
 * const { out, weights } = spatialSoftmaxAttention(x, { w: { data: new Float32Array([1]), shape: [1] } });
 * console.log(weights.data[3]! > 0.99, out.data[0]! > 8.9); // true, true
 * ```
 */
export function spatialSoftmaxAttention<Mapped extends boolean = false>(
  x: TensorInput,
  options: SpatialSoftmaxOptions<Mapped>,
): SoftmaxAttentionResult<Mapped> {
  const call = readFeatureCall(x, options, { caller: "spatialSoftmaxAttention", ...NAMES });
  const { caller, tensors } = call;
  const map = proveMap(call);
  const { batch, channels, height, width } = map;
  const [kernelHeight, kernelWidth] =
    tensors.w.shape.length === 4 ? proveKernel(caller, "w", tensors.w, 1, channels) : [1, 1];
  if (tensors.w.shape.length !== 4) {
    proveShapeOf(caller, "w", tensors.w, [[channels], [1, channels, 1, 1]], "channels, or a kernel of odd size");
  }
  proveShapeOf(caller, "bias", tensors.bias, [[1]], "one score");
  return attend(call, map, "places", (session, features) =>
    convolution(
      session,
      features,
      [batch, channels, height, width],
      session.input(tensors.w),
      [1, kernelHeight, kernelWidth],
      tensors.bias && session.input(tensors.bias),
    ),
  );
}

/**
 * Attention over the channels of a feature map: each channel's average over its places, a linear layer over these for the
 * scores, `w = softmax(scores / temperature)` over the channels, `out[place] = sum w[c] x[c, place]`
 * (after the channel-wise attention of Chen et al. 2017, with scores of the features alone).
 *
 * @param x - `[batch, channels, height, width]`
 * @returns `out` `[batch, height, width]`, `weights` `[batch, channels]`
 * @throws as {@link spatialSoftmaxAttention}
 */
export function channelSoftmaxAttention<Mapped extends boolean = false>(
  x: TensorInput,
  options: ChannelSoftmaxOptions<Mapped>,
): SoftmaxAttentionResult<Mapped> {
  const call = readFeatureCall(x, options, { caller: "channelSoftmaxAttention", ...NAMES });
  const { caller, tensors } = call;
  const map = proveMap(call);
  const { batch, channels } = map;
  proveShapeOf(caller, "w", tensors.w, [[channels, channels]], "channels, channels");
  proveShapeOf(caller, "bias", tensors.bias, [[channels]], "channels");
  return attend(call, map, "channels", (session, features) => {
    const averages = averageMaximum(session, features, map, "places", "average");
    const scores = session.temporary([batch, channels]);
    const bias = tensors.bias && session.input(tensors.bias);
    runLinear(session, { x: averages, weight: session.input(tensors.w), bias }, scores);
    return scores;
  });
}

/** Softmax of the scores over places or channels, the weighted sum along these, and the map times the weights. */
function attend<Mapped extends boolean>(
  call: SoftmaxCall,
  map: FeatureMap,
  over: "places" | "channels",
  scoresOf: (session: Session, features: Slot) => Slot,
): SoftmaxAttentionResult<Mapped> {
  const { caller, instance, read } = call;
  const { batch, channels, height, width, places } = map;
  const temperature = read.temperature === undefined ? 1 : proveTemperature(read.temperature, caller);
  const returnMap = read.returnMap !== undefined && proveBoolean(read.returnMap, caller, "returnMap");
  const [perPlace, perChannel] = [[batch, height, width] as const, [batch, channels] as const];
  const [weightsShape, outShape] = over === "places" ? [perPlace, perChannel] : [perChannel, perPlace];
  const rows = [batch, over === "places" ? places : channels] as const;
  const destination = destinationOf(call, outShape, INPUT);
  return inSession(instance, caller, (session) => {
    const out = session.result(destination);
    const weights = session.result(newDestination(call, weightsShape));
    const product = returnMap ? session.result(newDestination(call, call.x.shape)) : undefined;
    const features = session.input(call.x);
    softmaxRows(session, scoresOf(session, features), rows, { temperature }, weights);
    weightedSum(session, features, map, weights, over, { out });
    if (product !== undefined) {
      const gates = session.temporary(rows);
      gate(session, features, map, weights, { per: over, by: "as-is" }, { gates, out: product });
    }
    return {
      out: plainOf(out, call.given),
      weights: plainOf(weights),
      ...(product === undefined ? {} : { map: plainOf(product) }),
    } as SoftmaxAttentionResult<Mapped>;
  });
}
