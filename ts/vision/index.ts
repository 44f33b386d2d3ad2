/**
 * Attention over images and their feature maps, `[batch, channels, height, width]`: softmax over places or channels, and the
 * gates of SE, ECA and CBAM.
 *
 * @packageDocumentation
 */

export type { AsyncOptions, Progress } from "../control.ts";
export type { FeatureOptions } from "../layout/feature-call.ts";
export {
  cbamAsync,
  channelAttentionAsync,
  channelSoftmaxAttentionAsync,
  ecaAsync,
  elementwiseAttentionAsync,
  spatialAttentionAsync,
  spatialSoftmaxAttentionAsync,
  squeezeExciteAsync,
} from "./async.ts";
export {
  type BottleneckOptions,
  type CbamOptions,
  type CbamResult,
  cbam,
  channelAttention,
  type EcaOptions,
  type ElementwiseAttentionOptions,
  eca,
  elementwiseAttention,
  type GateResult,
  type SpatialAttentionOptions,
  spatialAttention,
  squeezeExcite,
} from "./gates.ts";
export {
  type ChannelSoftmaxOptions,
  channelSoftmaxAttention,
  type SoftmaxAttentionResult,
  type SpatialSoftmaxOptions,
  spatialSoftmaxAttention,
} from "./softmax.ts";
